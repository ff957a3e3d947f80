/*
 * OPS, the one-pixel shortcut (Wu et al., "One-Pixel Shortcut", ICLR 2023). One pixel of every
 * image of a class is overwritten with one corner of the colour cube. Class after class takes the
 * position and colour that no class has yet and that maximise mean(d) / std(d), where d = |colour -
 * pixel| over the class's images and channels: far from what is there, and alike in all images.
 *
 * mean / std = S / sqrt(nQ - S^2) with S and Q the sums of d and d^2 over n values, so it grows
 * with S^2 / (nQ), which is never above 1 and needs no case for std = 0. S and Q of any colour
 * follow from the sums of pixels and of their squares, which are whole numbers: one pass over the
 * images, and no rounding decides. Among equals the first in the order of rows, columns and colours
 * is taken.
 */
#include "protect/protect.h"

#include "set.h"

#include <string.h>

enum { CHANNELS_MAX = 3 };

struct choice {
    int x, y;
    unsigned corner; /* bit c: channel c is 255 */
    double score;
};
struct ops {
    struct choice *choice;  /* (K) */
    uint64_t *sum, *square; /* (H,W,C) over the images of one class */
    uint8_t *taken;         /* (H,W): bit per colour */
};

static status add_class(struct protect_job *j, struct ops *o, int k, uint64_t *out_images,
                        struct errmsg *e)
{
    size_t n = (size_t)j->info.width * (size_t)j->info.height * (size_t)j->info.channels;
    memset(o->sum, 0, n * sizeof *o->sum);
    memset(o->square, 0, n * sizeof *o->square);
    *out_images = 0;
    for (int i = 0; i < j->info.samples; i++) {
        if (train_set_label(j->set, i) != k)
            continue;
        struct set_view v;
        status st = stop_requested() ? STATUS_CANCELLED : train_set_view(j->set, i, &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < n; p++) {
            o->sum[p] += v.pixels[p];
            o->square[p] += (uint64_t)v.pixels[p] * v.pixels[p];
        }
        train_set_view_done(&v);
        ++*out_images;
    }
    return STATUS_OK;
}

/* (mean/std)^2 of d as S^2/(nQ); 0 where the pixel is this colour in all images. */
static double score(const struct ops *o, size_t pixel, unsigned corner, int channels,
                    uint64_t images)
{
    double s = 0, q = 0;
    for (int c = 0; c < channels; c++) {
        size_t p = pixel * (size_t)channels + (size_t)c;
        bool high = corner >> c & 1;
        s += (double)(high ? 255 * images - o->sum[p] : o->sum[p]);
        q += (double)(high ? 65025 * images - 510 * o->sum[p] + o->square[p] : o->square[p]);
    }
    return q > 0 ? s * s / ((double)images * channels * q) : 0;
}

static void choose(struct protect_job *j, struct ops *o, int k, uint64_t images)
{
    struct choice best = {.score = -1};
    int w = j->info.width, c = j->info.channels;
    for (int y = 0; y < j->info.height; y++)
        for (int x = 0; x < w; x++)
            for (unsigned corner = 0; corner < 1u << c; corner++) {
                size_t p = (size_t)y * (size_t)w + (size_t)x;
                double v = o->taken[p] >> corner & 1 ? -1 : score(o, p, corner, c, images);
                if (v > best.score)
                    best = (struct choice){x, y, corner, v};
            }
    o->taken[(size_t)best.y * (size_t)w + (size_t)best.x] |= (uint8_t)(1u << best.corner);
    o->choice[k] = best;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    struct ops *o = j->state = mem_zalloc(1, sizeof *o);
    if (!o)
        return STATUS_NOMEM;
    size_t area = (size_t)j->info.width * (size_t)j->info.height, c = (size_t)j->info.channels;
    if (c > CHANNELS_MAX || (size_t)j->info.classes > area << c)
        return errmsg_set(e, STATUS_INVALID,
                          "%dx%d pixels have too few places and colours for %d classes",
                          j->info.width, j->info.height, j->info.classes);
    o->choice = mem_zalloc((size_t)j->info.classes, sizeof *o->choice);
    o->sum = mem_alloc(area * c * sizeof *o->sum);
    o->square = mem_alloc(area * c * sizeof *o->square);
    o->taken = mem_zalloc(area, sizeof *o->taken);
    if (!o->choice || !o->sum || !o->square || !o->taken)
        return STATUS_NOMEM;
    struct progress p;
    progress_init(&p, "searching", 0, (uint64_t)j->info.classes, j->opt->quiet);
    for (int k = 0; k < j->info.classes; k++) {
        uint64_t images;
        status st = add_class(j, o, k, &images, e);
        if (st)
            return st;
        choose(j, o, k, images);
        progress_update(&p, (uint64_t)k + 1, NULL);
    }
    progress_done(&p, (uint64_t)j->info.classes, NULL);
    return STATUS_OK;
}

static status pixels(const struct protect_job *j, int i, const uint8_t *in, float *out,
                     struct errmsg *e)
{
    const struct ops *o = j->state;
    const struct choice *best = &o->choice[train_set_label(j->set, i)];
    int w = j->info.width, channels = j->info.channels, n = w * j->info.height * channels;
    (void)e;
    for (int p = 0; p < n; p++)
        out[p] = in[p];
    for (int c = 0; c < channels; c++)
        out[(best->y * w + best->x) * channels + c] = best->corner >> c & 1 ? 255 : 0;
    return STATUS_OK;
}

static void describe(const struct protect_job *j, json_t *out)
{
    const struct ops *o = j->state;
    json_t *list = json_array();
    for (int k = 0; k < j->info.classes; k++) {
        const struct choice *best = &o->choice[k];
        json_t *colour = json_array();
        for (int c = 0; c < j->info.channels; c++)
            json_array_append_new(colour, json_integer(best->corner >> c & 1 ? 255 : 0));
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:o}", "x", best->x, "y", best->y, "colour", colour));
    }
    json_object_set_new(out, "pixels", list); /* in the order of the classes */
}

static void done(struct protect_job *j)
{
    struct ops *o = j->state;
    if (!o)
        return;
    mem_free(o->choice);
    mem_free(o->sum);
    mem_free(o->square);
    mem_free(o->taken);
    mem_free(o);
}

const struct protect_method protect_ops = {
    .name = "ops",
    .summary = "one pixel shortcut: one pixel of every image of a class is overwritten",
    .quantise = TRAIN_ROUND,
    .params = PARAM_NONE,
    .prepare = prepare,
    .pixels = pixels,
    .describe = describe,
    .done = done,
};
