/*
 * Group and batch normalisation with an optional activation behind them, and the gradient of the
 * pair. Batch normalisation is group normalisation of one sample, whose pixels are those of the
 * whole batch, in groups of one channel; "fixed" means that its statistics are given (not
 * training).
 *
 * Forward: sums per channel, from them per group (mean, 1/sd), from those per channel (a, b); then
 * y = post(a x + b + res) in one pass. Backward: sums of u = dy post'(a x + b), which dx keeps when
 * it was expensive; then dx = p u + q x + r (+ res) with per-channel p, q, r. Samples go to
 * threads; when there are fewer samples than threads the pixels of one sample do.
 */
#include "kernels/moments.h"

#include <math.h>

static bool is_back(const struct nn_step *s)
{
    return s->op == NN_OP_GROUP_NORM_BACK || s->op == NN_OP_BATCH_NORM_BACK;
}
static bool is_batch(const struct nn_step *s)
{
    return s->op == NN_OP_BATCH_NORM || s->op == NN_OP_BATCH_NORM_BACK;
}

static bool fits(const struct nn_step *s)
{
    return nn_channels_fit(&s->in[is_back(s)]);
}

static struct nn_nhwc dims_of(const struct nn_step *s)
{
    struct nn_nhwc d = nn_nhwc(s->in[is_back(s)].shape);
    return is_batch(s) ? (struct nn_nhwc){1, d.n * d.pixels, d.c} : d;
}

/* Parts a sample's pixels are cut into: 1 when samples alone keep the threads busy. */
static int parts_of(const struct nn_step *s, struct nn_nhwc d)
{
    return d.n >= s->threads ? 1 : nn_threads_for(s, d.n * d.pixels * d.c);
}

/* Per part: sums. Per sample: channel coefficients, 3 C floats. */
struct layout {
    double *sums; /* [n][parts][doubles] */
    float *coef;  /* [n][3][C] */
    size_t doubles;
    int parts;
};

static struct layout layout(const struct nn_step *s, struct nn_nhwc d)
{
    struct layout l = {.doubles = nn_sums_doubles(d.c), .parts = parts_of(s, d)};
    l.sums = s->scratch;
    l.coef = (float *)(l.sums + (size_t)d.n * (size_t)l.parts * l.doubles);
    return l;
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_nhwc d = dims_of(s);
    size_t n = (size_t)d.n, parts = (size_t)parts_of(s, d), c = (size_t)d.c;
    s->scratch_bytes =
        n * parts * nn_sums_doubles(d.c) * sizeof(double) + n * 3 * c * sizeof(float);
    return STATUS_OK;
}

struct job {
    const struct nn_step *s;
    struct nn_nhwc d;
    struct layout l;
    int groups;
    bool fixed;
    const float *stats;          /* backward: (n,groups,2) */
    const struct nn_tensor *res; /* NULL: none */
};

/* Position of the optional residual. */
static int res_of(const struct nn_step *s)
{
    return s->op == NN_OP_GROUP_NORM ? -1 : s->op == NN_OP_BATCH_NORM_BACK ? 7 : 5;
}

static struct job job_of(const struct nn_step *s)
{
    struct nn_nhwc d = dims_of(s);
    struct job j = {.s = s, .d = d, .l = layout(s, d)};
    j.groups = is_batch(s) ? d.c : s->attr.groups;
    j.fixed = is_batch(s) && !s->attr.training;
    if (is_back(s))
        j.stats = nn_f32(&s->in[is_batch(s) ? 6 : 4]);
    if (res_of(s) >= 0 && nn_has(&s->in[res_of(s)]))
        j.res = &s->in[res_of(s)];
    return j;
}

static struct nn_sums sums_of(const struct job *j, int64_t n, int part)
{
    return nn_sums_at(j->l.sums + ((size_t)n * (size_t)j->l.parts + (size_t)part) * j->l.doubles,
                      j->d.c);
}
static float *coef_of(const struct job *j, int64_t n)
{
    return j->l.coef + n * 3 * j->d.c;
}
/* Pixels of part `part`, as [first,last) within a sample. */
static void part_range(const struct job *j, int part, int64_t *first, int64_t *last)
{
    *first = j->d.pixels * part / j->l.parts;
    *last = j->d.pixels * (part + 1) / j->l.parts;
}

/* ---- forward ---- */

