/*
 * Convolutions of any kernel and stride as one product of panels: the pixels that the taps read are
 * gathered, a block of pixels at a time, into a matrix (pixels, taps * channels), which the filters
 * multiply; backwards, which dy correlates with to the gradient of the filters.
 *
 * Forward this is for CPUs whose vectors are no wider than half a panel: there oneDNN's direct
 * kernels want blocks of eight channels and lose up to half of their speed on NHWC (least in the
 * gradient of the input, which is left to them). The gradient of the filters is faster everywhere,
 * in bf16 where the CPU multiplies pairs of it but not tiles.
 */
#include "kernels/kernels.h"
#include "kernels/lanes.h"
#include "kernels/panels.h"

enum {
    LANES = NN_PANEL,
    BLOCK_BYTES = 384 << 10,  /* gathered pixels of a block: most of a second-level cache */
    CORRELATE_BYTES = 1 << 20 /* backward, sums of filters are read and written once a block */
};

struct gather {
    struct nn_shape x, y, w;
    int block; /* pixels of y */
    /* in scratch, floats: a thread's part, what is behind the gathered pixels in it, filter sums */
    size_t part, behind, sums_at;
};

static bool fits(const struct nn_step *s, struct nn_shape x, struct nn_shape y)
{
    return s->attr.conv.groups == 1 && x.dim[3] % LANES == 0 && y.dim[3] % LANES == 0 &&
           x.dim[3] <= NN_ROW_MAX && y.dim[3] <= NN_ROW_MAX;
}

/* One tap is a product that needs no gathering, and oneDNN's is faster. */
static bool gathers(struct nn_shape w)
{
    return w.dim[2] * w.dim[3] > 1;
}

static int64_t pixels_of(const struct gather *g)
{
    return (int64_t)g->y.dim[0] * g->y.dim[1] * g->y.dim[2];
}
static int taps_of(const struct gather *g)
{
    return g->w.dim[2] * g->w.dim[3];
}
/* Columns of the gathered matrix. */
static int64_t inner_of(const struct gather *g)
{
    return (int64_t)taps_of(g) * g->x.dim[3];
}

static status new_state(struct nn_step *s, struct nn_shape x, struct nn_shape w, struct nn_shape y,
                        int64_t bytes)
{
    struct gather *g = s->state = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    g->x = x, g->w = w, g->y = y;
    int64_t most = bytes / (inner_of(g) * (int64_t)sizeof(float)) / NN_PANEL_ROWS * NN_PANEL_ROWS;
    g->block = (int)nn_min(most < NN_PANEL_ROWS ? NN_PANEL_ROWS : most, pixels_of(g));
    g->behind = (size_t)g->block * (size_t)inner_of(g);
    g->part = g->behind + (size_t)g->block * (size_t)y.dim[3];
    g->sums_at = g->part * (size_t)s->threads;
    s->scratch_bytes = g->sums_at * sizeof(float);
    return STATUS_OK;
}

static void drop(struct nn_step *s)
{
    mem_free(s->state);
    s->state = NULL;
}

/* ---- filters: w (O,I,taps) as outputs/16 panels of (taps * inputs, 16) ---- */

struct filters {
    const struct gather *g;
    float *w, *panels;
};

/* By pairs of a panel of outputs and an input; `in`: to panels. */
static void move_filters(const struct filters *f, int64_t first, int64_t last, bool in)
{
    int64_t inputs = f->g->x.dim[3], taps = taps_of(f->g);
    for (int64_t pair = first; pair < last; pair++) {
        int64_t output = pair / inputs * LANES, input = pair % inputs;
        float *panel = f->panels + (output * taps * inputs + input * LANES);
        for (int64_t o = 0; o < LANES; o++) {
            float *w = f->w + ((output + o) * inputs + input) * taps;
            for (int64_t t = 0; t < taps; t++) {
                float *p = panel + t * inputs * LANES + o;
                if (in)
                    *p = w[t];
                else
                    w[t] = *p;
            }
        }
    }
}
static void read_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    move_filters(ctx, first, last, true);
}
static void write_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    move_filters(ctx, first, last, false);
}

static int64_t pairs(const struct gather *g)
{
    return (int64_t)g->y.dim[3] / LANES * g->x.dim[3];
}

static status pack(struct nn_step *s)
{
    const struct gather *g = s->state;
    struct filters f = {.g = g, .w = nn_f32(&s->in[1]), .panels = s->packed};
    nn_for_range(s->threads, pairs(g), read_filters, &f);
    return STATUS_OK;
}

/* ---- pixels ---- */

struct job {
    const struct nn_step *step;
    const struct gather *g;
    const float *filters;
};

struct pixel {
    int n, row, column;
};
static struct pixel pixel_of(struct nn_shape s, int64_t i)
{
    int64_t row = i / s.dim[2];
    return (struct pixel){(int)(row / s.dim[1]), (int)(row % s.dim[1]), (int)(i % s.dim[2])};
}

