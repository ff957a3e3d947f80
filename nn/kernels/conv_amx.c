/*
 * Convolution forward and the gradient of its input, by AMX (amx.h).
 *
 * Both are sums over taps of products of a source (x, or dy) with the tap's filters; which pixel of
 * the source a tap reads for a pixel of the result is all that differs. A tile of A is 16 images of 32
 * channels, packed; one of B, 16 outputs of 32 channels, packed from f32 when filters change.
 *
 * Where an image's bits must not depend on how many there are, these kernels are not used: few images
 * leave tiles empty.
 */
#include "kernels/amx.h"

#if defined(__AVX512BF16__)
enum { X, W, BIAS, NC, RES, DATA_RES = 2 };
enum {
    IMAGES_BYTES = 1 << 20,   /* of packed images in work, if one group does not exceed it */
    FILTERS_BYTES = 640 << 10 /* that stay in the second-level cache beside a few rows of images */
};

struct conv {
    struct nn_shape from, to; /* source and result */
    int kh, kw;
    bool transposed; /* the gradient: filters' rows are the source's channels */
    int groups;      /* of images, packed at a time */
    /* What stays in the cache: all filters, for row after row of the images; or the images, for 32
       outputs after the others. */
    bool rows_first;
    int *row, *column; /* [place of the result][tap]: the source's place, -1 in the padding */
};

struct job {
    const struct nn_step *s;
    const struct conv *g;
    struct nn_amx_images source;
    const float *bias;
    const uint16_t *res;
    int group, groups;
};

bool nn_amx_fits(const struct nn_step *s, const struct nn_tensor *x, const struct nn_tensor *y)
{
    return x->store == NN_STORE_BF16 && y->store == NN_STORE_BF16 && s->attr.conv.groups == 1 &&
           x->shape.dim[0] >= NN_AMX_SIDE;
}

/* ---- filters ---- */

static uint16_t *filter_tiles(const struct nn_step *s, int output, int tap, int input)
{
    const struct conv *g = s->state;
    int64_t at = ((int64_t)output * g->kh * g->kw + tap) * nn_amx_blocks(g->from.dim[3]) + input;
    return (uint16_t *)s->packed + at * NN_AMX_PAIR;
}

/* n <= 16 taps of 16 filters that are `step` floats apart: 16 filters of each tap. */
static inline __attribute__((always_inline)) void taps_of(const float *w, int64_t step, int n,
                                                          __m512i taps[NN_AMX_SIDE])
{
    for (int i = 0; i < NN_AMX_SIDE; i++)
        taps[i] = _mm512_maskz_loadu_epi32(nn_amx_first(n), w + i * step);
    nn_amx_transpose(taps);
}

/* Two inputs of 16 outputs in turns, as a row of a tile. */
static __m512i pair_inputs(__m512i even, __m512i odd)
{
    __m512i both =
        (__m512i)_mm512_cvtne2ps_pbh(_mm512_castsi512_ps(odd), _mm512_castsi512_ps(even));
    __m512i second = _mm512_castsi256_si512(_mm512_extracti64x4_epi64(both, 1));
    return nn_amx_in_turns(both, second, false);
}

/* Row `row` of the two tiles of each tap of a block of inputs of a block of outputs. */
static void pack_row(const struct nn_step *s, int o, int i, int row)
{
    const struct conv *g = s->state;
    int n = g->kh * g->kw;
    /* from one input, and from one output, to the next */
    int64_t input = g->transposed ? (int64_t)g->to.dim[3] * n : n;
    int64_t output = g->transposed ? n : (int64_t)g->from.dim[3] * n;
    const float *w = nn_f32(&s->in[W]) +
                     (o * NN_AMX_BLOCK + row / NN_AMX_SIDE * NN_AMX_SIDE) * output +
                     (i * NN_AMX_BLOCK + row % NN_AMX_SIDE * 2) * input;
    for (int t = 0; t < n; t += NN_AMX_SIDE) {
        __m512i even[NN_AMX_SIDE], odd[NN_AMX_SIDE];
        taps_of(w + t, output, n - t, even);
        taps_of(w + t + input, output, n - t, odd);
        for (int k = 0; k < NN_AMX_SIDE && t + k < n; k++)
            _mm512_storeu_si512(filter_tiles(s, o, t + k, i) + row * NN_AMX_BLOCK,
                                pair_inputs(even[k], odd[k]));
    }
}

