/* The gradient of a depthwise convolution's weights and bias, by the formula in conv_depthwise.c. Parts
   are images; their sums are added in their order. */
#include "kernels/depthwise.h"

/* sum[k] += sum over pixels of x[k] dy[k]; x advances by `stride` pixels where dy advances by one. */
static inline __attribute__((always_inline)) void
sum_pixels(const struct nn_step *s, int64_t x, int64_t dy, int pixels, int stride, float *sum)
{
    const struct nn_tensor *tx = &s->in[X], *td = &s->in[WEIGHTS_DY];
    bool bx = tx->store == NN_STORE_BF16, bd = td->store == NN_STORE_BF16;
    int c = tx->shape.dim[3], k = 0;
    int64_t step = (int64_t)stride * c;
    for (; k + NN_LANES <= c; k += NN_LANES) {
        nn_lanes total = nn_lanes_load(sum + k);
        for (int64_t i = 0; i < pixels; i++)
            total = nn_lanes_fma(nn_lanes_load_at(tx->data, bx, x + i * step + k),
                                 nn_lanes_load_at(td->data, bd, dy + i * c + k), total);
        nn_lanes_store(sum + k, total);
    }
    for (; k < c; k++)
        for (int64_t i = 0; i < pixels; i++)
            sum[k] = nn_fma(nn_load_at(tx->data, bx, x + i * step + k),
                            nn_load_at(td->data, bd, dy + i * c + k), sum[k]);
}

static void sum_bias(const struct nn_step *s, int64_t dy, int pixels, float *sum)
{
    const struct nn_tensor *t = &s->in[WEIGHTS_DY];
    int c = t->shape.dim[3];
    _Alignas(64) float sd[NN_ROW_MAX];
    for (int i = 0; i < pixels; i++) {
        const float *d = nn_row(t, dy + (int64_t)i * c, c, sd);
#pragma omp simd
        for (int k = 0; k < c; k++)
            sum[k] += d[k];
    }
}

/* One row of dy with every row of x that it meets. */
static void weights_row(const struct nn_step *s, const struct nn_depthwise_dims *d, int64_t n,
                        int p, float *sum)
{
    int64_t row = (n * d->p + p) * d->q;
    for (int i = 0; i < d->kh; i++) {
        int64_t h = (int64_t)p * d->stride - d->top + i;
        for (int k = 0; h >= 0 && h < d->h && k < d->kw; k++) {
            /* the first and the last q with a pixel of x in its place */
            int64_t off = (int64_t)k - d->left,
                    first = off < 0 ? (d->stride - 1 - off) / d->stride : 0;
            int64_t last = off >= d->w ? 0 : nn_min(d->q, (d->w - 1 - off) / d->stride + 1);
            if (first >= last)
                continue;
            int64_t x = (n * d->h + h) * d->w + first * d->stride + off;
            sum_pixels(s, x * d->c, (row + first) * d->c, (int)(last - first), d->stride,
                       sum + (size_t)(i * d->kw + k) * (size_t)d->c);
        }
    }
    if (nn_has(&s->out[1]))
        sum_bias(s, row * d->c, d->q, sum + nn_depthwise_weights(d));
}

static size_t part_floats(const struct nn_depthwise_dims *d)
{
    return nn_depthwise_weights(d) + (size_t)d->c;
}

/* Image by image, and those sums are added: no sum becomes too long for floats. */
static void weights_part(const void *ctx, int64_t first, int64_t last, int part)
{
    const struct nn_step *s = ctx;
    struct nn_depthwise_dims d = nn_depthwise_dims(s);
    size_t floats = part_floats(&d);
    float *sum = (float *)s->scratch + (size_t)part * 2 * floats, *image = sum + floats;
    memset(sum, 0, floats * sizeof *sum);
    for (int64_t n = first; n < last; n++) {
        memset(image, 0, floats * sizeof *image);
        for (int p = 0; p < d.p; p++)
            weights_row(s, &d, n, p, image);
#pragma omp simd
        for (size_t i = 0; i < floats; i++)
            sum[i] += image[i];
    }
}

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_depthwise_dims d = nn_depthwise_dims(s);
    s->scratch_bytes = (size_t)s->threads * 2 * part_floats(&d) * sizeof(float);
    return STATUS_OK;
}

static status weights_run(const struct nn_step *s)
{
    struct nn_depthwise_dims d = nn_depthwise_dims(s);
    size_t floats = part_floats(&d), taps = (size_t)(d.kh * d.kw), c = (size_t)d.c;
    int parts = (int)nn_min(nn_threads_for(s, nn_shape_count(s->in[X].shape)), d.n);
    float *sum = s->scratch, *dw = nn_f32(&s->out[0]);
    nn_for_parts(parts, d.n, weights_part, s);
    for (int p = 1; p < parts; p++)
        for (size_t i = 0; i < floats; i++)
            sum[i] += sum[(size_t)p * 2 * floats + i];
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < taps; i++)
            dw[k * taps + i] = sum[i * c + k];
    if (nn_has(&s->out[1]))
        memcpy(s->out[1].data, sum + nn_depthwise_weights(&d), c * sizeof *sum);
    return STATUS_OK;
}

const struct nn_kernel nn_depthwise_conv2d_weights = {.op = NN_OP_CONV2D_WEIGHTS,
                                                      .name = "depthwise.conv2d_weights",
                                                      .supports = nn_depthwise_supports,
                                                      .prepare = weights_prepare,
                                                      .run = weights_run};
