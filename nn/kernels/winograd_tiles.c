/* The transforms in two dimensions (winograd.h), made of those in one (winograd_points.h). */
#include "kernels/winograd.h"
#include "kernels/winograd_points.h"

enum { SPAN_MAX = NN_WINO_TILE_MAX + 2, LANES = NN_PANEL, TAPS = 3 };
enum { AHEAD = 4 }; /* filters that are fetched early */

typedef void transform_1d(const nn_lanes *in, nn_lanes *out);
#define ONE_DIMENSION(what, tile)                                                                  \
    static inline void what##_##tile(const nn_lanes *in, nn_lanes *out)                            \
    {                                                                                              \
        nn_points_##what((tile) / 2, &nn_points_##tile, in, out);                                  \
    }
ONE_DIMENSION(pixels, 4)
ONE_DIMENSION(results, 4)
ONE_DIMENSION(gradients, 4)
ONE_DIMENSION(filter, 4)
ONE_DIMENSION(filter_back, 4)
ONE_DIMENSION(pixels, 8)
ONE_DIMENSION(results, 8)
ONE_DIMENSION(gradients, 8)
ONE_DIMENSION(filter, 8)
ONE_DIMENSION(filter_back, 8)

/*
 * ---- two dimensions: columns, then rows ----
 *
 * COLUMNS fills half (to,from) from elements `load` (an expression of i, j), ROWS hands on the
 * result's elements v to `store` (a statement of i, j, v). Written out in place of arrays of 36 or
 * 100 vectors, which do not fit the registers: each element is loaded and stored once.
 */
#define COLUMNS(f, from, to, half, load)                                                           \
    for (int j = 0; j < (from); j++) {                                                             \
        nn_lanes column[SPAN_MAX], done[SPAN_MAX];                                                 \
        UNROLL for (int i = 0; i < (from); i++) column[i] = load;                                  \
        f(column, done);                                                                           \
        UNROLL for (int i = 0; i < (to); i++)(half)[i * (from) + j] = done[i];                     \
    }
#define ROWS(f, from, to, half, store)                                                             \
    for (int i = 0; i < (to); i++) {                                                               \
        nn_lanes row[SPAN_MAX];                                                                    \
        f((half) + i * (from), row);                                                               \
        UNROLL for (int j = 0; j < (to); j++)                                                      \
        {                                                                                          \
            nn_lanes v = row[j];                                                                   \
            store;                                                                                 \
        }                                                                                          \
    }

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

/* Offsets of side x side pixels from the tile's first on; -1: outside. */
static void offsets(const struct nn_wino_image *m, int64_t tile, int side, int64_t *at)
{
    struct place p = place_of(m, tile);
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int h = p.row * m->tile - m->top + i, w = p.column * m->tile - m->left + j;
            bool inside = h >= 0 && h < m->h && w >= 0 && w < m->w;
            at[i * side + j] =
                inside ? ((p.image * m->h + h) * m->w + w) * (int64_t)m->c : (int64_t)-1;
        }
}

static const float zeros[NN_ROW_MAX]; /* and in bf16 */

/* All but m .. last is constant where this is used, as in the functions below it. */
#define CONSTANTS static inline __attribute__((always_inline)) void

/* side x side pixels -> span x span planes */
CONSTANTS transform_in(transform_1d *f, int side, int span, bool bf16,
                       const struct nn_wino_image *m, const void *x, const struct nn_wino_block *b,
                       int64_t first, int64_t last)
{
    int64_t panel = (int64_t)b->tiles * LANES, plane = nn_wino_plane(b->tiles, m->c);
    size_t bytes = bf16 ? 2 : sizeof(float);
    for (int64_t t = first; t < last; t++) {
        int64_t at[SPAN_MAX * SPAN_MAX];
        const void *pixel[SPAN_MAX * SPAN_MAX];
        offsets(m, b->first + t, side, at);
        for (int i = 0; i < side * side; i++)
            pixel[i] = at[i] < 0 ? (const void *)zeros : (const char *)x + (size_t)at[i] * bytes;
        for (int c = 0; c < m->c; c += NN_LANES) {
            nn_lanes half[SPAN_MAX * SPAN_MAX];
            float *to = b->planes + c / LANES * panel + t * LANES + c % LANES;
            COLUMNS(f, side, span, half, nn_lanes_load_at(pixel[i * side + j], bf16, c))
            ROWS(f, side, span, half, nn_lanes_store(to + (i * span + j) * plane, v))
        }
    }
}

void nn_wino_pixels(const struct nn_wino_image *m, const void *x, const struct nn_wino_block *b,
                    int64_t first, int64_t last)
{
    if (m->tile == 8 && m->bf16)
        transform_in(pixels_8, 10, 10, true, m, x, b, first, last);
    else if (m->tile == 8)
        transform_in(pixels_8, 10, 10, false, m, x, b, first, last);
    else if (m->bf16)
        transform_in(pixels_4, 6, 6, true, m, x, b, first, last);
    else
        transform_in(pixels_4, 6, 6, false, m, x, b, first, last);
}

void nn_wino_gradients(const struct nn_wino_image *m, const void *dy, const struct nn_wino_block *b,
                       int64_t first, int64_t last)
{
    if (m->tile == 8 && m->bf16)
        transform_in(gradients_8, 8, 10, true, m, dy, b, first, last);
    else if (m->tile == 8)
        transform_in(gradients_8, 8, 10, false, m, dy, b, first, last);
    else if (m->bf16)
        transform_in(gradients_4, 4, 6, true, m, dy, b, first, last);
    else
        transform_in(gradients_4, 4, 6, false, m, dy, b, first, last);
}

static nn_lanes post_lanes(int post, nn_lanes v)
{
    float row[NN_LANES];
    nn_lanes_store(row, v);
    nn_post_row(post, row, NN_LANES);
    return nn_lanes_load(row);
}