/* Items are a block of inputs of a block of outputs. */
static void pack_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct conv *g = s->state;
    int inputs = nn_amx_blocks(g->from.dim[3]);
    (void)thread;
    for (int64_t item = first; item < last; item++)
        for (int row = 0; row < 2 * NN_AMX_SIDE; row++)
            pack_row(s, (int)(item / inputs), (int)(item % inputs), row);
}

static status pack(struct nn_step *s)
{
    const struct conv *g = s->state;
    nn_for_range(s->threads, (int64_t)nn_amx_blocks(g->to.dim[3]) * nn_amx_blocks(g->from.dim[3]),
                 pack_filters, s);
    return STATUS_OK;
}

/* ---- images ---- */

/* [group][pixel][C/32][2 tiles] */
static uint16_t *image_tiles(const struct job *j, int64_t group, int64_t pixel, int input)
{
    const struct nn_amx_images *t = &j->source;
    int64_t at = ((group * t->h * t->w + pixel) * nn_amx_blocks(t->c)) + input;
    return (uint16_t *)j->s->scratch + at * NN_AMX_PAIR;
}

/* Items are pixels of groups. */
static void pack_images(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct nn_amx_images *t = &j->source;
    int64_t pixels = (int64_t)t->h * t->w;
    (void)thread;
    for (int64_t item = first; item < last; item++)
        for (int c = 0; c < nn_amx_blocks(t->c); c++) {
            uint16_t *tile = image_tiles(j, item / pixels, item % pixels, c);
            int n = (j->group + (int)(item / pixels)) * NN_AMX_BLOCK;
            for (int i = 0; i < NN_AMX_BLOCK; i++)
                _mm512_storeu_si512(tile + i * NN_AMX_BLOCK,
                                    nn_amx_pixel(t, n + i, item % pixels, c * NN_AMX_BLOCK));
        }
}

/* ---- products ---- */

static NN_AMX void convolve(const struct job *j, int64_t group, int output, int p, int q)
{
    const struct conv *g = j->g;
    nn_amx_zero();
    for (int tap = 0; tap < g->kh * g->kw; tap++) {
        int row = g->row[p * g->kh + tap / g->kw], column = g->column[q * g->kw + tap % g->kw];
        if (row < 0 || column < 0)
            continue;
        const uint16_t *a = image_tiles(j, group, (int64_t)row * j->source.w + column, 0);
        const uint16_t *b = filter_tiles(j->s, output, tap, 0);
        for (int i = 0; i < nn_amx_blocks(j->source.c); i++)
            nn_amx_add(a + (int64_t)i * NN_AMX_PAIR, b + (int64_t)i * NN_AMX_PAIR);
    }
}