/* Sets channel k's coefficients from its group's statistics. */
static void set_coef(const struct job *j, int64_t n, int k, double mean, double rsd)
{
    const float *gamma = nn_f32(&j->s->in[1]), *beta = nn_f32(&j->s->in[2]);
    float *a = coef_of(j, n), *b = a + j->d.c;
    a[k] = (float)(gamma[k] * rsd);
    b[k] = (float)(beta[k] - mean * gamma[k] * rsd);
}

static void keep_stats(const struct job *j, int64_t group, double mean, double rsd)
{
    if (!nn_has(&j->s->out[1]))
        return;
    nn_f32(&j->s->out[1])[2 * group] = (float)mean;
    nn_f32(&j->s->out[1])[2 * group + 1] = (float)rsd;
}

/* r = (1-momentum) r + momentum s, s with the unbiased variance. */
static void follow(const struct job *j, int k, double mean, double var)
{
    double m = (double)j->s->attr.momentum, count = (double)j->d.pixels;
    float *run_mean = nn_f32(&j->s->in[3]) + k, *run_var = nn_f32(&j->s->in[4]) + k;
    *run_mean = (float)((1 - m) * *run_mean + m * mean);
    *run_var = (float)((1 - m) * *run_var + m * var * count / (count > 1 ? count - 1 : 1));
}

static void group_stats(const struct job *j, int64_t n)
{
    int c = j->d.c, cg = c / j->groups;
    struct nn_sums sums = sums_of(j, n, 0);
    for (int p = 1; p < j->l.parts; p++)
        nn_sums_add(sums, sums_of(j, n, p), c);
    double pixels = (double)j->d.pixels;
    for (int g = 0; g < j->groups; g++) {
        double mean = 0, var = 0;
        for (int k = g * cg; k < (g + 1) * cg; k++)
            mean += sums.pivot[k] + sums.first[k] / pixels;
        mean /= cg;
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            double m = sums.first[k] / pixels, off = sums.pivot[k] + m - mean;
            var += sums.second[k] / pixels - m * m + off * off;
        }
        var = var > 0 ? var / cg : 0;
        double rsd = 1 / sqrt(var + (double)j->s->attr.eps);
        for (int k = g * cg; k < (g + 1) * cg; k++)
            set_coef(j, n, k, mean, rsd);
        keep_stats(j, n * j->groups + g, mean, rsd);
        if (is_batch(j->s))
            follow(j, g, mean, var);
    }
}

/* The same from the running statistics. */
static void fixed_stats(const struct job *j)
{
    const float *mean = nn_f32(&j->s->in[3]), *var = nn_f32(&j->s->in[4]);
    for (int k = 0; k < j->d.c; k++) {
        double rsd = 1 / sqrt((double)var[k] + (double)j->s->attr.eps);
        set_coef(j, 0, k, mean[k], rsd);
        keep_stats(j, k, mean[k], rsd);
    }
}

/* Some pixels: where they are, how they are stored, what is done to them. */
struct stretch {
    const void *x, *res; /* res NULL: none */
    void *y;
    const float *a, *b;
    int rows, c;
};

/* y = post(a x + b (+ res)); y may be x or res. Inlined with constants for the last three. */
static inline __attribute__((always_inline)) void scale_stretch(const struct stretch *t, int post,
                                                                bool bf16, bool more)
{
    const float *a = t->a, *b = t->b;
    const void *x = t->x, *res = t->res;
    void *y = t->y;
    int rows = t->rows, c = t->c;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * c;
#pragma omp simd
        for (int k = 0; k < c; k++) {
            float v = nn_fma(a[k], nn_load_at(x, bf16, at + k), b[k]);
            if (more)
                v += nn_load_at(res, bf16, at + k);
            if (post == NN_POST(NN_RELU))
                v = v > 0 ? v : 0;
            else if (post == NN_POST(NN_SILU))
                v = nn_siluf(v);
            nn_store_at(y, bf16, at + k, v);
        }
    }
}

/* One function per activation, with four loops each. */
#define SCALE(name, post)                                                                          \
    static void name(const struct stretch *t, bool bf16)                                           \
    {                                                                                              \
        if (bf16 && t->res)                                                                        \
            scale_stretch(t, post, true, true);                                                    \
        else if (bf16)                                                                             \
            scale_stretch(t, post, true, false);                                                   \
        else if (t->res)                                                                           \
            scale_stretch(t, post, false, true);                                                   \
        else                                                                                       \
            scale_stretch(t, post, false, false);                                                  \
    }
