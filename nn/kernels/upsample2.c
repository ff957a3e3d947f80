/* Nearest doubling and its gradient. Items are rows of the smaller image. */
#include "kernels/kernels.h"

static bool doubling_fits(const struct nn_step *s)
{
    return s->in[0].store == s->out[0].store;
}

/* One source row fills two output rows: each pixel twice, then the row again. */
static void upsample_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t pixel = (size_t)s->in[0].shape.dim[3] * nn_store_bytes(s->in[0].store);
    size_t w = (size_t)s->in[0].shape.dim[2];
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        const char *x = (const char *)s->in[0].data + (size_t)row * w * pixel;
        char *y = (char *)s->out[0].data + (size_t)row * 4 * w * pixel;
        for (size_t q = 0; q < w; q++) {
            memcpy(y + 2 * q * pixel, x + q * pixel, pixel);
            memcpy(y + (2 * q + 1) * pixel, x + q * pixel, pixel);
        }
        memcpy(y + 2 * w * pixel, y, 2 * w * pixel);
    }
}

static status upsample_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[0].shape;
    nn_for_range(nn_threads_for(s, nn_shape_count(s->out[0].shape)), (int64_t)xs.dim[0] * xs.dim[1],
                 upsample_rows, s);
    return STATUS_OK;
}

static bool back_fits(const struct nn_step *s)
{
    return nn_channels_fit(&s->in[0]);
}

static void upsample_back_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int c = s->out[0].shape.dim[3], w = s->out[0].shape.dim[2];
    _Alignas(64) float sa[2 * NN_ROW_MAX], sb[2 * NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t row = first; row < last; row++)
        for (int q = 0; q < w; q++) {
            int64_t up = (row * 2 * 2 * w + 2 * q) * c, down = up + 2 * (int64_t)w * c;
            const float *a0 = nn_row(&s->in[0], up, c, sa);
            const float *a1 = nn_row(&s->in[0], up + c, c, sa + NN_ROW_MAX);
            const float *b0 = nn_row(&s->in[0], down, c, sb);
            const float *b1 = nn_row(&s->in[0], down + c, c, sb + NN_ROW_MAX);
            float *y = nn_row_out(&s->out[0], (row * w + q) * c, sy);
#pragma omp simd
            for (int k = 0; k < c; k++)
                y[k] = (a0[k] + a1[k]) + (b0[k] + b1[k]);
            nn_row_put(&s->out[0], (row * w + q) * c, c, y);
        }
}

static status upsample_back_run(const struct nn_step *s)
{
    struct nn_shape ys = s->out[0].shape;
    nn_for_range(nn_threads_for(s, nn_shape_count(s->in[0].shape)), (int64_t)ys.dim[0] * ys.dim[1],
                 upsample_back_rows, s);
    return STATUS_OK;
}

const struct nn_kernel nn_common_upsample2 = {.op = NN_OP_UPSAMPLE2,
                                              .name = "common.upsample2",
                                              .supports = doubling_fits,
                                              .run = upsample_run};
const struct nn_kernel nn_common_upsample2_back = {.op = NN_OP_UPSAMPLE2_BACK,
                                                   .name = "common.upsample2_back",
                                                   .supports = back_fits,
                                                   .run = upsample_back_run};
