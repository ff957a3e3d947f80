/*
 * The cache's size: kept under max_bytes and above min_free_bytes by choice. A disk that is full
 * nevertheless: full_disk.c.
 *
 * Records cannot be removed from a pack, so evicting an object only makes its pack emptier. Space
 * comes back when a pack has no live record left (deleted) or few (compact.c). To keep copying
 * bounded, objects are evicted until LIVE_PERCENT of max_bytes is live: then at least a fifth of
 * some pack is dead, and at most four bytes are copied for each byte gained. Objects that were
 * stored together mostly leave together, so it is far less in practice.
 */
#include "store.h"

enum {
    LIVE_PERCENT = 80, /* of max_bytes that may be live after evicting */
    EVICT_ROWS = 4096, /* most in one transaction */
};

static status evict_to(struct cache *c, uint64_t target, struct cache_gc_result *r)
{
    for (;;) {
        struct index_totals t;
        status st = index_totals(c->index, &t);
        if (st || t.live_bytes <= target || t.objects == 0)
            return st;
        uint64_t mean = t.live_bytes / t.objects + 1;
        uint64_t rows = (t.live_bytes - target) / mean + 1, gone = 0;
        st = report_progress(c);
        if (!st)
            st = index_evict(c->index, rows < EVICT_ROWS ? (int)rows : EVICT_ROWS, &gone);
        if (st || gone == 0) /* the rest is pinned */
            return st;
        r->evicted += gone;
        atomic_fetch_add(&c->n.evicted, gone);
    }
}

static int emptiest_first(const void *a, const void *b)
{
    const struct index_pack *x = a, *y = b;
    double fx = (double)x->live_bytes / (double)(x->bytes + 1);
    double fy = (double)y->live_bytes / (double)(y->bytes + 1);
    return (fx > fy) - (fx < fy);
}

status space_fits(struct cache *c, uint64_t need, uint64_t max, bool *out_fits)
{
    struct index_totals t;
    status st = index_totals(c->index, &t);
    if (!st)
        *out_fits = t.disk_bytes <= max && need <= max - t.disk_bytes;
    return st;
}

/* Rewrites packs, those with least to copy first, until it fits. LIMIT: it does not; NO_SPACE:
   there was no space on the disk to do so. */
static status reclaim_until_fit(struct cache *c, uint64_t need, uint64_t max,
                                struct cache_gc_result *r)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    size_t n = 0;
    bool fit = false;
    status st = index_packs(c->index, &packs, &n);
    if (!st && n > 0)
        qsort(packs, n, sizeof *packs, emptiest_first);
    if (!st)
        st = space_fits(c, need, max, &fit);
    for (size_t i = 0; !st && !fit && i < n; i++) {
        if (packs[i].live_bytes + PACK_HEADER_BYTES >= packs[i].bytes)
            continue; /* nothing to gain */
        st = pack_reclaim(c, packs[i].id, r);
        if (pack_not_ours(st))
            st = STATUS_OK;
        if (!st)
            st = space_fits(c, need, max, &fit);
    }
    return st ? st : fit ? STATUS_OK : STATUS_LIMIT;
}

/* Never less than what the cache has: on a disk that others have filled it keeps its size and
   replaces what is old; it does not shrink. The size from before something was deleted to make
   space counts (kept_bytes): packs are deleted as a whole, and each would make the cache smaller
   for good. */
uint64_t space_limit(struct cache *c, uint64_t disk_bytes)
{
    uint64_t space, size, max = c->opt.max_bytes, floor = c->opt.min_free_bytes;
    if (floor == CACHE_NO_LIMIT || site_space(c->dir, &space, &size))
        return max;
    uint64_t more = space > floor ? space - floor : 0, kept = atomic_load(&c->kept_bytes);
    if (!more && kept > disk_bytes)
        return kept < max ? kept : max;
    return disk_bytes < max && more < max - disk_bytes ? disk_bytes + more : max;
}

static uint64_t live_target(uint64_t max)
{
    return max / 100 * LIVE_PERCENT;
}

uint64_t space_left(struct cache *c, const struct index_totals *t)
{
    uint64_t max = space_limit(c, t->disk_bytes), live = live_target(max);
    uint64_t unused = max > t->disk_bytes ? max - t->disk_bytes : 0;
    uint64_t dead = live > t->live_bytes ? live - t->live_bytes : 0;
    return unused > dead ? unused : dead;
}

status space_make(struct cache *c, uint64_t need, struct cache_gc_result *r)
{
    struct index_totals t;
    if (c->opt.max_bytes == CACHE_NO_LIMIT && c->opt.min_free_bytes == CACHE_NO_LIMIT)
        return STATUS_OK;
    status st = index_totals(c->index, &t);
    if (st)
        return st;
    uint64_t max = space_limit(c, t.disk_bytes);
    if (t.disk_bytes <= max && need <= max - t.disk_bytes)
        return STATUS_OK;
    if (need > max - max / 100 * (100 - LIVE_PERCENT))
        return STATUS_NO_SPACE;
    atomic_store(&c->kept_bytes, max);
    uint64_t target = live_target(max);
    st = evict_to(c, target > need ? target - need : 0, r);
    if (!st)
        st = reclaim_until_fit(c, need, max, r);
    if (st == STATUS_NO_SPACE)
        st = full_disk_make(c, need, max, r);
    return st == STATUS_LIMIT ? STATUS_NO_SPACE : st;
}