SCALE(scale_plain, NN_POST_NONE)
SCALE(scale_relu, NN_POST(NN_RELU))
SCALE(scale_silu, NN_POST(NN_SILU))

/* The common cases straight from memory to memory. */
static bool apply_direct(const struct job *j, int64_t pixel, int64_t pixels, const float *a,
                         const float *b)
{
    const struct nn_step *s = j->s;
    bool bf16 = s->in[0].store == NN_STORE_BF16;
    if (s->out[0].store != s->in[0].store || (j->res && j->res->store != s->in[0].store))
        return false;
    size_t at = (size_t)pixel * (size_t)j->d.c * nn_store_bytes(s->in[0].store);
    struct stretch t = {.x = (const char *)s->in[0].data + at,
                        .y = (char *)s->out[0].data + at,
                        .a = a,
                        .b = b,
                        .rows = (int)pixels,
                        .c = j->d.c};
    if (j->res)
        t.res = (const char *)j->res->data + at;
    switch (s->attr.post) {
    case NN_POST_NONE:
        scale_plain(&t, bf16);
        return true;
    case NN_POST(NN_RELU):
        scale_relu(&t, bf16);
        return true;
    case NN_POST(NN_SILU):
        scale_silu(&t, bf16);
        return true;
    default:
        return false;
    }
}

static void apply(const struct job *j, int64_t n, int64_t first, int64_t last)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c);
    const float *a = coef_of(j, n), *b = a + c;
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX], sr[NN_ROW_MAX];
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        if (apply_direct(j, i, rows, a, b))
            continue;
        const float *x = nn_row(&s->in[0], i * c, len, sx);
        float *y = nn_row_out(&s->out[0], i * c, sy);
        struct stretch t = {.x = x, .y = y, .a = a, .b = b, .rows = rows, .c = c};
        t.res = j->res ? nn_row(j->res, i * c, len, sr) : NULL;
        scale_plain(&t, false);
        nn_post_row(s->attr.post, y, len);
        nn_row_put(&s->out[0], i * c, len, y);
    }
}

static void forward_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        int64_t start = n * j->d.pixels;
        if (!j->fixed) {
            nn_moments(&j->s->in[0], start, start, start + j->d.pixels, j->d.c, sums_of(j, n, 0));
            group_stats(j, n);
        }
        apply(j, n, 0, j->d.pixels);
    }
}

/* With parts: item = n * parts + part. */
static void forward_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t n = item / j->l.parts, from, to, start = n * j->d.pixels;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        nn_moments(&j->s->in[0], start, start + from, start + to, j->d.c,
                   sums_of(j, n, (int)(item % j->l.parts)));
    }
}
static void forward_apply(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t from, to;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        apply(j, item / j->l.parts, from, to);
    }
}

static status norm_run(const struct nn_step *s)
{
    struct job j = job_of(s);
    int threads = nn_threads_for(s, j.d.n * j.d.pixels * j.d.c);
    if (j.fixed)
        fixed_stats(&j);
    if (j.l.parts == 1) {
        nn_for_range(threads, j.d.n, forward_samples, &j);
        return STATUS_OK;
    }
    if (!j.fixed) {
        nn_for_range(threads, j.d.n * j.l.parts, forward_sums, &j);
        for (int64_t n = 0; n < j.d.n; n++)
            group_stats(&j, n);
    }
    nn_for_range(threads, j.d.n * j.l.parts, forward_apply, &j);
    return STATUS_OK;
}

/* ---- backward ---- */

/* Channel coefficients of the forward map, from the kept statistics. */
static void forward_coef(const struct job *j, int64_t n, float *a, float *b)
{
    int cg = j->d.c / j->groups;
    const float *gamma = nn_f32(&j->s->in[2]), *beta = nn_f32(&j->s->in[3]);
    const float *stats = j->stats + n * j->groups * 2;
    for (int k = 0; k < j->d.c; k++) {
        double mean = stats[k / cg * 2], rsd = stats[k / cg * 2 + 1];
        a[k] = (float)(gamma[k] * rsd);
        b[k] = (float)(beta[k] - mean * gamma[k] * rsd);
    }
}

/* ReLU's gradient is cheaper to form twice than to write and read back. */
static bool keeps_upstream(const struct nn_step *s)
{
    return s->attr.post != NN_POST_NONE && s->attr.post != NN_POST(NN_RELU) && nn_has(&s->out[0]);
}