static const void *pixel_at(const struct nn_tensor *t, int64_t pixel)
{
    return (const char *)t->data + (size_t)(pixel * t->shape.dim[3]) * nn_store_bytes(t->store);
}

static const float zeros[NN_ROW_MAX];

/* The pixel of x that tap (i,j) reads for pixel p of y; zeros (of either store) in the padding. */
static const void *source(const struct job *j, const struct pixel *p, int i, int k)
{
    const struct nn_conv *v = &j->step->attr.conv;
    const int *d = j->g->x.dim;
    int64_t h = (int64_t)p->row * v->stride - v->pad_top + i;
    int64_t w = (int64_t)p->column * v->stride - v->pad_left + k;
    if (h < 0 || h >= d[1] || w < 0 || w >= d[2])
        return zeros;
    return pixel_at(&j->step->in[0], (p->n * (int64_t)d[1] + h) * d[2] + w);
}

static void to_panels(const void *from, bool bf16, int channels, float *to, int64_t panel)
{
    for (int c = 0; c < channels; c += LANES, to += panel)
        for (int k = 0; k < LANES; k += NN_LANES)
            nn_lanes_store(to + k, nn_lanes_load_at(from, bf16, c + k));
}

static void gather_pixels(const struct job *j, int64_t first, int count, float *to)
{
    int64_t panel = (int64_t)count * LANES;
    int c = j->g->x.dim[3], kh = j->g->w.dim[2], kw = j->g->w.dim[3];
    bool bf16 = j->step->in[0].store == NN_STORE_BF16;
    for (int p = 0; p < count; p++, to += LANES) {
        struct pixel at = pixel_of(j->g->y, first + p);
        for (int i = 0; i < kh; i++)
            for (int k = 0; k < kw; k++)
                to_panels(source(j, &at, i, k), bf16, c,
                          to + (int64_t)(i * kw + k) * c / LANES * panel, panel);
    }
}

/* ---- forward: in x w b? nc? res?; out y ---- */

enum { X, W, BIAS, NC, RES };

/* y = post(products + bias + nc + res) */
static void write_pixels(const struct job *j, int64_t first, int count, const float *products)
{
    const struct nn_step *s = j->step;
    const float *bias = nn_f32(&s->in[BIAS]), *nc = nn_f32(&s->in[NC]);
    int c = j->g->y.dim[3];
    const float *res = nn_has(&s->in[RES]) ? nn_f32(&s->in[RES]) + first * c : NULL;
    float *y = nn_f32(&s->out[0]) + first * c;
    for (int p = 0; p < count; p++, y += c, res += res ? c : 0) {
        const float *shift = nc ? nc + (int64_t)pixel_of(j->g->y, first + p).n * c : NULL;
        for (int k = 0; k < c; k += LANES) {
            const float *from = products + ((int64_t)k / LANES * count + p) * LANES;
            for (int l = 0; l < LANES; l++) {
                float v = from[l] + (bias ? bias[k + l] : 0) + (shift ? shift[k + l] : 0);
                y[k + l] = v + (res ? res[k + l] : 0);
            }
        }
        nn_post_row(s->attr.post, y, c);
    }
}

static void convolve_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct gather *g = j->g;
    float *v = (float *)j->step->scratch + g->part * (size_t)thread, *m = v + g->behind;
    int inner = (int)inner_of(g);
    for (int64_t at = first; at < last; at += g->block) {
        int count = (int)nn_min(g->block, last - at);
        gather_pixels(j, at, count, v);
        nn_panel_multiply(v, j->filters, m, count, inner, g->y.dim[3] / LANES);
        write_pixels(j, at, count, m);
    }
}

static bool supports(const struct nn_step *s)
{
    return nn_all_f32(s) && gathers(s->in[W].shape) && fits(s, s->in[X].shape, s->out[0].shape);
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    s->packed_bytes = (size_t)nn_shape_count(s->in[W].shape) * sizeof(float);
    return new_state(s, s->in[X].shape, s->in[W].shape, s->out[0].shape, BLOCK_BYTES);
}

static status run(const struct nn_step *s)
{
    const struct gather *g = s->state;
    struct job j = {.step = s, .g = g, .filters = s->packed};
    if (!s->in[W].constant) {
        struct filters f = {.g = g, .w = nn_f32(&s->in[W]), .panels = s->packed};
        nn_for_range(s->threads, pairs(g), read_filters, &f);
    }
    nn_for_blocks(s->threads, pixels_of(g), g->block, convolve_pixels, &j);
    return STATUS_OK;
}

/* ---- backward to the weights: in x, dy; out dw, db? ---- */

static bool weights_supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && fits(s, s->in[0].shape, s->in[1].shape);
}

static size_t sums_floats(const struct gather *g)
{
    return (size_t)nn_shape_count(g->w);
}

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    status st = new_state(s, s->in[0].shape, s->out[0].shape, s->in[1].shape, CORRELATE_BYTES);
    if (!st)
        s->scratch_bytes += sums_floats(s->state) * (size_t)s->threads * sizeof(float);
    return st;
}

