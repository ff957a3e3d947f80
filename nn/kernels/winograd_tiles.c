/* The transforms of F(4x4, 3x3) at the points 0, +-P, +-Q and infinity (winograd.h). */
#include "kernels/lanes.h"
#include "kernels/winograd.h"

enum {
    TILE = NN_WINO_TILE,
    SPAN = NN_WINO_SPAN,
    PLANES = NN_WINO_PLANES,
    LANES = NN_PANEL,
    TAPS = 3
};

#define P 0.75f
#define Q 1.5f
#define P2 (P * P)
#define Q2 (Q * Q)
/* Weights of the filter transform: 1 / product over the other points of (point - other). */
#define WEIGHT_0 (1 / (P2 * Q2))
#define WEIGHT_P (1 / (2 * P2 * (P2 - Q2)))
#define WEIGHT_Q (1 / (2 * Q2 * (Q2 - P2)))

#define ALL(f) nn_lanes_all(f)
#define FMA(f, x, y) nn_lanes_fma(nn_lanes_all(f), x, y)

/* ---- one dimension ---- */

/* out = B' in: 6 -> 6 */
static inline void pixels_1d(const nn_lanes *in, nn_lanes *out)
{
    nn_lanes x1 = in[1], x2 = in[2], x3 = in[3], x4 = in[4];
    nn_lanes even_p = FMA(-Q2, x2, x4), odd_p = ALL(P) * FMA(-Q2, x1, x3);
    nn_lanes even_q = FMA(-P2, x2, x4), odd_q = ALL(Q) * FMA(-P2, x1, x3);
    out[0] = FMA(P2 * Q2, in[0], FMA(-(P2 + Q2), x2, x4));
    out[1] = even_p + odd_p;
    out[2] = even_p - odd_p;
    out[3] = even_q + odd_q;
    out[4] = even_q - odd_q;
    out[5] = FMA(P2 * Q2, x1, FMA(-(P2 + Q2), x3, in[5]));
}

/* out = A' in: 6 -> 4 */
static inline void results_1d(const nn_lanes *in, nn_lanes *out)
{
    nn_lanes sum_p = in[1] + in[2], dif_p = in[1] - in[2];
    nn_lanes sum_q = in[3] + in[4], dif_q = in[3] - in[4];
    out[0] = in[0] + sum_p + sum_q;
    out[1] = FMA(P, dif_p, ALL(Q) * dif_q);
    out[2] = FMA(P2, sum_p, ALL(Q2) * sum_q);
    out[3] = FMA(P * P2, dif_p, FMA(Q * Q2, dif_q, in[5]));
}

/* out = A in: 4 -> 6 */
static inline void gradients_1d(const nn_lanes *in, nn_lanes *out)
{
    nn_lanes y0 = in[0], y1 = in[1], y2 = in[2], y3 = in[3];
    nn_lanes even_p = FMA(P2, y2, y0), odd_p = FMA(P * P2, y3, ALL(P) * y1);
    nn_lanes even_q = FMA(Q2, y2, y0), odd_q = FMA(Q * Q2, y3, ALL(Q) * y1);
    out[0] = y0;
    out[1] = even_p + odd_p;
    out[2] = even_p - odd_p;
    out[3] = even_q + odd_q;
    out[4] = even_q - odd_q;
    out[5] = y3;
}

/* out = G in: 3 -> 6 */
static inline void filter_1d(const nn_lanes *in, nn_lanes *out)
{
    nn_lanes w0 = in[0], w1 = in[1], w2 = in[2];
    nn_lanes even_p = ALL(WEIGHT_P) * FMA(P2, w2, w0), odd_p = ALL(WEIGHT_P * P) * w1;
    nn_lanes even_q = ALL(WEIGHT_Q) * FMA(Q2, w2, w0), odd_q = ALL(WEIGHT_Q * Q) * w1;
    out[0] = ALL(WEIGHT_0) * w0;
    out[1] = even_p + odd_p;
    out[2] = even_p - odd_p;
    out[3] = even_q + odd_q;
    out[4] = even_q - odd_q;
    out[5] = w2;
}

/* out = G' in: 6 -> 3 */
static inline void filter_back_1d(const nn_lanes *in, nn_lanes *out)
{
    nn_lanes sum_p = in[1] + in[2], dif_p = in[1] - in[2];
    nn_lanes sum_q = in[3] + in[4], dif_q = in[3] - in[4];
    out[0] = FMA(WEIGHT_0, in[0], FMA(WEIGHT_P, sum_p, ALL(WEIGHT_Q) * sum_q));
    out[1] = FMA(WEIGHT_P * P, dif_p, ALL(WEIGHT_Q * Q) * dif_q);
    out[2] = FMA(WEIGHT_P * P2, sum_p, FMA(WEIGHT_Q * Q2, sum_q, in[5]));
}