/* u = dy post'(a x + b) for some pixels: dy itself, or in room. */
static const float *upstream(int post, const float *a, const float *b, const float *dy,
                             const float *x, int rows, int c, float *room)
{
    if (post == NN_POST_NONE)
        return dy;
    if (post == NN_POST(NN_RELU)) {
        for (int r = 0; r < rows; r++)
#pragma omp simd
            for (int k = 0; k < c; k++)
                room[r * c + k] = nn_fma(a[k], x[r * c + k], b[k]) > 0 ? dy[r * c + k] : 0;
        return room;
    }
    float v[NN_ROW_MAX];
    for (int r = 0; r < rows; r++)
#pragma omp simd
        for (int k = 0; k < c; k++)
            v[r * c + k] = nn_fma(a[k], x[r * c + k], b[k]);
    nn_post_back_row(post, dy, v, room, rows * c);
    return room;
}

/* s1 = sum u, s2 = sum u (x - mean) per channel over some pixels. */
static void row_sums(const float *u, const float *x, const float *mean, int rows, int c, float *s1,
                     float *s2)
{
    int k = 0;
    for (; k + 16 <= c; k += 16) {
        float sum[16] = {0}, dot[16] = {0};
        for (int r = 0; r < rows; r++)
#pragma omp simd
            for (int j = 0; j < 16; j++) {
                sum[j] += u[r * c + k + j];
                dot[j] = nn_fma(u[r * c + k + j], x[r * c + k + j] - mean[k + j], dot[j]);
            }
        memcpy(s1 + k, sum, sizeof sum);
        memcpy(s2 + k, dot, sizeof dot);
    }
    for (; k < c; k++) {
        s1[k] = s2[k] = 0;
        for (int r = 0; r < rows; r++) {
            s1[k] += u[r * c + k];
            s2[k] = nn_fma(u[r * c + k], x[r * c + k] - mean[k], s2[k]);
        }
    }
}

/* Per channel sum u and sum u (x - mean); u into dx when it is kept. */
static void back_sums(const struct job *j, int64_t n, int64_t first, int64_t last,
                      struct nn_sums out)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c), cg = c / j->groups;
    const float *stats = j->stats + n * j->groups * 2;
    _Alignas(64) float sd[NN_ROW_MAX], sx[NN_ROW_MAX], su[NN_ROW_MAX];
    _Alignas(64) float a[NN_ROW_MAX], b[NN_ROW_MAX], mean[NN_ROW_MAX], s1[NN_ROW_MAX],
        s2[NN_ROW_MAX];
    forward_coef(j, n, a, b);
    for (int k = 0; k < c; k++)
        mean[k] = stats[k / cg * 2];
    memset(out.first, 0, 2 * (size_t)c * sizeof *out.first);
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        const float *dy = nn_row(&s->in[0], i * c, len, sd), *x = nn_row(&s->in[1], i * c, len, sx);
        const float *u = upstream(s->attr.post, a, b, dy, x, rows, c, su);
        row_sums(u, x, mean, rows, c, s1, s2);
#pragma omp simd
        for (int k = 0; k < c; k++) {
            out.first[k] += (double)s1[k];
            out.second[k] += (double)s2[k];
        }
        if (!keeps_upstream(s))
            continue;
        if (s->out[0].store == NN_STORE_F32)
            memcpy(nn_f32(&s->out[0]) + i * c, u, (size_t)len * sizeof *u);
        else
            nn_row_put(&s->out[0], i * c, len, u);
    }
}

/* With e = u gamma, h = (x - mean) rsd, bars over the group: dx = rsd (e - bar e - h bar(e h)). */
static void back_coef(const struct job *j, int64_t n)
{
    int c = j->d.c, cg = c / j->groups;
    struct nn_sums sums = sums_of(j, n, 0);
    for (int p = 1; p < j->l.parts; p++)
        nn_sums_add(sums, sums_of(j, n, p), c);
    const float *gamma = nn_f32(&j->s->in[2]), *stats = j->stats + n * j->groups * 2;
    float *p = coef_of(j, n), *q = p + c, *r = q + c;
    double count = (double)j->d.pixels * cg;
    for (int g = 0; g < j->groups; g++) {
        double mean = stats[2 * g], rsd = stats[2 * g + 1], e = 0, eh = 0;
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            e += sums.first[k] * gamma[k];
            eh += sums.second[k] * gamma[k] * rsd;
        }
        if (j->fixed)
            e = eh = 0; /* given statistics do not depend on x */
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            p[k] = (float)(rsd * gamma[k]);
            q[k] = (float)(-rsd * rsd * eh / count);
            r[k] = (float)(-rsd * e / count + rsd * rsd * mean * eh / count);
        }
    }
}

