/*
 * A disk without space. Nothing can be copied, and even a row may be impossible to delete, so the
 * pack with the least recently used objects is deleted first and its rows after. Rows that stay
 * behind name a missing pack, which readers take for a miss and recovery removes.
 */
#include "store.h"

/* On the disk, for a log that is not kept short: it has some 4 MiB. */
#define LOG_SPACE (64u << 20)
#define NO_SPACE_PAUSE_NS 10000000000u /* before a full disk is tried again by deleting a pack */

enum { OLD_PACKS = 8 }; /* candidates for an emergency */

/* The file first: that is where the space for deleting its rows comes from. */
static bool delete_unasked(struct cache *c, uint32_t id, struct cache_gc_result *r)
{
    AUTO(pack_done) struct pack p = PACK_NONE;
    uint64_t rows = 0;
    if ((c->active.fd >= 0 && c->active.id == id) || pack_lock(c->dir, id, &p))
        return false;
    uint64_t bytes = p.end;
    if (pack_delete(c->dir, &p))
        return false;
    pack_file_forget(c, id);
    if (!index_begin(c->index) && !index_pack_drop(c->index, id, &rows) &&
        !index_commit(c->index)) {
        atomic_fetch_add(&c->n.evicted, rows);
        r->evicted += rows;
    }
    index_rollback(c->index);
    r->packs_deleted++;
    r->bytes_freed += bytes;
    return true;
}

static bool delete_some_pack(struct cache *c, struct cache_gc_result *r)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    size_t n = 0;
    bool deleted = false;
    if (index_packs(c->index, &packs, &n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (packs[i].live_count == 0)
            deleted |= delete_unasked(c, packs[i].id, r);
    uint32_t old[OLD_PACKS];
    int n_old = 0;
    if (!deleted && index_old_packs(c->index, old, OLD_PACKS, &n_old))
        return false;
    for (int i = 0; !deleted && i < n_old; i++)
        deleted = delete_unasked(c, old[i], r);
    return deleted;
}

void log_shorten(struct cache *c)
{
    (void)reserve_spend(c->dir);
    status_ignore(index_short_log(c->index), "then it takes what it takes");
    c->log_is_short = true;
}

void log_relax(struct cache *c)
{
    uint64_t space, size;
    if (!c->log_is_short || !c->index || site_space(c->dir, &space, &size) || space < LOG_SPACE)
        return;
    c->log_is_short = index_long_log(c->index) != STATUS_OK;
}

status full_disk_make(struct cache *c, uint64_t need, uint64_t max, struct cache_gc_result *r)
{
    bool fit = false;
    log_shorten(c);
    status st = space_fits(c, need, max, &fit);
    while (!st && !fit && delete_some_pack(c, r)) {
        st = space_fits(c, need, max, &fit);
        if (!st)
            st = report_progress(c);
    }
    return st ? st : fit ? STATUS_OK : STATUS_LIMIT;
}

status full_disk_delete_all(struct cache *c, uint64_t *removed)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    struct cache_gc_result r = {0};
    size_t n = 0;
    active_close(c);
    status st = index_packs(c->index, &packs, &n);
    for (size_t i = 0; !st && i < n; i++)
        (void)delete_unasked(c, packs[i].id, &r); /* else it is another process's */
    *removed += r.evicted;
    return st;
}

bool full_disk_before_open(struct cache *c)
{
    struct index *x = NULL;
    uint32_t old[OLD_PACKS];
    int n = 0;
    bool deleted = false;
    if (index_open(c->dir, DB_READ, &x, NULL))
        return false;
    status st = index_old_packs(x, old, OLD_PACKS, &n);
    for (int i = 0; !st && !deleted && i < n; i++) {
        AUTO(pack_done) struct pack p = PACK_NONE;
        deleted = !pack_lock(c->dir, old[i], &p) && !pack_delete(c->dir, &p);
    }
    index_close(x);
    return deleted;
}

bool full_disk_delete_pack(struct cache *c)
{
    struct cache_gc_result r = {0};
    uint64_t now = time_mono_ns();
    if (now < c->no_space_until_ns)
        return false;
    /* Whoever filled the disk may use up this space as well: do not delete the cache pack by pack
       for it. */
    c->no_space_until_ns = now + NO_SPACE_PAUSE_NS;
    return delete_some_pack(c, &r);
}