/*
 * ---- two dimensions: columns, then rows ----
 *
 * COLUMNS fills half (to,from) from elements `load` (an expression of i, j), ROWS hands on the
 * result's elements v to `store` (a statement of i, j, v). Written out in place of arrays of 36
 * vectors, which do not fit the registers: each element is loaded and stored once.
 */
#define COLUMNS(f, from, to, half, load)                                                           \
    UNROLL for (int j = 0; j < (from); j++)                                                        \
    {                                                                                              \
        nn_lanes column[SPAN], done[SPAN];                                                         \
        UNROLL for (int i = 0; i < (from); i++) column[i] = load;                                  \
        f(column, done);                                                                           \
        UNROLL for (int i = 0; i < (to); i++)(half)[i * (from) + j] = done[i];                     \
    }
#define ROWS(f, from, to, half, store)                                                             \
    UNROLL for (int i = 0; i < (to); i++)                                                          \
    {                                                                                              \
        nn_lanes row[SPAN];                                                                        \
        f((half) + i * (from), row);                                                               \
        UNROLL for (int j = 0; j < (to); j++)                                                      \
        {                                                                                          \
            nn_lanes v = row[j];                                                                   \
            store;                                                                                 \
        }                                                                                          \
    }
#define UNROLL _Pragma("GCC unroll 6")

typedef void transform_1d(const nn_lanes *in, nn_lanes *out);

/* ---- tiles ---- */

struct place {
    int64_t image; /* n */
    int row, column;
};

static struct place place_of(const struct nn_wino_image *m, int64_t tile)
{
    int64_t per_image = (int64_t)m->rows * m->columns, in_image = tile % per_image;
    return (struct place){tile / per_image, (int)(in_image / m->columns),
                          (int)(in_image % m->columns)};
}

/* Offsets of side x side pixels from (4 row - top, 4 column - left) on; -1: outside. */
static void offsets(const struct nn_wino_image *m, int64_t tile, int side, int64_t *at)
{
    struct place p = place_of(m, tile);
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int h = p.row * TILE - m->top + i, w = p.column * TILE - m->left + j;
            bool inside = h >= 0 && h < m->h && w >= 0 && w < m->w;
            at[i * side + j] =
                inside ? ((p.image * m->h + h) * m->w + w) * (int64_t)m->c : (int64_t)-1;
        }
}

static const float zeros[NN_ROW_MAX]; /* and in bf16 */

/* side x side pixels -> 36 planes. bf16 is a constant where this is used. */
static inline __attribute__((always_inline)) void
transform_in(transform_1d *f, int side, bool bf16, const struct nn_wino_image *m, const void *x,
             const struct nn_wino_block *b, int64_t first, int64_t last)
{
    int64_t panel = (int64_t)b->tiles * LANES, plane = nn_wino_plane(b->tiles, m->c);
    size_t bytes = bf16 ? 2 : sizeof(float);
    for (int64_t t = first; t < last; t++) {
        int64_t at[SPAN * SPAN];
        const void *pixel[SPAN * SPAN];
        offsets(m, b->first + t, side, at);
        for (int i = 0; i < side * side; i++)
            pixel[i] = at[i] < 0 ? (const void *)zeros : (const char *)x + (size_t)at[i] * bytes;
        for (int c = 0; c < m->c; c += NN_LANES) {
            nn_lanes half[SPAN * SPAN];
            float *to = b->planes + c / LANES * panel + t * LANES + c % LANES;
            COLUMNS(f, side, SPAN, half, nn_lanes_load_at(pixel[i * side + j], bf16, c))
            ROWS(f, side, SPAN, half, nn_lanes_store(to + (i * SPAN + j) * plane, v))
        }
    }
}

void nn_wino_pixels(const struct nn_wino_image *m, const void *x, const struct nn_wino_block *b,
                    int64_t first, int64_t last)
{
    if (m->bf16)
        transform_in(pixels_1d, SPAN, true, m, x, b, first, last);
    else
        transform_in(pixels_1d, SPAN, false, m, x, b, first, last);
}

void nn_wino_gradients(const struct nn_wino_image *m, const void *dy, const struct nn_wino_block *b,
                       int64_t first, int64_t last)
{
    if (m->bf16)
        transform_in(gradients_1d, TILE, true, m, dy, b, first, last);
    else
        transform_in(gradients_1d, TILE, false, m, dy, b, first, last);
}

static nn_lanes post_lanes(int post, nn_lanes v)
{
    float row[NN_LANES];
    nn_lanes_store(row, v);
    nn_post_row(post, row, NN_LANES);
    return nn_lanes_load(row);
}

