#include "chain.h"

#include <string.h>

/* Seconds an image, the best of a few runs of n together. */
static status measure(struct purify_engine *en, int n, double *out_seconds, struct errmsg *e)
{
    enum { RUNS = 3 }; /* the first warms the caches up */
    struct image img[PURIFY_MICRO_BATCH] = {{0}};
    struct engine_member member[PURIFY_MICRO_BATCH];
    int size, channels;
    uint64_t best = UINT64_MAX;
    status st = STATUS_OK;
    (void)chain_tiled(en->model, &size, &channels);
    for (int k = 0; k < n && !st; k++) {
        st = image_alloc(size, size, channels, false, &img[k]);
        if (!st)
            memset(img[k].pixels, 127, image_pixel_bytes(&img[k]));
        member[k] = (struct engine_member){.img = &img[k]};
    }
    for (int i = 0; i < RUNS && !st; i++) {
        uint64_t start = time_mono_ns();
        engine_run_group(en, member, n);
        uint64_t took = time_mono_ns() - start + 1;
        best = took < best ? took : best;
        for (int k = 0; k < n && !st; k++)
            if ((st = member[k].st))
                st = errmsg_set(e, st, "%s", errmsg_text(&member[k].err, st));
    }
    for (int k = 0; k < n; k++)
        image_done(&img[k]);
    if (!st)
        *out_seconds = (double)best * 1e-9 / n;
    return st;
}

status purify_engine_measure(struct purify_engine *en, struct purify_cost *out, struct errmsg *e)
{
    struct purify_cost cost;
    status st = measure(en, 1, &cost.alone_seconds, e);
    if (!st)
        st = measure(en, PURIFY_MICRO_BATCH, &cost.bulk_seconds, e);
    if (!st)
        *out = cost;
    return st;
}
