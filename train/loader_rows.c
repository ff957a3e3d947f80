/* Rows of a batch: a sample, cropped, augmented and scaled for the network. */
#include "loader.h"

#include <math.h>

/* Where pixel (x,y) of a row comes from: its number in the image; -1: from outside. */
static ptrdiff_t source(const struct train_loader *l, const struct set_view *v,
                        struct augment_placing p, int x, int y)
{
    int sx = p.x + (p.mirror ? l->width - 1 - x : x), sy = y + p.y;
    bool in = sx >= 0 && sx < v->width && sy >= 0 && sy < v->height;
    return in ? (ptrdiff_t)sy * v->width + sx : -1;
}

static void fill_row(const struct train_loader *l, const struct set_view *v,
                     struct augment_placing p, float *out)
{
    int c = l->channels;
    for (int y = 0; y < l->height; y++) {
        for (int x = 0; x < l->width; x++, out += c) {
            ptrdiff_t at = source(l, v, p, x, y);
            const uint8_t *src =
                at >= 0 ? v->pixels + at * c : (const uint8_t[TRAIN_CHANNELS_MAX]){0};
            for (int k = 0; k < c; k++)
                out[k] = l->table[k][src[k]];
        }
    }
}

/* The same, of an image that is changed as a whole first. Rows that work on pixels want [0,1]. */
static status fill_changed_row(const struct train_loader *l, int sample, const struct set_view *v,
                               struct augment_placing p, float *out)
{
    size_t c = (size_t)l->channels, n = (size_t)v->width * (size_t)v->height * c;
    AUTO(mem_free) float *whole = mem_alloc(n * sizeof *whole);
    if (!whole)
        return STATUS_NOMEM;
    for (size_t i = 0; i < n; i++)
        whole[i] = (float)v->pixels[i] / 255;
    l->opt.image(l->opt.image_arg, sample, whole);
    for (int y = 0; y < l->height; y++) {
        for (int x = 0; x < l->width; x++, out += c) {
            ptrdiff_t at = source(l, v, p, x, y);
            for (size_t k = 0; k < c; k++) {
                float value = at >= 0 ? whole[(size_t)at * c + k] : 0;
                out[k] = l->augment.pixels ? fminf(fmaxf(value, 0), 1)
                                           : (value - l->opt.mean[k]) / l->std[k];
            }
        }
    }
    return STATUS_OK;
}

/* out holds pixels in [0,1] and gets what the network wants. */
static status augment_row(const struct train_loader *l, struct augment_of of, float *spare,
                          float *out)
{
    size_t c = (size_t)l->channels, row = (size_t)l->width * (size_t)l->height * c;
    struct augment_pixels p = {l->width, l->height, l->channels, out, spare};
    status st = augment_apply(&l->augment, of, &p);
    for (size_t i = 0; i < row; i++)
        out[i] = (out[i] - l->opt.mean[i % c]) / l->std[i % c];
    return st;
}

status loader_fill_rows(const struct train_loader *l, struct slot *s, int from, int to, int *out_at,
                        struct errmsg *e)
{
    size_t row = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
    AUTO(mem_free) float *spare = l->augment.pixels ? mem_alloc(row * sizeof *spare) : NULL;
    *out_at = from;
    if (l->augment.pixels && !spare)
        return STATUS_NOMEM;
    for (int i = from; i < to; i++) {
        struct augment_of of = {l->opt.seed, l->epoch, s->index[i]};
        struct set_view v;
        *out_at = i;
        status st =
            stop_requested() ? STATUS_CANCELLED : train_set_view(l->set, s->index[i], &v, e);
        if (st)
            return st;
        struct augment_frame frame = {v.width, v.height, l->width, l->height};
        struct augment_placing placing = augment_place(&l->augment, of, frame);
        if (l->opt.image)
            st = fill_changed_row(l, s->index[i], &v, placing, s->x + (size_t)i * row);
        else
            fill_row(l, &v, placing, s->x + (size_t)i * row);
        train_set_view_done(&v);
        if (!st && l->augment.pixels)
            st = augment_row(l, of, spare, s->x + (size_t)i * row);
        if (st)
            return st;
    }
    return STATUS_OK;
}
