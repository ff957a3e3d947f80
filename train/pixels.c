#include "pixels.h"

#include <math.h>
#include <string.h>

static void replace(struct image *img, uint8_t *pixels, int w, int h, int c)
{
    mem_free(img->pixels);
    mem_free(img->alpha);
    img->alpha = NULL;
    img->pixels = pixels;
    img->width = w;
    img->height = h;
    img->channels = c;
}

/* Which source samples make one output sample of an axis: first .. first+n-1, weights sum to 1. */
struct taps {
    int first, n;
    float *weight;
};

enum { TAPS_SLACK = 2 };

static int taps_max(int from, int to)
{
    return from > to ? from / to + 1 + TAPS_SLACK : TAPS_SLACK;
}

static void taps_shrink(struct taps *t, int i, int from, int to)
{
    double lo = (double)i * from / to, hi = (double)(i + 1) * from / to;
    t->first = (int)lo;
    t->n = 0;
    for (int s = t->first; s < from && s < hi; s++) {
        double a = s > lo ? s : lo, b = s + 1 < hi ? s + 1 : hi;
        if (b > a)
            t->weight[t->n++] = (float)((b - a) / (hi - lo));
    }
}

static void taps_grow(struct taps *t, int i, int from, int to)
{
    double at = ((double)i + .5) * from / to - .5;
    at = at < 0 ? 0 : at > from - 1 ? from - 1 : at;
    t->first = (int)at;
    float part = (float)(at - t->first);
    t->n = part > 0 ? 2 : 1;
    t->weight[0] = 1 - part;
    t->weight[1] = part;
}

/* One axis: n_out taps and their weights in one block. */
static status taps_new(int from, int to, struct taps **out)
{
    size_t per = (size_t)taps_max(from, to);
    struct taps *t = mem_alloc((size_t)to * (sizeof *t + per * sizeof(float)));
    if (!t)
        return STATUS_NOMEM;
    float *weight = (float *)(t + to);
    for (int i = 0; i < to; i++) {
        t[i].weight = weight + (size_t)i * per;
        if (from > to)
            taps_shrink(&t[i], i, from, to);
        else
            taps_grow(&t[i], i, from, to);
    }
    *out = t;
    return STATUS_OK;
}

status train_pixels_resize(struct image *img, int w, int h)
{
    if (w == img->width && h == img->height)
        return STATUS_OK;
    size_t c = (size_t)img->channels;
    AUTO(mem_free) struct taps *tx = NULL, *ty = NULL;
    AUTO(mem_free) float *rows = mem_alloc((size_t)img->height * (size_t)w * c * sizeof *rows);
    AUTO(mem_free) uint8_t *pixels = mem_alloc((size_t)h * (size_t)w * c);
    if (!rows || !pixels || taps_new(img->width, w, &tx) || taps_new(img->height, h, &ty))
        return STATUS_NOMEM;
    for (int y = 0; y < img->height; y++) {
        const uint8_t *src = img->pixels + (size_t)y * (size_t)img->width * c;
        float *dst = rows + (size_t)y * (size_t)w * c;
        for (int x = 0; x < w; x++)
            for (size_t k = 0; k < c; k++) {
                float sum = 0;
                for (int s = 0; s < tx[x].n; s++)
                    sum += tx[x].weight[s] * src[(size_t)(tx[x].first + s) * c + k];
                dst[(size_t)x * c + k] = sum;
            }
    }
    size_t line = (size_t)w * c;
    for (int y = 0; y < h; y++)
        for (size_t i = 0; i < line; i++) {
            float sum = 0;
            for (int s = 0; s < ty[y].n; s++)
                sum += ty[y].weight[s] * rows[(size_t)(ty[y].first + s) * line + i];
            pixels[(size_t)y * line + i] = (uint8_t)(sum + .5f);
        }
    replace(img, TAKE(pixels), w, h, img->channels);
    return STATUS_OK;
}

status train_pixels_downscale(struct image *img, int factor, struct errmsg *e)
{
    if (factor <= 1)
        return STATUS_OK;
    if (img->width % factor || img->height % factor)
        return errmsg_set(e, STATUS_INVALID, "%dx%d pixels cannot be divided by %d", img->width,
                          img->height, factor);
    return train_pixels_resize(img, img->width / factor, img->height / factor);
}

status train_pixels_convert(struct image *img, int channels)
{
    if (channels == img->channels)
        return STATUS_OK;
    size_t n = (size_t)img->width * (size_t)img->height;
    uint8_t *pixels = mem_alloc(n * (size_t)channels);
    if (!pixels)
        return STATUS_NOMEM;
    if (channels == 1)
        image_rgb_to_grey(img->pixels, n, pixels);
    else
        image_grey_to_rgb(img->pixels, n, pixels);
    replace(img, pixels, img->width, img->height, channels);
    return STATUS_OK;
}
