/* Between (N,C) and (N,H,W,C), and along channels: add_nc, mul_nc, sums over pixels, concat, slice. */
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

/* ---- along channels: bytes are moved, so both sides need one store ---- */

static bool same_store(const struct nn_step *s)
{
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].store != s->out[0].store)
            return false;
    return true;
}

static size_t last_bytes(const struct nn_tensor *t)
{
    return (size_t)t->shape.dim[t->shape.rank - 1] * nn_store_bytes(t->store);
}

static void concat_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t a = last_bytes(&s->in[0]), b = last_bytes(&s->in[1]);
    const char *pa = s->in[0].data, *pb = s->in[1].data;
    char *y = s->out[0].data;
    (void)thread;
    for (size_t i = (size_t)first; i < (size_t)last; i++) {
        memcpy(y + i * (a + b), pa + i * a, a);
        memcpy(y + i * (a + b) + a, pb + i * b, b);
    }
}

static void slice_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t c = last_bytes(&s->in[0]), k = last_bytes(&s->out[0]);
    const char *x =
        (const char *)s->in[0].data + (size_t)s->attr.first * nn_store_bytes(s->in[0].store);
    char *y = s->out[0].data;
    (void)thread;
    for (size_t i = (size_t)first; i < (size_t)last; i++)
        memcpy(y + i * k, x + i * c, k);
}

static void pad_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    size_t k = last_bytes(&s->in[0]), c = last_bytes(&s->out[0]);
    size_t before = (size_t)s->attr.first * nn_store_bytes(s->in[0].store);
    const char *x = s->in[0].data;
    char *y = s->out[0].data;
    (void)thread;
    for (size_t i = (size_t)first; i < (size_t)last; i++) {
        memset(y + i * c, 0, before);
        memcpy(y + i * c + before, x + i * k, k);
        memset(y + i * c + before + k, 0, c - before - k);
    }
}

static status run_pixels(const struct nn_step *s, nn_range_fn *fn)
{
    struct nn_shape ys = s->out[0].shape;
    int64_t n = nn_shape_count(ys);
    nn_for_range(nn_threads_for(s, n), n / ys.dim[ys.rank - 1], fn, s);
    return STATUS_OK;
}
static status concat_run(const struct nn_step *s)
{
    return run_pixels(s, concat_pixels);
}
static status slice_run(const struct nn_step *s)
{
    return run_pixels(s, slice_pixels);
}
static status pad_run(const struct nn_step *s)
{
    return run_pixels(s, pad_pixels);
}

const struct nn_kernel nn_common_concat = {
    .op = NN_OP_CONCAT, .name = "common.concat", .supports = same_store, .run = concat_run};
const struct nn_kernel nn_common_slice_c = {
    .op = NN_OP_SLICE_C, .name = "common.slice_c", .supports = same_store, .run = slice_run};
const struct nn_kernel nn_common_pad_c = {
    .op = NN_OP_PAD_C, .name = "common.pad_c", .supports = same_store, .run = pad_run};