static void back_apply(const struct job *j, int64_t n, int64_t first, int64_t last)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c);
    const float *p = coef_of(j, n), *q = p + c, *r = q + c;
    const struct nn_tensor *up = keeps_upstream(s) ? &s->out[0] : &s->in[0];
    int post = keeps_upstream(s) ? NN_POST_NONE : s->attr.post;
    _Alignas(64) float sd[NN_ROW_MAX], su[NN_ROW_MAX], sx[NN_ROW_MAX], sr[NN_ROW_MAX];
    _Alignas(64) float a[NN_ROW_MAX], b[NN_ROW_MAX];
    forward_coef(j, n, a, b);
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        const float *x = nn_row(&s->in[1], i * c, len, sx);
        const float *dy = nn_row(up, i * c, len, sd);
        const float *u = upstream(post, a, b, dy, x, rows, c, su);
        float *dx = nn_row_out(&s->out[0], i * c, sd);
        for (int row = 0; row < rows; row++)
#pragma omp simd
            for (int k = 0; k < c; k++)
                dx[row * c + k] = nn_fma(p[k], u[row * c + k], nn_fma(q[k], x[row * c + k], r[k]));
        const float *res = j->res ? nn_row(j->res, i * c, len, sr) : NULL;
        if (res)
#pragma omp simd
            for (int k = 0; k < len; k++)
                dx[k] += res[k];
        nn_row_put(&s->out[0], i * c, len, dx);
    }
}

static void back_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        back_sums(j, n, 0, j->d.pixels, sums_of(j, n, 0));
        back_coef(j, n);
        if (nn_has(&j->s->out[0]))
            back_apply(j, n, 0, j->d.pixels);
    }
}
static void back_part_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t n = item / j->l.parts, from, to;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        back_sums(j, n, from, to, sums_of(j, n, (int)(item % j->l.parts)));
    }
}
static void back_part_apply(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t from, to;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        back_apply(j, item / j->l.parts, from, to);
    }
}

/* dgamma = sum_n rsd sum u (x - mean), dbeta = sum_n sum u: in sample order, whatever the threads.
 */
static void param_gradients(const struct job *j)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, cg = c / j->groups;
    for (int k = 0; k < c; k++) {
        double dgamma = 0, dbeta = 0;
        for (int64_t n = 0; n < j->d.n; n++) {
            struct nn_sums sums = sums_of(j, n, 0);
            dbeta += sums.first[k];
            dgamma += sums.second[k] * j->stats[(n * j->groups + k / cg) * 2 + 1];
        }
        if (nn_has(&s->out[1]))
            nn_f32(&s->out[1])[k] = (float)dgamma;
        if (nn_has(&s->out[2]))
            nn_f32(&s->out[2])[k] = (float)dbeta;
    }
}

static status back_run(const struct nn_step *s)
{
    struct job j = job_of(s);
    int threads = nn_threads_for(s, j.d.n * j.d.pixels * j.d.c);
    if (j.l.parts == 1) {
        nn_for_range(threads, j.d.n, back_samples, &j);
    } else {
        nn_for_range(threads, j.d.n * j.l.parts, back_part_sums, &j);
        for (int64_t n = 0; n < j.d.n; n++)
            back_coef(&j, n);
        if (nn_has(&s->out[0]))
            nn_for_range(threads, j.d.n * j.l.parts, back_part_apply, &j);
    }
    if (nn_has(&s->out[1]) || nn_has(&s->out[2]))
        param_gradients(&j);
    return STATUS_OK;
}

#define NORM(OP, row, run_)                                                                        \
    const struct nn_kernel nn_common_##row = {.op = NN_OP_##OP,                                    \
                                              .name = "common." #row,                              \
                                              .supports = fits,                                    \
                                              .prepare = prepare,                                  \
                                              .run = run_};
NORM(GROUP_NORM, group_norm, norm_run)
NORM(BATCH_NORM, batch_norm, norm_run)
NORM(GROUP_NORM_BACK, group_norm_back, back_run)
NORM(BATCH_NORM_BACK, batch_norm_back, back_run)