static float *sums_of(const struct nn_step *s, int thread)
{
    const struct gather *g = s->state;
    return (float *)s->scratch + g->sums_at + sums_floats(g) * (size_t)thread;
}

static void correlate_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct gather *g = j->g;
    const struct nn_tensor *dy = &j->step->in[1];
    float *v = (float *)j->step->scratch + g->part * (size_t)thread, *z = v + g->behind;
    int inner = (int)inner_of(g), outputs = g->y.dim[3];
    for (int64_t at = first; at < last; at += g->block) {
        int count = (int)nn_min(g->block, last - at);
        gather_pixels(j, at, count, v);
        for (int64_t i = 0; i < count; i++)
            to_panels(pixel_at(dy, at + i), dy->store == NN_STORE_BF16, outputs, z + i * LANES,
                      (int64_t)count * LANES);
        nn_panel_correlate(v, z, sums_of(j->step, thread), count, inner, outputs / LANES,
                           at > first);
    }
}

static status weights_with(const struct nn_step *s, nn_range_fn *correlate)
{
    const struct gather *g = s->state;
    struct job j = {.step = s, .g = g};
    struct filters f = {.g = g, .w = nn_f32(&s->out[0]), .panels = sums_of(s, 0)};
    nn_for_parts(s->threads, pixels_of(g), correlate, &j);
    nn_add_parts(s, sums_of(s, 0), sums_floats(g), nn_min(s->threads, pixels_of(g)));
    nn_for_range(s->threads, pairs(g), write_filters, &f);
    if (nn_has(&s->out[1]))
        nn_bias_gradient(s, &s->in[1], &s->out[1]);
    return STATUS_OK;
}

static status weights_run(const struct nn_step *s)
{
    return weights_with(s, correlate_pixels);
}

/* ---- the same in bf16, pixels in pairs ---- */

#if defined(__AVX512BF16__)
static bool pairs_supports(const struct nn_step *s)
{
    return s->in[0].store == NN_STORE_BF16 && s->in[1].store == NN_STORE_BF16 &&
           weights_supports(s) && gathers(s->out[0].shape);
}

/* The channels of two pixels, one after the other: a0 b0 a1 b1 ... */
static void to_pairs(const uint16_t *a, const uint16_t *b, int channels, uint16_t *to,
                     int64_t panel)
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

static void gather_pairs(const struct job *j, int64_t first, int count, uint16_t *to)
{
    int64_t panel = (int64_t)(count + 1) / 2 * 2 * LANES;
    int c = j->g->x.dim[3], kh = j->g->w.dim[2], kw = j->g->w.dim[3];
    for (int p = 0; p < count; p += 2, to += 2 * LANES) {
        struct pixel a = pixel_of(j->g->y, first + p), b = pixel_of(j->g->y, first + p + 1);
        for (int i = 0; i < kh; i++)
            for (int k = 0; k < kw; k++)
                to_pairs(source(j, &a, i, k), p + 1 < count ? source(j, &b, i, k) : zeros, c,
                         to + (int64_t)(i * kw + k) * c / LANES * panel, panel);
    }
}

static void correlate_pairs(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct gather *g = j->g;
    const struct nn_tensor *dy = &j->step->in[1];
    float *scratch = (float *)j->step->scratch + g->part * (size_t)thread;
    uint16_t *v = (uint16_t *)scratch, *z = (uint16_t *)(scratch + g->behind);
    int inner = (int)inner_of(g), outputs = g->y.dim[3];
    for (int64_t at = first; at < last; at += g->block) {
        int count = (int)nn_min(g->block, last - at), half = (count + 1) / 2;
        gather_pairs(j, at, count, v);
        for (int64_t i = 0; i < count; i += 2)
            to_pairs(pixel_at(dy, at + i), i + 1 < count ? pixel_at(dy, at + i + 1) : zeros,
                     outputs, z + i * LANES, (int64_t)half * 2 * LANES);
        nn_panel_correlate_pairs(v, z, sums_of(j->step, thread), half, inner, outputs / LANES,
                                 at > first);
    }
}
static status pairs_run(const struct nn_step *s)
{
    return weights_with(s, correlate_pairs);
}

const struct nn_kernel nn_pairs_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "pairs.conv2d_weights",
    .supports = pairs_supports,
    .prepare = weights_prepare,
    .run = pairs_run,
    .drop = drop,
};
#endif

const struct nn_kernel nn_gather_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "gather.conv2d",
    .supports = supports,
    .prepare = prepare,
    .pack = pack,
    .run = run,
    .drop = drop,
};
const struct nn_kernel nn_gather_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "gather.conv2d_weights",
    .supports = weights_supports,
    .prepare = weights_prepare,
    .run = weights_run,
    .drop = drop,
};
