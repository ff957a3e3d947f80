/*
 * Layer normalisation. A row is summed twice, the second time around its mean: it is in the
 * nearest cache by then. The gradients of gamma and beta are summed over blocks of rows in f32,
 * those sums in double, by part (device.h), and the parts in their order.
 */
#include "kernels/kernels.h"

#include <math.h>

enum { X, GAMMA };
enum { DY, BACK_X, BACK_GAMMA, BACK_STATS = 4 };
enum { BLOCK = 64 }; /* rows */

static int channels(const struct nn_tensor *t)
{
    return t->shape.dim[t->shape.rank - 1];
}

static bool fits(const struct nn_step *s)
{
    return channels(&s->in[s->op == NN_OP_LAYER_NORM ? X : BACK_X]) <= NN_ROW_MAX;
}

/* sum (x - mean)^power, power 1 or 2 */
static inline float row_sum(const float *x, float mean, bool square, int n)
{
    float sum[NN_SUMS] = {0};
    int i = 0;
    for (; i + NN_SUMS <= n; i += NN_SUMS)
#pragma omp simd
        for (int k = 0; k < NN_SUMS; k++) {
            float d = x[i + k] - mean;
            sum[k] = square ? nn_fma(d, d, sum[k]) : sum[k] + d;
        }
    for (int k = 0; i < n; i++, k++) {
        float d = x[i] - mean;
        sum[k] = square ? nn_fma(d, d, sum[k]) : sum[k] + d;
    }
    return nn_total(sum);
}

static void norm_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int c = channels(&s->in[X]);
    const float *gamma = nn_f32(&s->in[GAMMA]), *beta = nn_f32(&s->in[GAMMA + 1]);
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t r = first; r < last; r++) {
        const float *x = nn_row(&s->in[X], r * c, c, sx);
        float *y = nn_row_out(&s->out[0], r * c, sy);
        float start = x[0], mean = start + row_sum(x, start, false, c) / (float)c;
        float rsd = 1 / sqrtf(row_sum(x, mean, true, c) / (float)c + s->attr.eps);
#pragma omp simd
        for (int k = 0; k < c; k++)
            y[k] = nn_fma((x[k] - mean) * rsd, gamma[k], beta[k]);
        nn_row_put(&s->out[0], r * c, c, y);
        if (nn_has(&s->out[1])) {
            nn_f32(&s->out[1])[2 * r] = mean;
            nn_f32(&s->out[1])[2 * r + 1] = rsd;
        }
    }
}

static status norm_run(const struct nn_step *s)
{
    int64_t n = nn_shape_count(s->out[0].shape);
    nn_for_range(nn_threads_for(s, n), n / channels(&s->out[0]), norm_rows, s);
    return STATUS_OK;
}

const struct nn_kernel nn_common_layer_norm = {
    .op = NN_OP_LAYER_NORM, .name = "common.layer_norm", .supports = fits, .run = norm_run};

/* A block's sums, and a row's dx. */
struct block {
    float dgamma[NN_ROW_MAX], dbeta[NN_ROW_MAX];
};

static void back_row(const struct nn_step *s, int64_t r, struct block *b)
{
    int c = channels(&s->in[BACK_X]);
    const float *gamma = nn_f32(&s->in[BACK_GAMMA]), *stats = nn_f32(&s->in[BACK_STATS]) + 2 * r;
    _Alignas(64) float sd[NN_ROW_MAX], sx[NN_ROW_MAX], sy[NN_ROW_MAX], e[NN_ROW_MAX], h[NN_ROW_MAX];
    const float *dy = nn_row(&s->in[DY], r * c, c, sd), *x = nn_row(&s->in[BACK_X], r * c, c, sx);
    float mean = stats[0], rsd = stats[1];
#pragma omp simd
    for (int k = 0; k < c; k++) {
        h[k] = (x[k] - mean) * rsd;
        e[k] = dy[k] * gamma[k];
        b->dgamma[k] = nn_fma(dy[k], h[k], b->dgamma[k]);
        b->dbeta[k] += dy[k];
    }
    if (!nn_has(&s->out[0]))
        return;
    float *dx = nn_row_out(&s->out[0], r * c, sy);
    float me = row_sum(e, 0, false, c) / (float)c, meh = nn_dot(e, h, c) / (float)c;
#pragma omp simd
    for (int k = 0; k < c; k++)
        dx[k] = rsd * (e[k] - me - h[k] * meh);
    nn_row_put(&s->out[0], r * c, c, dx);
}

static void back_part(const void *ctx, int64_t first, int64_t last, int part)
{
    const struct nn_step *s = ctx;
    int c = channels(&s->in[BACK_X]);
    double *dgamma = (double *)s->scratch + (size_t)part * 2 * (size_t)c, *dbeta = dgamma + c;
    struct block b;
    memset(dgamma, 0, 2 * (size_t)c * sizeof *dgamma);
    for (int64_t at = first; at < last; at += BLOCK) {
        memset(b.dgamma, 0, (size_t)c * sizeof *b.dgamma);
        memset(b.dbeta, 0, (size_t)c * sizeof *b.dbeta);
        for (int64_t r = at; r < nn_min(at + BLOCK, last); r++)
            back_row(s, r, &b);
        for (int k = 0; k < c; k++) {
            dgamma[k] += (double)b.dgamma[k];
            dbeta[k] += (double)b.dbeta[k];
        }
    }
}

static status back_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    s->scratch_bytes = (size_t)s->threads * 2 * (size_t)channels(&s->in[BACK_X]) * sizeof(double);
    return STATUS_OK;
}

static status back_run(const struct nn_step *s)
{
    int c = channels(&s->in[BACK_X]);
    int64_t n = nn_shape_count(s->in[BACK_X].shape), rows = n / c;
    int parts = (int)nn_min(nn_threads_for(s, n), rows);
    double *sum = s->scratch;
    nn_for_parts(parts, rows, back_part, s);
    for (int p = 1; p < parts; p++)
        for (int k = 0; k < 2 * c; k++)
            sum[k] += sum[(size_t)p * 2 * (size_t)c + (size_t)k];
    for (int i = 1; i < 3; i++)
        for (int k = 0; nn_has(&s->out[i]) && k < c; k++)
            nn_f32(&s->out[i])[k] = (float)sum[(i - 1) * c + k];
    return STATUS_OK;
}

const struct nn_kernel nn_common_layer_norm_back = {.op = NN_OP_LAYER_NORM_BACK,
                                                    .name = "common.layer_norm_back",
                                                    .supports = fits,
                                                    .prepare = back_prepare,
                                                    .run = back_run};
