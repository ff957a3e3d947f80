/*
 * The gradient of a convolution's filters by im2col: in x, dy; out dw, db?. In f32 on every CPU; in
 * bf16 where the CPU multiplies pairs of bf16 numbers (AVX512-BF16) but not tiles of them.
 */
#include "kernels/im2col.h"
#include "kernels/lanes.h"

enum {
    LANES = NN_PANEL,
    BLOCK_BYTES = 1 << 20 /* of the matrix; the sums are read and written once for each block */
};

static bool supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && nn_im2col_fits(s, s->in[0].shape, s->in[1].shape);
}

static size_t filter_floats(const struct nn_step *s)
{
    return (size_t)nn_shape_count(s->out[0].shape);
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    status st = nn_im2col_new(s, s->in[0].shape, s->out[0].shape, s->in[1].shape, BLOCK_BYTES);
    if (!st)
        s->scratch_bytes += filter_floats(s) * (size_t)s->threads * sizeof(float);
    return st;
}

/* A thread's part of the gradient, in panels. */
static float *sums_of(const struct nn_step *s, int thread)
{
    const struct nn_im2col *g = s->state;
    return (float *)s->scratch + g->end + filter_floats(s) * (size_t)thread;
}

static void correlate_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct nn_im2col *g = s->state;
    const struct nn_tensor *dy = &s->in[1];
    float *v = nn_im2col_matrix(s, thread), *z = v + g->second_at;
    int outputs = g->y.dim[3];
    for (int64_t at = first; at < last; at += g->block) {
        int count = (int)nn_min(g->block, last - at);
        nn_im2col_copy(s, at, count, v);
        for (int64_t i = 0; i < count; i++)
            nn_pixel_to_panels(nn_pixel_at(dy, at + i), dy->store == NN_STORE_BF16, outputs,
                               z + i * LANES, (int64_t)count * LANES);
        nn_panel_correlate(v, z, sums_of(s, thread), count, (int)nn_im2col_columns(g),
                           outputs / LANES, at > first);
    }
}

static status run_with(const struct nn_step *s, nn_range_fn *correlate)
{
    int64_t pixels = nn_im2col_pixels(s->state);
    nn_for_parts(s->threads, pixels, correlate, s);
    nn_add_parts(s, sums_of(s, 0), filter_floats(s), nn_min(s->threads, pixels));
    nn_im2col_write_filters(s, nn_f32(&s->out[0]), sums_of(s, 0));
    if (nn_has(&s->out[1]))
        nn_bias_gradient(s, &s->in[1], &s->out[1]);
    return STATUS_OK;
}

static status run(const struct nn_step *s)
{
    return run_with(s, correlate_pixels);
}

/* ---- in bf16, by pairs of pixels in VNNI layout (panels.h) ---- */

#if defined(__AVX512BF16__)
static bool vnni_supports(const struct nn_step *s)
{
    return s->in[0].store == NN_STORE_BF16 && s->in[1].store == NN_STORE_BF16 && supports(s) &&
           nn_im2col_pays(s->out[0].shape);
}

/* The channels of two pixels interleaved: a0 b0 a1 b1 ... */
static void to_vnni(const uint16_t *a, const uint16_t *b, int channels, uint16_t *to, int64_t panel)
{
    static const _Alignas(64)
        uint16_t order[2 * LANES] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i interleave = _mm512_load_si512(order);
    for (int c = 0; c < channels; c += LANES, to += panel) {
        __m512i both = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(a + c)));
        both = _mm512_inserti64x4(both, _mm256_loadu_si256((const void *)(b + c)), 1);
        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(interleave, both));
    }
}

static void im2col_vnni(const struct nn_step *s, int64_t first, int count, uint16_t *to)
{
    const struct nn_im2col *g = s->state;
    int64_t panel = (int64_t)(count + 1) / 2 * 2 * LANES;
    int c = g->x.dim[3], kh = g->w.dim[2], kw = g->w.dim[3];
    for (int p = 0; p < count; p += 2, to += 2 * LANES) {
        struct nn_pixel a = nn_pixel(g->y, first + p), b = nn_pixel(g->y, first + p + 1);
        for (int i = 0; i < kh; i++)
            for (int k = 0; k < kw; k++)
                to_vnni(nn_im2col_source(s, &a, i, k),
                        p + 1 < count ? nn_im2col_source(s, &b, i, k) : nn_zero_pixel, c,
                        to + (int64_t)(i * kw + k) * c / LANES * panel, panel);
    }
}

static void correlate_vnni(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct nn_im2col *g = s->state;
    const struct nn_tensor *dy = &s->in[1];
    float *matrix = nn_im2col_matrix(s, thread);
    uint16_t *v = (uint16_t *)matrix, *z = (uint16_t *)(matrix + g->second_at);
    int outputs = g->y.dim[3];
    for (int64_t at = first; at < last; at += g->block) {
        int count = (int)nn_min(g->block, last - at), pairs = (count + 1) / 2;
        im2col_vnni(s, at, count, v);
        for (int64_t i = 0; i < count; i += 2)
            to_vnni(nn_pixel_at(dy, at + i),
                    i + 1 < count ? nn_pixel_at(dy, at + i + 1) : nn_zero_pixel, outputs,
                    z + i * LANES, (int64_t)pairs * 2 * LANES);
        nn_panel_correlate_vnni(v, z, sums_of(s, thread), pairs, (int)nn_im2col_columns(g),
                                outputs / LANES, at > first);
    }
}

static status vnni_run(const struct nn_step *s)
{
    return run_with(s, correlate_vnni);
}

const struct nn_kernel nn_im2col_vnni_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "im2col_vnni.conv2d_weights",
    .supports = vnni_supports,
    .prepare = prepare,
    .run = vnni_run,
    .drop = nn_im2col_drop,
};
#endif

const struct nn_kernel nn_im2col_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "im2col.conv2d_weights",
    .supports = supports,
    .prepare = prepare,
    .run = run,
    .drop = nn_im2col_drop,
};
