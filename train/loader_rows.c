/* Rows of a batch: a sample, cropped, augmented and scaled for the network. */
#include "loader.h"

static void fill_row(const struct train_loader *l, const struct set_view *v,
                     struct augment_placing p, float *out)
{
    int c = l->channels;
    for (int y = 0; y < l->height; y++) {
        int sy = y + p.y;
        bool row_in = sy >= 0 && sy < v->height;
        for (int x = 0; x < l->width; x++, out += c) {
            int sx = p.x + (p.mirror ? l->width - 1 - x : x);
            bool in = row_in && sx >= 0 && sx < v->width;
            const uint8_t *src =
                in ? v->pixels + ((size_t)sy * (size_t)v->width + (size_t)sx) * (size_t)c
                   : (const uint8_t[TRAIN_CHANNELS_MAX]){0};
            for (int k = 0; k < c; k++)
                out[k] = l->table[k][src[k]];
        }
    }
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
        fill_row(l, &v, augment_place(&l->augment, of, frame), s->x + (size_t)i * row);
        train_set_view_done(&v);
        if (l->augment.pixels)
            st = augment_row(l, of, spare, s->x + (size_t)i * row);
        if (st)
            return st;
    }
    return STATUS_OK;
}
