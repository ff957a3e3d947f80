/* Between (N,C) and (N,H,W,C): add_nc, mul_nc, sums over pixels and their gradients. */
#include "kernels/kernels.h"

static bool image_fits(const struct nn_step *s)
{
    const struct nn_tensor *image = s->op == NN_OP_SPREAD_HW ? &s->out[0] : &s->in[0];
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].shape.rank == 2 && s->in[i].store != NN_STORE_F32)
            return false;
    return nn_channels_fit(image);
}

/* y = x + v, x * v or scale v, v one row per sample; items are pixels of the whole batch. */
static void with_nc(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    bool spread = s->op == NN_OP_SPREAD_HW;
    const struct nn_tensor *image = spread ? &s->out[0] : &s->in[0];
    struct nn_nhwc d = nn_nhwc(image->shape);
    int c = d.c, step = nn_row_pixels(c);
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t i = first; i < last;) {
        int64_t n = i / d.pixels;
        int rows = (int)nn_min(step, nn_min(last, (n + 1) * d.pixels) - i);
        const float *v = nn_f32(&s->in[spread ? 0 : 1]) + n * c;
        const float *x = spread ? NULL : nn_row(&s->in[0], i * c, rows * c, sx);
        float *y = nn_row_out(&s->out[0], i * c, sy), scale = s->attr.scale;
        for (int r = 0; r < rows; r++) {
            if (s->op == NN_OP_ADD_NC) {
#pragma omp simd
                for (int k = 0; k < c; k++)
                    y[r * c + k] = x[r * c + k] + v[k];
            } else if (s->op == NN_OP_MUL_NC) {
#pragma omp simd
                for (int k = 0; k < c; k++)
                    y[r * c + k] = x[r * c + k] * v[k];
            } else {
#pragma omp simd
                for (int k = 0; k < c; k++)
                    y[r * c + k] = scale * v[k];
            }
        }
        nn_row_put(&s->out[0], i * c, rows * c, y);
        i += rows;
    }
}

static status with_nc_run(const struct nn_step *s)
{
    int64_t n = nn_shape_count(s->out[0].shape);
    nn_for_range(nn_threads_for(s, n), n / s->out[0].shape.dim[3], with_nc, s);
    return STATUS_OK;
}

/* Items are samples: sums stay in one thread, rows in f32, across rows in double. */
static void sum_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct nn_nhwc d = nn_nhwc(s->in[0].shape);
    int c = d.c, step = nn_row_pixels(c);
    bool dot = s->op == NN_OP_DOT_HW;
    _Alignas(64) float sa[NN_ROW_MAX], sb[NN_ROW_MAX], part[NN_ROW_MAX];
    _Alignas(64) double sum[NN_ROW_MAX];
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        memset(sum, 0, (size_t)c * sizeof *sum);
        for (int64_t i = n * d.pixels; i < (n + 1) * d.pixels; i += step) {
            int rows = (int)nn_min(step, (n + 1) * d.pixels - i);
            const float *a = nn_row(&s->in[0], i * c, rows * c, sa);
            const float *b = dot ? nn_row(&s->in[1], i * c, rows * c, sb) : NULL;
            memset(part, 0, (size_t)c * sizeof *part);
            for (int r = 0; r < rows; r++)
#pragma omp simd
                for (int k = 0; k < c; k++)
                    part[k] += dot ? a[r * c + k] * b[r * c + k] : a[r * c + k];
            for (int k = 0; k < c; k++)
                sum[k] += (double)part[k];
        }
        double scale = dot ? 1 : (double)s->attr.scale;
        for (int k = 0; k < c; k++)
            nn_f32(&s->out[0])[n * c + k] = (float)(sum[k] * scale);
    }
}

static status sum_run(const struct nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);
    nn_for_range(nn_threads_for(s, n), s->in[0].shape.dim[0], sum_samples, s);
    return STATUS_OK;
}

#define IMAGE_KERNEL(OP, row, run_)                                                                \
    const struct nn_kernel nn_common_##row = {                                                     \
        .op = NN_OP_##OP, .name = "common." #row, .supports = image_fits, .run = run_};
IMAGE_KERNEL(ADD_NC, add_nc, with_nc_run)
IMAGE_KERNEL(MUL_NC, mul_nc, with_nc_run)
IMAGE_KERNEL(SPREAD_HW, spread_hw, with_nc_run)
IMAGE_KERNEL(SUM_HW, sum_hw, sum_run)
IMAGE_KERNEL(DOT_HW, dot_hw, sum_run)
