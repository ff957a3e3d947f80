/* Whether a tree has the images it should have, and how far they are from the clean ones. */
#include "bench/coherent.h"
#include "bench/tree.h"

#include "set.h"

#include <math.h>
#include <string.h>

enum { IMAGES_MAX = 1000 };

struct sums {
    double square, count;
    struct coherent of_classes;
};

static status add(struct train_set *clean, struct train_set *other, int i, struct sums *s,
                  struct errmsg *e)
{
    struct set_view a = {0}, b = {0};
    size_t stem = train_path_stem(train_set_path(clean, i));
    if (stem != train_path_stem(train_set_path(other, i)) ||
        strncmp(train_set_path(clean, i), train_set_path(other, i), stem) != 0)
        return errmsg_set(e, STATUS_CORRUPT, "image %s of the clean tree is missing",
                          train_set_path(clean, i));
    status st = train_set_view(clean, i, &a, e);
    if (!st)
        st = train_set_view(other, i, &b, e);
    size_t n = (size_t)a.width * (size_t)a.height * (size_t)train_set_info(clean).channels;
    if (!st && (a.width != b.width || a.height != b.height ||
                train_set_info(clean).channels != train_set_info(other).channels))
        st = errmsg_set(e, STATUS_CORRUPT, "%s has not the clean image's size",
                        train_set_path(other, i));
    for (size_t k = 0; k < n && !st; k++)
        s->square += (double)(a.pixels[k] - b.pixels[k]) * (a.pixels[k] - b.pixels[k]);
    s->count += (double)n;
    if (!st)
        st = coherent_add(&s->of_classes, train_set_label(clean, i), b.pixels, a.pixels, n);
    train_set_view_done(&a);
    train_set_view_done(&b);
    return st;
}

/* Over IMAGES_MAX images, evenly spaced. */
static status measure(struct train_set *clean, struct train_set *other, struct tree_tick tick,
                      struct tree_distance *out, struct errmsg *e)
{
    int n = train_set_info(clean).samples;
    int step = n > IMAGES_MAX ? n / IMAGES_MAX : 1;
    struct sums s = {.square = 0};
    status st = STATUS_OK;
    if (n != train_set_info(other).samples)
        return errmsg_set(e, STATUS_CORRUPT, "%d images, not %d", train_set_info(other).samples, n);
    for (int i = 0; i < n && !st; i += step) {
        tick.fn(tick.arg);
        st = stop_requested() ? STATUS_CANCELLED : add(clean, other, i, &s, e);
    }
    out->psnr_db = 10 * log10(255.0 * 255.0 * s.count / s.square);
    out->coherent = coherent_end(&s.of_classes);
    coherent_done(&s.of_classes);
    return st;
}

/* It must have all images that were asked for, under names of their own. */
static status check_clean(const struct train_bench *b, const struct train_set *clean,
                          struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *data = NULL;
    status st = tree_open(b, b->data, b->matrix.images, &data, e);
    if (!st && train_set_info(data).samples != train_set_info(clean).samples)
        st = errmsg_set(e, STATUS_INVALID,
                        "%s has images in one folder that differ in their extension only", b->data);
    return st;
}

/* It has the images of its source, which were measured, and the added ones. */
static status measure_diluted(const struct train_bench *b, int i, const struct train_set *diluted,
                              struct tree_distance *out, struct errmsg *e)
{
    const struct bench_tree *t = &b->tree[i];
    AUTO(train_set_free) struct train_set *source = NULL;
    AUTO(mem_free) char *dir = bench_path(b, "trees", b->tree[t->source].id, "");
    json_t *stamp = NULL;
    status st = dir ? tree_open(b, dir, 0, &source, e) : STATUS_NOMEM;
    if (!st && train_set_info(source).samples + t->by->dilute != train_set_info(diluted).samples)
        st = errmsg_set(e, STATUS_INVALID,
                        "%s has images in one folder that differ in their extension only", b->data);
    if (!st)
        st = bench_read(b, "trees", b->tree[t->source].id, &stamp, e);
    if (st)
        return st;
    tree_distance_read(stamp, out);
    json_decref(stamp);
    return STATUS_OK;
}

status tree_measure(const struct train_bench *b, int i, const char *dir, struct tree_tick tick,
                    struct tree_distance *out, struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *clean = NULL;
    AUTO(train_set_free) struct train_set *other = NULL;
    AUTO(mem_free) char *clean_dir = bench_path(b, "trees", b->tree[0].id, "");
    status st = tree_open(b, dir, 0, &other, e);
    if (!st && i == 0) {
        *out = (struct tree_distance){INFINITY, 0};
        return check_clean(b, other, e);
    }
    if (!st && b->tree[i].kind == BENCH_DILUTED)
        return measure_diluted(b, i, other, out, e);
    if (!st)
        st = clean_dir ? tree_open(b, clean_dir, 0, &clean, e) : STATUS_NOMEM;
    return st ? st : measure(clean, other, tick, out, e);
}
