#ifndef NN_NORM_H
#define NN_NORM_H
/*
 * Group and batch normalisation with an optional activation behind them, and the gradient of the
 * pair. Batch normalisation is group normalisation of one sample, whose pixels are those of the
 * whole batch, in groups of one channel; "fixed" means that its statistics are given (not
 * training).
 *
 * Forward: sums per channel, from them per group (mean, 1/sd), from those per channel (a, b); then
 * y = post(a x + b + res) in one pass. Backward: sums of u = dy post'(a x + b), which dx keeps when
 * it was expensive; then dx = p u + q x + r (+ res) with per-channel p, q, r. Threads share out the
 * samples or, when there are fewer samples than threads, the pixels of each sample.
 */
#include "kernels/moments.h"
#include "ops/op.h"

static inline bool nn_norm_is_back(const struct nn_step *s)
{
    return s->op == NN_OP_GROUP_NORM_BACK || s->op == NN_OP_BATCH_NORM_BACK;
}
static inline bool nn_norm_is_batch(const struct nn_step *s)
{
    return s->op == NN_OP_BATCH_NORM || s->op == NN_OP_BATCH_NORM_BACK;
}

static inline bool nn_norm_fits(const struct nn_step *s)
{
    return nn_channels_fit(&s->in[nn_norm_is_back(s)]);
}

static inline struct nn_nhwc nn_norm_dims(const struct nn_step *s)
{
    struct nn_nhwc d = nn_nhwc(s->in[nn_norm_is_back(s)].shape);
    return nn_norm_is_batch(s) ? (struct nn_nhwc){1, d.n * d.pixels, d.c} : d;
}

/* Parts a sample's pixels are cut into: 1 when samples alone keep the threads busy. */
static inline int nn_norm_parts(const struct nn_step *s, struct nn_nhwc d)
{
    return d.n >= s->threads ? 1 : nn_threads_for(s, d.n * d.pixels * d.c);
}

/* Per part: sums. Per sample: channel coefficients, 3 C floats. */
struct nn_norm_layout {
    double *sums; /* [n][parts][doubles] */
    float *coef;  /* [n][3][C] */
    size_t doubles;
    int parts;
};

static inline struct nn_norm_layout nn_norm_layout(const struct nn_step *s, struct nn_nhwc d)
{
    struct nn_norm_layout l = {.doubles = nn_sums_doubles(d.c), .parts = nn_norm_parts(s, d)};
    l.sums = s->scratch;
    l.coef = (float *)(l.sums + (size_t)d.n * (size_t)l.parts * l.doubles);
    return l;
}

static inline status nn_norm_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_nhwc d = nn_norm_dims(s);
    size_t n = (size_t)d.n, parts = (size_t)nn_norm_parts(s, d), c = (size_t)d.c;
    s->scratch_bytes =
        n * parts * nn_sums_doubles(d.c) * sizeof(double) + n * 3 * c * sizeof(float);
    return STATUS_OK;
}

struct nn_norm {
    const struct nn_step *s;
    struct nn_nhwc d;
    struct nn_norm_layout l;
    int groups;
    bool fixed;
    const float *stats;          /* backward: (n,groups,2) */
    const struct nn_tensor *res; /* NULL: none */
};

static inline struct nn_norm nn_norm_job(const struct nn_step *s)
{
    struct nn_nhwc d = nn_norm_dims(s);
    struct nn_norm j = {.s = s, .d = d, .l = nn_norm_layout(s, d)};
    j.groups = nn_norm_is_batch(s) ? d.c : s->attr.groups;
    j.fixed = nn_norm_is_batch(s) && !s->attr.training;
    const struct nn_op_impl *row = nn_op_row(s->op);
    if (row->stats)
        j.stats = nn_f32(&s->in[row->stats]);
    if (row->res && nn_has(&s->in[row->res]))
        j.res = &s->in[row->res];
    return j;
}

static inline struct nn_sums nn_norm_sums(const struct nn_norm *j, int64_t n, int part)
{
    return nn_sums_at(j->l.sums + ((size_t)n * (size_t)j->l.parts + (size_t)part) * j->l.doubles,
                      j->d.c);
}
static inline float *nn_norm_coef(const struct nn_norm *j, int64_t n)
{
    return j->l.coef + n * 3 * j->d.c;
}
/* Pixels of part `part`, as [first,last) within a sample. */
static inline void nn_norm_part(const struct nn_norm *j, int part, int64_t *first, int64_t *last)
{
    *first = j->d.pixels * part / j->l.parts;
    *last = j->d.pixels * (part + 1) / j->l.parts;
}

/* Calls apply(j, n, first, last) for the pixels first..last-1 of all samples, sample by sample. */
typedef void nn_norm_apply(const struct nn_norm *j, int64_t n, int64_t first, int64_t last);
static inline void nn_norm_pixels(const struct nn_norm *j, nn_norm_apply *apply, int64_t first,
                                  int64_t last)
{
    for (int64_t pixels = j->d.pixels, stop; first < last; first = stop) {
        int64_t n = first / pixels;
        stop = nn_min(last, (n + 1) * pixels);
        apply(j, n, first - n * pixels, stop - n * pixels);
    }
}

#define NN_NORM_KERNEL(OP, row, run_)                                                              \
    const struct nn_kernel nn_common_##row = {.op = NN_OP_##OP,                                    \
                                              .name = "common." #row,                              \
                                              .supports = nn_norm_fits,                            \
                                              .prepare = nn_norm_prepare,                          \
                                              .run = run_};

#endif