static __m512 widened(__m256i half)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* 32 sums, with what is added to them, to 32 channels of one pixel. */
static void write_channels(const struct job *j, const float *sums, int c, int64_t at)
{
    __m512 low = _mm512_load_ps(sums), high = _mm512_load_ps(sums + NN_AMX_SIDE);
    if (j->bias) {
        low = _mm512_add_ps(low, _mm512_loadu_ps(j->bias + c));
        high = _mm512_add_ps(high, _mm512_loadu_ps(j->bias + c + NN_AMX_SIDE));
    }
    if (j->res) {
        __m512i r = _mm512_loadu_si512(j->res + at);
        low = _mm512_add_ps(low, widened(_mm512_castsi512_si256(r)));
        high = _mm512_add_ps(high, widened(_mm512_extracti64x4_epi64(r, 1)));
    }
    if (j->s->attr.post) {
        float row[NN_AMX_BLOCK];
        _mm512_storeu_ps(row, low);
        _mm512_storeu_ps(row + NN_AMX_SIDE, high);
        nn_post_row(j->s->attr.post, row, NN_AMX_BLOCK);
        low = _mm512_loadu_ps(row), high = _mm512_loadu_ps(row + NN_AMX_SIDE);
    }
    _mm512_storeu_si512((uint16_t *)j->s->out[0].data + at,
                        (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

static void write_pixel(const struct job *j, const float *sums, int n, int64_t pixel, int c)
{
    const int *d = j->g->to.dim;
    int count = d[0] - n < NN_AMX_BLOCK ? d[0] - n : NN_AMX_BLOCK;
    for (int i = 0; i < count; i++)
        write_channels(j, sums + i * NN_AMX_BLOCK, c,
                       ((int64_t)(n + i) * d[1] * d[2] + pixel) * d[3] + c);
}

/* What an item is: a row of 32 outputs of a group. */
struct item {
    int group, output, row;
};
static struct item item_at(const struct job *j, int64_t i)
{
    int64_t rows = j->g->to.dim[1], outputs = nn_amx_blocks(j->g->to.dim[3]);
    if (j->g->rows_first)
        return (struct item){(int)(i / outputs / rows), (int)(i % outputs),
                             (int)(i / outputs % rows)};
    return (struct item){(int)(i / rows % j->groups), (int)(i / rows / j->groups), (int)(i % rows)};
}

static NN_AMX void convolve_items(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    int columns = j->g->to.dim[2];
    (void)thread;
    nn_amx_begin();
    for (int64_t i = first; i < last; i++) {
        struct item at = item_at(j, i);
        for (int q = 0; q < columns; q++) {
            _Alignas(64) float sums[NN_AMX_SUMS];
            convolve(j, at.group, at.output, at.row, q);
            nn_amx_store(sums);
            write_pixel(j, sums, (j->group + at.group) * NN_AMX_BLOCK,
                        (int64_t)at.row * columns + q, at.output * NN_AMX_BLOCK);
        }
    }
    nn_amx_end();
}

static status run_job(struct job *j)
{
    const struct conv *g = j->g;
    int all = nn_amx_blocks(g->from.dim[0]), threads = j->s->threads;
    if (!j->s->in[W].constant)
        nn_for_range(threads, (int64_t)nn_amx_blocks(g->to.dim[3]) * nn_amx_blocks(g->from.dim[3]),
                     pack_filters, j->s);
    for (j->group = 0; j->group < all; j->group += g->groups) {
        j->groups = g->groups < all - j->group ? g->groups : all - j->group;
        nn_for_range(threads, (int64_t)j->groups * g->from.dim[1] * g->from.dim[2], pack_images, j);
        nn_for_range(threads, (int64_t)j->groups * nn_amx_blocks(g->to.dim[3]) * g->to.dim[1],
                     convolve_items, j);
    }
    return STATUS_OK;
}

/* ---- the kernels ---- */

/* The source's place for a place of the result and a tap, on one side; -1: in the padding, or between
   places that the stride visits. */
static int source_of(const struct conv *g, int place, int tap, int stride, int pad, int size)
{
    int at = g->transposed ? place + pad - tap : place * stride - pad + tap;
    if (g->transposed) {
        if (at < 0 || at % stride)
            return -1;
        at /= stride;
    }
    return at >= 0 && at < size ? at : -1;
}

static void drop(struct nn_step *s)
{
    struct conv *g = s->state;
    if (g)
        mem_free(g->row);
    mem_free(g);
    s->state = NULL;
}

static status prepare(struct nn_step *s, bool transposed)
{
    const struct nn_conv *v = &s->attr.conv;
    struct conv *g = s->state = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    g->from = s->in[X].shape, g->to = s->out[0].shape, g->transposed = transposed;
    g->kh = s->in[W].shape.dim[2], g->kw = s->in[W].shape.dim[3];
    int rows = g->to.dim[1] * g->kh, columns = g->to.dim[2] * g->kw;
    g->row = mem_alloc((size_t)(rows + columns) * sizeof *g->row);
    if (!g->row)
        return STATUS_NOMEM;
    g->column = g->row + rows;
    for (int i = 0; i < rows; i++)
        g->row[i] = source_of(g, i / g->kh, i % g->kh, v->stride, v->pad_top, g->from.dim[1]);
    for (int i = 0; i < columns; i++)
        g->column[i] = source_of(g, i / g->kw, i % g->kw, v->stride, v->pad_left, g->from.dim[2]);
    int64_t group = (int64_t)g->from.dim[1] * g->from.dim[2] * g->from.dim[3] * NN_AMX_BLOCK *
                    (int64_t)sizeof(uint16_t);
    int64_t fit = IMAGES_BYTES / group, all = nn_amx_blocks(g->from.dim[0]);
    g->groups = (int)(fit < 1 ? 1 : fit < all ? fit : all);
    s->scratch_bytes = (size_t)(g->groups * group);
    s->packed_bytes = (size_t)nn_shape_count(s->in[W].shape) * sizeof(uint16_t);
    g->rows_first = s->packed_bytes <= FILTERS_BYTES;
    return STATUS_OK;
}

static bool supports(const struct nn_step *s, const struct nn_tensor *res)
{
    const struct nn_tensor *x = &s->in[X], *y = &s->out[0];
    return !s->apart && nn_amx_fits(s, x, y) && x->shape.dim[3] % NN_AMX_BLOCK == 0 &&
           y->shape.dim[3] % NN_AMX_BLOCK == 0 && (!nn_has(res) || res->store == NN_STORE_BF16);
}

/* So few that oneDNN's tiles, which are rows of one image, stay half empty. */
static bool few_pixels(const struct nn_step *s)
{
    const int *d = s->out[0].shape.dim, *k = s->in[W].shape.dim;
    return d[1] * d[2] <= 64 && k[2] * k[3] > 1;
}

static bool forward_supports(const struct nn_step *s)
{
    return few_pixels(s) && !nn_has(&s->in[NC]) && supports(s, &s->in[RES]);
}

/* oneDNN's cannot add a residual, and is slow at strides. */
static bool data_supports(const struct nn_step *s)
{
    const struct nn_tensor *res = &s->in[DATA_RES];
    return (few_pixels(s) || nn_has(res) || s->attr.conv.stride > 1) && supports(s, res);
}

static status forward_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    return prepare(s, false);
}

static status data_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    return prepare(s, true);
}

static status forward_run(const struct nn_step *s)
{
    return run_job(&(struct job){.s = s,
                                 .g = s->state,
                                 .source = nn_amx_images(&s->in[X]),
                                 .bias = nn_f32(&s->in[BIAS]),
                                 .res = s->in[RES].data});
}

/* in dy, w, res?; out dx */
static status data_run(const struct nn_step *s)
{
    return run_job(&(struct job){
        .s = s, .g = s->state, .source = nn_amx_images(&s->in[X]), .res = s->in[DATA_RES].data});
}

const struct nn_kernel nn_amx_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "amx.conv2d",
    .supports = forward_supports,
    .prepare = forward_prepare,
    .pack = pack,
    .run = forward_run,
    .drop = drop,
};
const struct nn_kernel nn_amx_conv2d_data = {
    .op = NN_OP_CONV2D_DATA,
    .name = "amx.conv2d_data",
    .supports = data_supports,
    .prepare = data_prepare,
    .pack = pack,
    .run = data_run,
    .drop = drop,
};
#endif
