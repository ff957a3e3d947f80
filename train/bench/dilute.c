/*
 * Dilution: clean images among those that were protected. The added ones follow the first `images`
 * of the data, so they are in no tree, and a larger `dilute` has all of a smaller one.
 */
#include "bench/tree.h"

#include <string.h>

status bench_dilute_open(const struct train_bench *b, int more, struct train_set **out,
                         struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *set = NULL;
    int images = b->matrix.images;
    if (!images)
        return errmsg_set(e, STATUS_INVALID,
                          "dilute = %d: without images = N all images are taken already, and none "
                          "is left to be added",
                          more);
    if (more > INT32_MAX - images)
        return errmsg_set(e, STATUS_LIMIT, "more than 2^31 images");
    status st = tree_open(b, b->data, images + more, &set, e);
    if (st)
        return st;
    int there = train_set_info(set).samples;
    if (there < images + more)
        return errmsg_set(e, STATUS_INVALID,
                          "dilute = %d: %s has %d images, of which images = %d leaves %d (make one "
                          "of the two smaller)",
                          more, b->data, there, images, there > images ? there - images : 0);
    *out = TAKE(set);
    return STATUS_OK;
}

/* Whether each image is beyond the first `images`. Both sets are in one order, and the smaller one
   is a part of the other. */
static status find_added(const struct train_bench *b, const struct train_set *all, bool *out,
                         struct errmsg *e)
{
    AUTO(train_set_free) struct train_set *first = NULL;
    status st = tree_open(b, b->data, b->matrix.images, &first, e);
    if (st)
        return st;
    int k = 0, n = train_set_info(first).samples;
    for (int i = 0; i < train_set_info(all).samples; i++) {
        out[i] = k == n || strcmp(train_set_path(first, k), train_set_path(all, i)) != 0;
        k += !out[i];
    }
    return k == n ? STATUS_OK
                  : errmsg_set(e, STATUS_INVALID, "%s changed while it was read", b->data);
}

status tree_write_diluted(const struct train_bench *b, int i, struct tree_tick tick,
                          struct errmsg *e)
{
    const struct bench_tree *t = &b->tree[i];
    AUTO(train_set_free) struct train_set *source = NULL;
    AUTO(train_set_free) struct train_set *all = NULL;
    AUTO(mem_free) char *from = bench_path(b, "trees", b->tree[t->source].id, "");
    AUTO(mem_free) char *to = bench_path(b, "trees", t->id, ".part");
    status st = from && to ? tree_open(b, from, 0, &source, e) : STATUS_NOMEM;
    if (!st)
        st = bench_dilute_open(b, t->by->dilute, &all, e);
    if (st)
        return st;
    AUTO(mem_free) bool *added = mem_zalloc((size_t)train_set_info(all).samples, sizeof *added);
    st = added ? find_added(b, all, added, e) : STATUS_NOMEM;
    if (!st)
        st = tree_copy(source, NULL, to, tick, e);
    return st ? st : tree_copy(all, added, to, tick, e);
}
