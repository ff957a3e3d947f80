#include "subtract_tile.h"

#include "network.h"
#include "window.h"

#include <math.h>

/* Row y of the image from column x on, beyond its edges mirrored, as n pixels in [-1,1]. */
static void load_row(const struct subtract_pass *pass, int channels, int x, int y, int n,
                     float *out)
{
    const struct image *img = pass->img;
    int from = img->channels, width = img->width;
    const uint8_t *row =
        pass->from + (size_t)window_mirror(y, img->height) * (size_t)width * (size_t)from;
    for (int u = x; u < x + n; u++) {
        const uint8_t *pixel = row + (u < width ? u : window_mirror(u, width)) * from;
        for (int c = 0; c < channels; c++)
            *out++ = (float)pixel[from == channels ? c : 0] / 127.5f - 1;
    }
}

/* Floats of a tile, and of two of its rows. */
static size_t tile_floats(const struct subtract_plan *p, int channels)
{
    return (size_t)p->height * (size_t)p->width * (size_t)channels;
}

static size_t pair_floats(const struct subtract_plan *p, int channels)
{
    return 2 * (size_t)p->width * (size_t)channels;
}

/* Normals of two rows of tile pixels from (x,y) on, deviation and all, in the network's unit. A
   cover's origins and lengths are even, so every row begins at an even place of the field. */
static void noise_rows(const struct subtract_pass *pass, const struct cover *c, int channels, int x,
                       int y, int n, float *out)
{
    uint64_t own = (uint64_t)pass->img->channels, row = (uint64_t)c->x.length * own;
    size_t drawn = (size_t)n * own, half = (size_t)n * (size_t)channels;
    for (uint64_t v = 0; v < 2; v++, out += half) {
        nn_rng_normal(pass->rng, ((uint64_t)y + v) * row + (uint64_t)x * own, out, drawn);
        for (size_t k = half; k-- > 0;)
            out[k] =
                out[drawn == half ? k : k / (size_t)channels] * pass->noise / PURIFY_RESTORER_GREYS;
    }
}

/* Noise onto two rows of a tile, folded, at p->in + at. */
static void add_noise(const struct subtract_pass *pass, const struct cover *c, int channels, int x,
                      int y, struct subtract_plan *p, size_t at)
{
    size_t pair = pair_floats(p, channels);
    noise_rows(pass, c, channels, x, y, p->width, p->rows);
    purify_restorer_fold(p->rows, 2, p->width, channels, p->noise + at);
    for (size_t k = at; k < at + pair; k++)
        p->in[k] += p->noise[k] * (PURIFY_RESTORER_GREYS / 127.5f);
}

void subtract_load(const struct subtract_pass *pass, const struct cover *c, int channels, int i,
                   int j, struct subtract_plan *p, int k)
{
    int x = cover_origin(&c->x, i), y = cover_origin(&c->y, j);
    size_t pair = pair_floats(p, channels);
    size_t at = (size_t)k * tile_floats(p, channels);
    for (int v = 0; v < p->height; v += 2, at += pair) {
        load_row(pass, channels, x, y + v, p->width, p->rows);
        load_row(pass, channels, x, y + v + 1, p->width, p->rows + pair / 2);
        purify_restorer_fold(p->rows, 2, p->width, channels, p->in + at);
        if (p->noise)
            add_noise(pass, c, channels, x, y + v, p, at);
    }
}

/* One row of n pixels; returns the sum of the squared predictions. */
static double store_row(const uint8_t *restrict from, const float *restrict predicted, int n,
                        int channels, int predicted_channels, float gain, uint8_t *restrict to)
{
    double squares = 0;
    for (int u = 0; u < n; u++, predicted += predicted_channels)
        for (int c = 0; c < channels; c++, from++, to++) {
            float p = channels == predicted_channels
                          ? predicted[c]
                          : (predicted[0] + predicted[1] + predicted[2]) / 3;
            float grey = p * PURIFY_RESTORER_GREYS, v = (float)*from - gain * grey;
            *to = (uint8_t)rintf(v < 0 ? 0 : v > 255 ? 255 : v);
            squares += (double)grey * (double)grey;
        }
    return squares;
}

/* What the plan's place k wants to be subtracted from the pixels as they were before the noise. */
static const float *wanted(struct subtract_plan *p, int k, int channels)
{
    size_t n = tile_floats(p, channels), at = (size_t)k * n;
    if (!p->noise)
        return p->out + at;
    for (size_t i = at; i < at + n; i++)
        p->noise[i] = p->out[i] - p->noise[i];
    return p->noise + at;
}

status subtract_store(struct subtract_pass *pass, const struct cover *c, int channels, float gain,
                      int i, int j, struct subtract_plan *p, int k, struct errmsg *e)
{
    const struct image *img = pass->img;
    int x = cover_first(&c->x, i), y = cover_first(&c->y, j);
    int left = x - cover_origin(&c->x, i), top = y - cover_origin(&c->y, j);
    int end_x = cover_end(&c->x, i), end_y = cover_end(&c->y, j);
    size_t pair = pair_floats(p, channels);
    const float *tile = wanted(p, k, channels);
    status st = network_is_sane(tile, tile_floats(p, channels), e);
    if (st)
        return st;
    end_x = end_x < img->width ? end_x : img->width;
    end_y = end_y < img->height ? end_y : img->height;
    for (int row = y; row < end_y; row++) {
        int v = row - y + top; /* an inner region begins at an even row of its tile */
        size_t at = ((size_t)row * (size_t)img->width + (size_t)x) * (size_t)img->channels;
        if (v % 2 == 0)
            purify_restorer_unfold(tile + (size_t)(v / 2) * pair, 2, p->width, channels, p->rows);
        const float *predicted = p->rows + (size_t)(v % 2 * p->width + left) * (size_t)channels;
        pass->squares += store_row(pass->from + at, predicted, end_x - x, img->channels, channels,
                                   gain, pass->to + at);
    }
    return STATUS_OK;
}