CONSTANTS put_pixel(bool bf16, void *y, const struct nn_wino_epilogue *end, int64_t at, int c,
                    nn_lanes v)
{
    if (at < 0)
        return;
    if (end->res)
        v += nn_lanes_load_at(end->res, end->res_bf16, at + c);
    if (end->post)
        v = post_lanes(end->post, v);
    nn_lanes_store_at(y, bf16, at + c, v);
}

CONSTANTS transform_out(transform_1d *f, int tile, bool bf16, const struct nn_wino_image *m,
                        void *y, const struct nn_wino_epilogue *given,
                        const struct nn_wino_block *b, int64_t first, int64_t last)
{
    const struct nn_wino_epilogue copy = *given,
                                  *end = &copy; /* which stores into y cannot change */
    int span = tile + 2;
    int64_t panel = (int64_t)b->tiles * LANES, plane = nn_wino_plane(b->tiles, m->c);
    for (int64_t t = first; t < last; t++) {
        int64_t at[NN_WINO_TILE_MAX * NN_WINO_TILE_MAX];
        offsets(m, b->first + t, tile, at);
        const float *nc = end->nc ? end->nc + place_of(m, b->first + t).image * m->c : NULL;
        for (int c = 0; c < m->c; c += NN_LANES) {
            nn_lanes half[SPAN_MAX * NN_WINO_TILE_MAX], shift = nn_lanes_all(0);
            const float *from = b->planes + c / LANES * panel + t * LANES + c % LANES;
            if (end->bias)
                shift += nn_lanes_load(end->bias + c);
            if (nc)
                shift += nn_lanes_load(nc + c);
            COLUMNS(f, span, tile, half, nn_lanes_load(from + (i * span + j) * plane))
            ROWS(f, span, tile, half, put_pixel(bf16, y, end, at[i * tile + j], c, v + shift))
        }
    }
}

void nn_wino_results(const struct nn_wino_image *m, void *y, const struct nn_wino_epilogue *end,
                     const struct nn_wino_block *b, int64_t first, int64_t last)
{
    if (m->tile == 8 && m->bf16)
        transform_out(results_8, 8, true, m, y, end, b, first, last);
    else if (m->tile == 8)
        transform_out(results_8, 8, false, m, y, end, b, first, last);
    else if (m->bf16)
        transform_out(results_4, 4, true, m, y, end, b, first, last);
    else
        transform_out(results_4, 4, false, m, y, end, b, first, last);
}

/* ---- filters ---- */

/* Where tap 0 of the filter between an output and an input lies in w (O,I,3,3). */
static int64_t filter_at(const struct nn_wino_filters *f, int64_t output, int64_t input)
{
    return TAPS * TAPS * (f->transposed ? input * f->outputs + output : output * f->inputs + input);
}

CONSTANTS filters_in(transform_1d *transform, int span, const struct nn_wino_filters *f,
                     const float *w, float *u, int64_t first, int64_t last)
{
    int64_t plane = nn_wino_filter_plane(f), step = filter_at(f, 1, 0);
    for (int64_t pair = first; pair < last; pair++) {
        const float *from = w + filter_at(f, pair / f->inputs * LANES, pair % f->inputs);
        if (f->transposed) /* each on another page, which no CPU prefetches */
            for (int k = 0; k < TAPS * TAPS; k++)
                __builtin_prefetch(from + AHEAD * filter_at(f, 0, 1) + k * LANES);
        for (int half = 0; half < LANES; half += NN_LANES) {
            nn_lanes in[TAPS * TAPS], wide[SPAN_MAX * TAPS];
            for (int k = 0; k < TAPS * TAPS; k++)
                for (int o = 0; o < NN_LANES; o++)
                    in[k][o] = from[(half + o) * step + (f->transposed ? TAPS * TAPS - 1 - k : k)];
            COLUMNS(transform, TAPS, span, wide, in[i * TAPS + j])
            ROWS(transform, TAPS, span, wide,
                 nn_lanes_stream(u + (i * span + j) * plane + pair * LANES + half, v))
        }
    }
}

void nn_wino_filters_in(const struct nn_wino_filters *f, const float *w, float *u, int64_t first,
                        int64_t last)
{
    if (f->tile == 8)
        filters_in(filter_8, 10, f, w, u, first, last);
    else
        filters_in(filter_4, 6, f, w, u, first, last);
    nn_lanes_streamed();
}

CONSTANTS filters_out(transform_1d *transform, int span, const struct nn_wino_filters *f,
                      const float *u, float *w, int64_t first, int64_t last)
{
    int64_t plane = nn_wino_filter_plane(f), step = filter_at(f, 1, 0);
    for (int64_t pair = first; pair < last; pair++) {
        float *to = w + filter_at(f, pair / f->inputs * LANES, pair % f->inputs);
        for (int half = 0; half < LANES; half += NN_LANES) {
            nn_lanes wide[SPAN_MAX * TAPS], out[TAPS * TAPS];
            COLUMNS(transform, span, TAPS, wide,
                    nn_lanes_load(u + (i * span + j) * plane + pair * LANES + half))
            ROWS(transform, span, TAPS, wide, out[i * TAPS + j] = v)
            for (int k = 0; k < TAPS * TAPS; k++)
                for (int o = 0; o < NN_LANES; o++)
                    to[(half + o) * step + k] = out[k][o];
        }
    }
}

void nn_wino_filters_out(const struct nn_wino_filters *f, const float *u, float *w, int64_t first,
                         int64_t last)
{
    if (f->tile == 8)
        filters_out(filter_back_8, 10, f, u, w, first, last);
    else
        filters_out(filter_back_4, 6, f, u, w, first, last);
}
