/* cache_gc and cache_rebuild. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum {
    DEAD_PERCENT = 50, /* of a pack that make gc rewrite it */
    LOST_ROWS = 4096,  /* in one transaction: others may write in between */
};

static status recover_and_fit(struct cache *c, const struct cache_gc_options *opt,
                              struct cache_gc_result *r)
{
    status st = maintain_begin_reporting(c, opt->progress, opt->arg, 0, 1);
    if (st)
        return st;
    st = recover_packs(c, false, NULL, NULL);
    if (st == STATUS_NO_SPACE) {
        log_shorten(c);
        st = recover_packs(c, false, NULL, NULL);
    }
    if (!st || st == STATUS_NO_SPACE)
        st = space_make(c, 0, r);
    if (st == STATUS_NO_SPACE) /* too much is pinned, or in other processes' hands */
        st = STATUS_OK;
    if (!st)
        st = packs_delete_empty(c, r);
    return maintain_end(c, st);
}

static status all_packs(struct cache *c, struct index_pack **out, size_t *out_n)
{
    struct index *x;
    status st = maintain_reader(c, &x);
    if (st)
        return st;
    st = index_packs(x, out, out_n);
    reader_release(c, x, st);
    return st;
}

/* One pack at a time, so that puts get their turn. */
static status compact(struct cache *c, const struct cache_gc_options *opt,
                      struct cache_gc_result *r)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    size_t n = 0;
    status st = all_packs(c, &packs, &n);
    for (size_t i = 0; !st && i < n; i++) {
        uint64_t dead = packs[i].bytes - packs[i].live_bytes;
        if (dead > packs[i].bytes / 100 * DEAD_PERCENT && packs[i].live_count > 0) {
            st = maintain_begin_reporting(c, opt->progress, opt->arg, i, n);
            if (!st)
                st = maintain_end(c, pack_reclaim(c, packs[i].id, r));
        }
        if (st == STATUS_BUSY || st == STATUS_NOT_FOUND)
            st = STATUS_OK;
        if (!st && opt->progress)
            st = opt->progress(opt->arg, i + 1, n);
    }
    return st;
}

static status drop_aside(struct cache *c, uint64_t *out_deleted)
{
    static const char prefix[] = "index.sqlite.aside-";
    DIR *d = opendir(c->dir);
    uint64_t deleted = 0;
    if (!d)
        return status_from_errno(errno);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0 &&
            unlinkat(dirfd(d), entry->d_name, 0) == 0)
            deleted++;
    closedir(d);
    *out_deleted = deleted;
    return STATUS_OK;
}

static status tidy_index(struct cache *c, struct cache_gc_result *r)
{
    status st = maintain_begin(c);
    if (st)
        return st;
    st = index_memo_prune(c->index, MEMO_MAX, &r->memos_pruned);
    if (!st)
        st = index_file_prune(c->index, MEMO_MAX, &r->files_pruned);
    if (!st)
        st = index_prune_profiles(c->index);
    if (!st)
        st = index_shrink(c->index);
    if (st == STATUS_BUSY) /* a reader holds the log; the next gc will do it */
        st = STATUS_OK;
    return maintain_end(c, st);
}

static status collect(struct cache *c, const struct cache_gc_options *opt,
                      struct cache_gc_result *r)
{
    status st = recover_and_fit(c, opt, r);
    if (!st)
        st = compact(c, opt, r);
    return st ? st : tidy_index(c, r);
}

static status replace_index(struct cache *c)
{
    status st = maintain_begin(c);
    if (st)
        return st;
    st = index_replace(c, NULL);
    return maintain_end(c, st == STATUS_CORRUPT ? STATUS_OK : st); /* the writer has just done it */
}

status cache_gc(struct cache *c, const struct cache_gc_options *opt, struct cache_gc_result *out)
{
    static const struct cache_gc_options nothing;
    struct cache_gc_result r = {0};
    if (!opt)
        opt = &nothing;
    status st = collect(c, opt, &r);
    if (st == STATUS_CORRUPT) {
        st = replace_index(c);
        if (!st)
            st = collect(c, opt, &r);
    }
    if (!st && opt->drop_aside)
        st = drop_aside(c, &r.aside_deleted);
    if (!st)
        *out = r;
    return st;
}

/* ---- rebuild ---- */

/* Rows that are in no pack, and so were not checked with one. */
static status drop_lost(struct cache *c)
{
    uint64_t gone = LOST_ROWS;
    status st = STATUS_OK;
    while (!st && gone == LOST_ROWS) {
        st = report_progress(c);
        if (!st)
            st = index_drop_lost(c->index, LOST_ROWS, &gone);
        if (!st)
            atomic_fetch_add(&c->n.damaged, gone);
    }
    return st;
}

static status rebuild(struct cache *c, cache_progress_fn *progress, void *arg,
                      uint64_t *out_objects)
{
    struct index_totals t;
    active_close(c); /* else it would look like another process's */
    c->report = (struct report){progress, arg, 0, 1};
    status st = recover_packs(c, true, progress, arg);
    if (!st)
        st = drop_lost(c);
    if (!st)
        st = index_recount(c->index);
    if (!st)
        st = index_totals(c->index, &t);
    if (!st)
        *out_objects = t.objects;
    return st;
}

status cache_rebuild(struct cache *c, cache_progress_fn *progress, void *arg, uint64_t *out_objects)
{
    status st = maintain_begin(c);
    if (st)
        return st;
    st = rebuild(c, progress, arg, out_objects);
    if (st == STATUS_CORRUPT) { /* cannot be repaired: start with an empty one */
        st = index_replace(c, NULL);
        if (!st)
            st = rebuild(c, progress, arg, out_objects);
    }
    return maintain_end(c, st);
}
