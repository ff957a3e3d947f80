/*
 * Attention; each thread computes whole items, (sample, head). L positions, D channels of the head.
 *
 *     P = softmax(scale q k'),  y = P v
 *     dv = P' dy,  G = dy v',  S = P * (G - rowsum(P * G)) * scale,  dq = S k,  dk = S' q
 *
 * P is computed again in the backward pass: L*L numbers that need not be kept.
 */
#include "openblas/openblas.h"

#include <math.h>

struct dims {
    int n, l, c, heads, d;
    size_t ld; /* floats of one (L,D) matrix */
};

static struct dims dims_of(const struct nn_step *s)
{
    struct nn_shape q = s->in[0].shape;
    struct dims d = {.n = q.dim[0],
                     .l = q.dim[1] * q.dim[2],
                     .c = q.dim[3],
                     .heads = s->attr.groups,
                     .d = q.dim[3] / s->attr.groups};
    d.ld = (size_t)d.l * (size_t)d.d;
    return d;
}

static size_t thread_floats(const struct nn_step *s)
{
    struct dims d = dims_of(s);
    size_t ll = (size_t)d.l * (size_t)d.l;
    return s->op == NN_OP_ATTENTION ? ll + 4 * d.ld : 2 * ll + 5 * d.ld;
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    s->scratch_bytes = (size_t)s->threads * thread_floats(s) * sizeof(float);
    return STATUS_OK;
}

/* A head's matrix: in place with row length C when it is f32, else converted to `buffer` (row length
 * D). */
struct matrix {
    float *at;
    int ld;
};

static int64_t head_start(const struct dims *d, int64_t item)
{
    return item / d->heads * d->l * d->c + item % d->heads * d->d;
}

static struct matrix load(const struct nn_tensor *t, const struct dims *d, int64_t item,
                          float *buffer)
{
    int64_t at = head_start(d, item);
    if (t->store == NN_STORE_F32)
        return (struct matrix){nn_f32(t) + at, d->c};
    for (int i = 0; i < d->l; i++)
        for (int k = 0; k < d->d; k += NN_ROW_MAX)
            nn_row(t, at + (int64_t)i * d->c + k, (int)nn_min(NN_ROW_MAX, d->d - k),
                   buffer + (int64_t)i * d->d + k);
    return (struct matrix){buffer, d->d};
}

static struct matrix result(const struct nn_tensor *t, const struct dims *d, int64_t item,
                            float *buffer)
{
    if (t->store == NN_STORE_F32)
        return (struct matrix){nn_f32(t) + head_start(d, item), d->c};
    return (struct matrix){buffer, d->d};
}

static void keep(const struct nn_tensor *t, const struct dims *d, int64_t item, const float *buffer)
{
    for (int i = 0; t->store != NN_STORE_F32 && i < d->l; i++)
        for (int k = 0; k < d->d; k += NN_ROW_MAX)
            nn_row_put(t, head_start(d, item) + (int64_t)i * d->c + k,
                       (int)nn_min(NN_ROW_MAX, d->d - k), buffer + (int64_t)i * d->d + k);
}

static void probabilities(const struct dims *d, struct matrix q, struct matrix k, float *p)
{
    nn_gemm(false, true, d->l, d->l, d->d, 1, q.at, q.ld, k.at, k.ld, 0, p, d->l);
    nn_softmax(p, d->l, d->l, 1 / sqrtf((float)d->d), NULL);
}

static void forward_heads(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct dims d = dims_of(s);
    float *p = (float *)s->scratch + (size_t)thread * thread_floats(s);
    float *buffer = p + (size_t)d.l * (size_t)d.l;
    for (int64_t item = first; item < last; item++) {
        struct matrix q = load(&s->in[0], &d, item, buffer);
        struct matrix k = load(&s->in[1], &d, item, buffer + d.ld);
        struct matrix v = load(&s->in[2], &d, item, buffer + 2 * d.ld);
        struct matrix y = result(&s->out[0], &d, item, buffer + 3 * d.ld);
        probabilities(&d, q, k, p);
        nn_gemm(false, false, d.l, d.d, d.l, 1, p, d.l, v.at, v.ld, 0, y.at, y.ld);
        keep(&s->out[0], &d, item, y.at);
    }
}

/* g = p * (g - rowsum(p * g)) * scale */
static void softmax_back(const struct dims *d, const float *p, float *g)
{
    float scale = 1 / sqrtf((float)d->d);
    for (int i = 0; i < d->l; i++, p += d->l, g += d->l) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < d->l; j++)
            sum += p[j] * g[j];
#pragma omp simd
        for (int j = 0; j < d->l; j++)
            g[j] = p[j] * (g[j] - sum) * scale;
    }
}

static void backward_heads(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct dims d = dims_of(s);
    float *p = (float *)s->scratch + (size_t)thread * thread_floats(s);
    float *g = p + (size_t)d.l * (size_t)d.l, *buffer = g + (size_t)d.l * (size_t)d.l;
    float *out = buffer + 4 * d.ld;
    for (int64_t item = first; item < last; item++) {
        struct matrix dy = load(&s->in[0], &d, item, buffer),
                      q = load(&s->in[1], &d, item, buffer + d.ld);
        struct matrix k = load(&s->in[2], &d, item, buffer + 2 * d.ld);
        struct matrix v = load(&s->in[3], &d, item, buffer + 3 * d.ld);
        probabilities(&d, q, k, p);
        if (nn_has(&s->out[2])) {
            struct matrix dv = result(&s->out[2], &d, item, out);
            nn_gemm(true, false, d.l, d.d, d.l, 1, p, d.l, dy.at, dy.ld, 0, dv.at, dv.ld);
            keep(&s->out[2], &d, item, dv.at);
        }
        nn_gemm(false, true, d.l, d.l, d.d, 1, dy.at, dy.ld, v.at, v.ld, 0, g, d.l);
        softmax_back(&d, p, g);
        for (int i = 0; i < 2; i++) {
            if (!nn_has(&s->out[i]))
                continue;
            struct matrix other = i ? q : k, to = result(&s->out[i], &d, item, out);
            nn_gemm(i == 1, false, d.l, d.d, d.l, 1, g, d.l, other.at, other.ld, 0, to.at, to.ld);
            keep(&s->out[i], &d, item, to.at);
        }
    }
}

static status run_heads(const struct nn_step *s, nn_range_fn *fn)
{
    struct dims d = dims_of(s);
    int64_t work = (int64_t)d.n * d.l * d.l * d.c / 16;
    nn_for_range(nn_threads_for(s, work), (int64_t)d.n * d.heads, fn, s);
    return STATUS_OK;
}
static status forward_run(const struct nn_step *s)
{
    return run_heads(s, forward_heads);
}
static status backward_run(const struct nn_step *s)
{
    return run_heads(s, backward_heads);
}
static bool anything(const struct nn_step *s)
{
    (void)s;
    return true;
}

const struct nn_kernel nn_openblas_attention = {.op = NN_OP_ATTENTION,
                                                .name = "openblas.attention",
                                                .supports = anything,
                                                .prepare = prepare,
                                                .run = forward_run};
const struct nn_kernel nn_openblas_attention_back = {.op = NN_OP_ATTENTION_BACK,
                                                     .name = "openblas.attention_back",
                                                     .supports = anything,
                                                     .prepare = prepare,
                                                     .run = backward_run};