static inline __attribute__((always_inline)) void
put_pixel(bool bf16, void *y, const struct nn_wino_end *end, int64_t at, int c, nn_lanes v)
{
    if (at < 0)
        return;
    if (end->res)
        v += nn_lanes_load_at(end->res, end->res_bf16, at + c);
    if (end->post)
        v = post_lanes(end->post, v);
    nn_lanes_store_at(y, bf16, at + c, v);
}

/* bf16 is a constant where this is used. */
static inline __attribute__((always_inline)) void
transform_out(bool bf16, const struct nn_wino_image *m, void *y, const struct nn_wino_end *end,
              const struct nn_wino_block *b, int64_t first, int64_t last)
{
    int64_t panel = (int64_t)b->tiles * LANES, plane = nn_wino_plane(b->tiles, m->c);
    for (int64_t t = first; t < last; t++) {
        int64_t at[TILE * TILE];
        offsets(m, b->first + t, TILE, at);
        const float *nc = end->nc ? end->nc + place_of(m, b->first + t).image * m->c : NULL;
        for (int c = 0; c < m->c; c += NN_LANES) {
            nn_lanes half[SPAN * TILE], shift = ALL(0);
            const float *from = b->planes + c / LANES * panel + t * LANES + c % LANES;
            if (end->bias)
                shift += nn_lanes_load(end->bias + c);
            if (nc)
                shift += nn_lanes_load(nc + c);
            COLUMNS(results_1d, SPAN, TILE, half, nn_lanes_load(from + (i * SPAN + j) * plane))
            ROWS(results_1d, SPAN, TILE, half,
                 put_pixel(bf16, y, end, at[i * TILE + j], c, v + shift))
        }
    }
}

void nn_wino_results(const struct nn_wino_image *m, void *y, const struct nn_wino_end *end,
                     const struct nn_wino_block *b, int64_t first, int64_t last)
{
    if (m->bf16)
        transform_out(true, m, y, end, b, first, last);
    else
        transform_out(false, m, y, end, b, first, last);
}

/* ---- filters ---- */

size_t nn_wino_filter_floats(const struct nn_wino_filters *f)
{
    return (size_t)PLANES * (size_t)f->outputs * (size_t)f->inputs;
}

/* Where tap 0 of the filter between an output and an input lies in w (O,I,3,3). */
static int64_t filter_at(const struct nn_wino_filters *f, int64_t output, int64_t input)
{
    return TAPS * TAPS * (f->turned ? input * f->outputs + output : output * f->inputs + input);
}

void nn_wino_filters_in(const struct nn_wino_filters *f, const float *w, float *u, int64_t first,
                        int64_t last)
{
    int64_t plane = (int64_t)f->outputs * f->inputs;
    int64_t step = filter_at(f, 1, 0);
    for (int64_t pair = first; pair < last; pair++) {
        const float *from = w + filter_at(f, pair / f->inputs * LANES, pair % f->inputs);
        for (int half = 0; half < LANES; half += NN_LANES) {
            nn_lanes in[TAPS * TAPS], wide[SPAN * TAPS];
            for (int k = 0; k < TAPS * TAPS; k++)
                for (int o = 0; o < NN_LANES; o++)
                    in[k][o] = from[(half + o) * step + (f->turned ? TAPS * TAPS - 1 - k : k)];
            COLUMNS(filter_1d, TAPS, SPAN, wide, in[i * TAPS + j])
            ROWS(filter_1d, TAPS, SPAN, wide,
                 nn_lanes_store(u + (i * SPAN + j) * plane + pair * LANES + half, v))
        }
    }
}

void nn_wino_filters_out(const struct nn_wino_filters *f, const float *u, float *w, int64_t first,
                         int64_t last)
{
    int64_t plane = (int64_t)f->outputs * f->inputs;
    int64_t step = filter_at(f, 1, 0);
    for (int64_t pair = first; pair < last; pair++) {
        float *to = w + filter_at(f, pair / f->inputs * LANES, pair % f->inputs);
        for (int half = 0; half < LANES; half += NN_LANES) {
            nn_lanes wide[SPAN * TAPS], out[TAPS * TAPS];
            COLUMNS(filter_back_1d, SPAN, TAPS, wide,
                    nn_lanes_load(u + (i * SPAN + j) * plane + pair * LANES + half))
            ROWS(filter_back_1d, SPAN, TAPS, wide, out[i * TAPS + j] = v)
            for (int k = 0; k < TAPS * TAPS; k++)
                for (int o = 0; o < NN_LANES; o++)
                    to[(half + o) * step + k] = out[k][o];
        }
    }
}
