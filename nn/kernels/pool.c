/* Maximum and average pooling and their gradients. Items are rows of the output image (n, p). */
#include "ops/pool.h"
#include "kernels/kernels.h"

#include <math.h>

static bool images_fit(const struct nn_step *s)
{
    return nn_channels_fit(&s->in[0]);
}

static void pool_pixel(const struct nn_step *s, int n, int p, int q, float *sx, float *y)
{
    struct nn_shape xs = s->in[0].shape;
    const struct nn_pool *a = &s->attr.pool;
    struct nn_window hs = nn_window(a, xs.dim[1], p), ws = nn_window(a, xs.dim[2], q);
    int c = xs.dim[3];
    bool max = s->op == NN_OP_MAX_POOL, started = false;
    if (!max)
        memset(y, 0, (size_t)c * sizeof *y);
    for (int h = hs.first; h < hs.last; h++)
        for (int w = ws.first; w < ws.last; w++) {
            const float *x =
                nn_row(&s->in[0], (((int64_t)n * xs.dim[1] + h) * xs.dim[2] + w) * c, c, sx);
            if (max && !started) {
                memcpy(y, x, (size_t)c * sizeof *y);
                started = true;
            } else if (max) {
#pragma omp simd
                for (int k = 0; k < c; k++)
                    y[k] = x[k] > y[k] || x[k] != x[k] ? x[k] : y[k]; /* a NaN is kept and seen */
            } else {
#pragma omp simd
                for (int k = 0; k < c; k++)
                    y[k] += x[k];
            }
        }
    float share = 1.0f / ((float)hs.places * (float)ws.places);
    if (!max)
#pragma omp simd
        for (int k = 0; k < c; k++)
            y[k] *= share;
}

static void pool_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct nn_shape ys = s->out[0].shape;
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t row = first; row < last; row++)
        for (int q = 0; q < ys.dim[2]; q++) {
            int64_t at = (row * ys.dim[2] + q) * ys.dim[3];
            float *y = nn_row_out(&s->out[0], at, sy);
            pool_pixel(s, (int)(row / ys.dim[1]), (int)(row % ys.dim[1]), q, sx, y);
            nn_row_put(&s->out[0], at, ys.dim[3], y);
        }
}

static status pool_run(const struct nn_step *s)
{
    struct nn_shape ys = s->out[0].shape;
    nn_for_range(nn_threads_for(s, nn_shape_count(s->in[0].shape)), (int64_t)ys.dim[0] * ys.dim[1],
                 pool_rows, s);
    return STATUS_OK;
}

const struct nn_kernel nn_common_max_pool = {
    .op = NN_OP_MAX_POOL, .name = "common.max_pool", .supports = images_fit, .run = pool_run};
const struct nn_kernel nn_common_avg_pool = {
    .op = NN_OP_AVG_POOL, .name = "common.avg_pool", .supports = images_fit, .run = pool_run};

/* ---- backward: items are samples; dx is summed in f32, for a bf16 dx in scratch ---- */

static status back_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_nhwc d = nn_nhwc(s->out[0].shape);
    if (s->out[0].store == NN_STORE_BF16)
        s->scratch_bytes = (size_t)s->threads * (size_t)d.pixels * (size_t)d.c * sizeof(float);
    return STATUS_OK;
}

/* Adds dy where x has its window's first maximum. */
static void max_back_pixel(const struct nn_step *s, int64_t n, struct nn_window hs,
                           struct nn_window ws, const float *dy, float *sx, float *dx)
{
    struct nn_shape xs = s->in[1].shape;
    int c = xs.dim[3];
    float best[NN_ROW_MAX];
    int32_t where[NN_ROW_MAX];
    bool started = false;
    for (int h = hs.first; h < hs.last; h++)
        for (int w = ws.first; w < ws.last; w++) {
            int32_t pixel = h * xs.dim[2] + w;
            const float *x = nn_row(&s->in[1], ((n * xs.dim[1] + h) * xs.dim[2] + w) * c, c, sx);
            if (!started)
                memcpy(best, x, (size_t)c * sizeof *best);
#pragma omp simd
            for (int k = 0; k < c; k++) {
                bool more = !started || x[k] > best[k] || x[k] != x[k];
                where[k] = more ? pixel : where[k];
                best[k] = more ? x[k] : best[k];
            }
            started = true;
        }
    for (int k = 0; k < c; k++)
        dx[(int64_t)where[k] * c + k] += dy[k];
}

static void avg_back_pixel(struct nn_shape xs, struct nn_window hs, struct nn_window ws,
                           const float *dy, float *dx)
{
    int c = xs.dim[3];
    float share = 1.0f / ((float)hs.places * (float)ws.places);
    for (int h = hs.first; h < hs.last; h++)
        for (int w = ws.first; w < ws.last; w++) {
            float *to = dx + ((int64_t)h * xs.dim[2] + w) * c;
#pragma omp simd
            for (int k = 0; k < c; k++)
                to[k] += share * dy[k];
        }
}

static void pool_back_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct nn_shape xs = s->out[0].shape, ys = s->in[0].shape;
    int64_t per = (int64_t)xs.dim[1] * xs.dim[2] * xs.dim[3];
    bool bf16 = s->out[0].store == NN_STORE_BF16;
    _Alignas(64) float sd[NN_ROW_MAX], sx[NN_ROW_MAX];
    for (int64_t n = first; n < last; n++) {
        float *dx = bf16 ? (float *)s->scratch + thread * per : nn_f32(&s->out[0]) + n * per;
        memset(dx, 0, (size_t)per * sizeof *dx);
        for (int p = 0; p < ys.dim[1]; p++)
            for (int q = 0; q < ys.dim[2]; q++) {
                int64_t at = ((n * ys.dim[1] + p) * ys.dim[2] + q) * ys.dim[3];
                const float *dy = nn_row(&s->in[0], at, ys.dim[3], sd);
                struct nn_window hs = nn_window(&s->attr.pool, xs.dim[1], p);
                struct nn_window ws = nn_window(&s->attr.pool, xs.dim[2], q);
                if (s->op == NN_OP_MAX_POOL_BACK)
                    max_back_pixel(s, n, hs, ws, dy, sx, dx);
                else
                    avg_back_pixel(xs, hs, ws, dy, dx);
            }
        for (int64_t i = 0; bf16 && i < per; i += NN_ROW_MAX)
            nn_row_put(&s->out[0], n * per + i, (int)nn_min(NN_ROW_MAX, per - i), dx + i);
    }
}

static status pool_back_run(const struct nn_step *s)
{
    nn_for_range(nn_threads_for(s, nn_shape_count(s->out[0].shape)), s->out[0].shape.dim[0],
                 pool_back_samples, s);
    return STATUS_OK;
}

const struct nn_kernel nn_common_max_pool_back = {.op = NN_OP_MAX_POOL_BACK,
                                                  .name = "common.max_pool_back",
                                                  .supports = images_fit,
                                                  .prepare = back_prepare,
                                                  .run = pool_back_run};
const struct nn_kernel nn_common_avg_pool_back = {.op = NN_OP_AVG_POOL_BACK,
                                                  .name = "common.avg_pool_back",
                                                  .supports = images_fit,
                                                  .prepare = back_prepare,
                                                  .run = pool_back_run};
