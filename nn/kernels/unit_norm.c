/* Each pixel's channels scaled to unit length, and the gradient. Items are pixels. */
#include "kernels/kernels.h"

#include <math.h>

static bool fits(const struct nn_step *s)
{
    return s->out[0].shape.dim[s->out[0].shape.rank - 1] <= NN_ROW_MAX;
}

static void unit_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int c = s->out[0].shape.dim[s->out[0].shape.rank - 1];
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const float *x = nn_row(&s->in[0], i * c, c, sx);
        float *y = nn_row_out(&s->out[0], i * c, sy);
        float f = 1 / (sqrtf(nn_dot(x, x, c)) + s->attr.eps);
#pragma omp simd
        for (int k = 0; k < c; k++)
            y[k] = f * x[k];
        nn_row_put(&s->out[0], i * c, c, y);
    }
}

/* With r = |x|, f = 1/(r+eps):  dx = f dy - x (dy.x) f^2 / r, and 0 where r is 0. */
static void unit_back_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int c = s->out[0].shape.dim[s->out[0].shape.rank - 1];
    _Alignas(64) float sd[NN_ROW_MAX], sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t i = first; i < last; i++) {
        const float *dy = nn_row(&s->in[0], i * c, c, sd), *x = nn_row(&s->in[1], i * c, c, sx);
        float *dx = nn_row_out(&s->out[0], i * c, sy);
        float r = sqrtf(nn_dot(x, x, c)), f = r == 0 ? 0 : 1 / (r + s->attr.eps);
        float pull = r == 0 ? 0 : nn_dot(dy, x, c) * f * f / r;
#pragma omp simd
        for (int k = 0; k < c; k++)
            dx[k] = f * dy[k] - pull * x[k];
        nn_row_put(&s->out[0], i * c, c, dx);
    }
}

static status run_pixels(const struct nn_step *s, nn_range_fn *fn)
{
    struct nn_shape ys = s->out[0].shape;
    int64_t n = nn_shape_count(ys);
    nn_for_range(nn_threads_for(s, n), n / ys.dim[ys.rank - 1], fn, s);
    return STATUS_OK;
}
static status unit_run(const struct nn_step *s)
{
    return run_pixels(s, unit_pixels);
}
static status unit_back_run(const struct nn_step *s)
{
    return run_pixels(s, unit_back_pixels);
}

const struct nn_kernel nn_common_unit_norm = {
    .op = NN_OP_UNIT_NORM, .name = "common.unit_norm", .supports = fits, .run = unit_run};
const struct nn_kernel nn_common_unit_norm_back = {.op = NN_OP_UNIT_NORM_BACK,
                                                   .name = "common.unit_norm_back",
                                                   .supports = fits,
                                                   .run = unit_back_run};
