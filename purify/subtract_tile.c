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

void subtract_load(const struct subtract_pass *pass, const struct cover *c, int channels, int i,
                   int j, struct subtract_plan *p, int k)
{
    int x = cover_origin(&c->x, i), y = cover_origin(&c->y, j);
    size_t pair = pair_floats(p, channels);
    float *to = p->in + (size_t)k * tile_floats(p, channels);
    for (int v = 0; v < p->height; v += 2, to += pair) {
        load_row(pass, channels, x, y + v, p->width, p->rows);
        load_row(pass, channels, x, y + v + 1, p->width, p->rows + pair / 2);
        purify_restorer_fold(p->rows, 2, p->width, channels, to);
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

status subtract_store(struct subtract_pass *pass, const struct cover *c, int channels, float gain,
                      int i, int j, struct subtract_plan *p, int k, struct errmsg *e)
{
    const struct image *img = pass->img;
    int x = cover_first(&c->x, i), y = cover_first(&c->y, j);
    int left = x - cover_origin(&c->x, i), top = y - cover_origin(&c->y, j);
    int end_x = cover_end(&c->x, i), end_y = cover_end(&c->y, j);
    size_t pair = pair_floats(p, channels);
    const float *tile = p->out + (size_t)k * tile_floats(p, channels);
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
