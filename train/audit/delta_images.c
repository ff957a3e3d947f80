/* What was added to each image, and how large it is. */
#include "audit/delta.h"

#include <math.h>
#include <stdlib.h>

static void measure_one(const struct set_view *clean, const struct set_view *protected,
                        int channels, struct delta_image *d)
{
    *d = (struct delta_image){.pixels = (long long)clean->width * clean->height};
    d->values = d->pixels * channels;
    for (long long p = 0; p < d->pixels; p++) {
        bool changed = false;
        for (int k = 0; k < channels; k++) {
            int v = protected->pixels[p * channels + k] - clean->pixels[p * channels + k];
            d->square += (double)v * v;
            d->most = abs(v) > d->most ? abs(v) : d->most;
            changed |= v != 0;
        }
        d->changed += changed;
    }
}

status delta_of(const struct delta_pairs *m, int i, float *out, float *spare, struct delta_image *d,
                struct errmsg *e)
{
    const struct pairs *p = m->pairs;
    int clean_at = p->clean_at[m->pair_of[i]];
    struct view_frame f = m->frame;
    struct set_view a, b = {0};
    status st = train_set_view(p->clean, clean_at, &a, e);
    if (st)
        return st;
    st = train_set_view(p->protected, i, &b, e);
    if (!st && (a.width != b.width || a.height != b.height))
        st = errmsg_set(e, STATUS_INVALID, "the pair of %s changed its size meanwhile",
                        train_set_path(p->clean, clean_at));
    if (!st) {
        if (d)
            measure_one(&a, &b, f.channels, d);
        view_middle(f, a.pixels, a.width, a.height, spare);
        view_middle(f, b.pixels, b.width, b.height, out);
        for (int v = 0; v < f.width * f.height * f.channels; v++)
            out[v] -= spare[v];
    }
    train_set_view_done(&a);
    train_set_view_done(&b);
    return st;
}

void delta_sum_up(const struct delta_image *each, int n, struct train_audit_delta *out)
{
    double square = 0, values = 0, pixels = 0, changed = 0, most = 0;
    for (int i = 0; i < n; i++) {
        const struct delta_image *d = &each[i];
        if (!d->changed)
            continue;
        out->changed++;
        out->linf = d->most > out->linf ? d->most : out->linf;
        most += d->most;
        square += d->square;
        values += (double)d->values;
        pixels += (double)d->pixels;
        changed += (double)d->changed;
    }
    out->images = n;
    out->psnr_db = 10 * log10(255. * 255. * values / square);
    out->linf_mean = most / out->changed;
    out->changed_pixels = changed / pixels;
}
