/*
 * Making room: under max_bytes and above min_free_bytes by choice, on a full disk by necessity.
 *
 * Records cannot be removed from a pack, so evicting an object only makes its pack emptier. Space
 * comes back when a pack has no live record left (deleted) or few (the rest is copied to the active
 * pack, then deleted). To keep copying bounded, objects are evicted until LIVE_PART of max_bytes is
 * live: then some pack has at least a fifth to give, and at most four bytes are copied for each
 * byte gained. Objects that were stored together mostly leave together, so it is far less in
 * practice.
 *
 * On a full disk nothing can be copied and even a row may be impossible to delete, so there the
 * pack with the least recently used objects is deleted first and its rows after; rows that stay
 * behind name a missing pack, which readers take for a miss and recovery removes.
 */
#include "store.h"

#include <string.h>

#define LOG_ROOM                                                                                   \
    (64u                                                                                           \
     << 20) /* on the disk, for a log that is not kept short: it has some 4 MiB                \
                 */
#define NO_SPACE_PAUSE_NS 10000000000u /* before a full disk is tried again by deleting a pack */

enum {
    LIVE_PERCENT = 80, /* of max_bytes that may be live after evicting */
    EVICT_ROWS = 4096, /* most in one transaction */
    MOVE_ROWS = 64,    /* most between two syncs */
    OLD_PACKS = 8,     /* candidates for an emergency */
};

/* ---- deleting ---- */

/* Rows first, then the file: a reader in between finds neither. */
static status delete_pack(struct cache *c, struct pack *p, struct cache_gc_result *r)
{
    uint64_t rows, bytes = p->end;
    uint32_t id = p->id;
    status st = index_begin(c->index);
    if (!st)
        st = index_pack_drop(c->index, id, &rows);
    if (!st)
        st = index_commit(c->index);
    index_rollback(c->index);
    if (!st)
        st = pack_delete(c->dir, p);
    if (st)
        return st;
    files_forget(c, id);
    r->packs_deleted++;
    r->bytes_freed += bytes;
    return STATUS_OK;
}

static status lock_pack(struct cache *c, uint32_t id, struct pack *out)
{
    if (c->active.fd >= 0 && c->active.id == id)
        active_drop(c);
    return pack_lock(c->dir, id, out);
}

/* Whether a pack may be left for later without that being a failure of ours. */
static bool not_ours(status st)
{
    return st == STATUS_BUSY || st == STATUS_NOT_FOUND || st == STATUS_BAD_VERSION ||
           st == STATUS_DENIED;
}

status room_delete_empty(struct cache *c, struct cache_gc_result *r)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    size_t n = 0;
    status st = index_packs(c->index, &packs, &n);
    for (size_t i = 0; !st && i < n; i++) {
        AUTO(pack_done) struct pack p = PACK_NONE;
        if (packs[i].live_count > 0)
            continue;
        bool ours = c->active.fd >= 0 && c->active.id == packs[i].id;
        if (ours && c->active.end <= PACK_HEADER_BYTES)
            continue; /* just begun */
        st = lock_pack(c, packs[i].id, &p);
        if (!st)
            st = delete_pack(c, &p, r);
        if (not_ours(st))
            st = STATUS_OK;
    }
    return st;
}

/* ---- compaction ---- */

struct move {
    struct index_row row;
    uint64_t to;
};

struct compaction {
    struct cache *c;
    struct move moves[MOVE_ROWS];
    int n;
    uint64_t bytes; /* appended and not yet synced */
    uint64_t start; /* where they begin */
};

/* Syncs what was appended and points the rows there. */
static status finish_moves(struct compaction *m)
{
    struct cache *c = m->c;
    if (m->n == 0)
        return STATUS_OK;
    status st = pack_sync(&c->active);
    if (!st)
        st = index_begin(c->index);
    if (!st)
        st = index_pack_set(c->index, c->active.id, c->active.end, false);
    for (int i = 0; !st && i < m->n; i++) {
        bool moved; /* not when it was evicted meanwhile: the copy is dead then */
        st = index_move(c->index, &m->moves[i].row, c->active.id, m->moves[i].to, &moved);
    }
    if (!st)
        st = index_commit(c->index);
    index_rollback(c->index);
    if (st)
        active_undo(c, m->start);
    m->n = 0;
    m->bytes = 0;
    return st;
}

/* A block as pack_append wants it, with the pixels of row. */
static status load(const struct pack *from, const struct index_row *row, struct record *out,
                   uint8_t **out_block)
{
    uint64_t len;
    if (!record_shape_ok(row->shape, &len))
        return STATUS_CORRUPT;
    AUTO(mem_free) uint8_t *block = mem_alloc((size_t)record_bytes(len));
    if (!block)
        return STATUS_NOMEM;
    uint8_t *pixels = block + RECORD_HEADER_BYTES;
    status st = pack_read(from->fd, row->offset, &row->key, row->shape, pixels);
    if (st)
        return st;
    *out = (struct record){row->key, row->shape, len, checksum64(pixels, (size_t)len)};
    *out_block = TAKE(block);
    return STATUS_OK;
}

static status move_one(struct compaction *m, const struct pack *from, const struct index_row *row)
{
    struct cache *c = m->c;
    struct record r;
    AUTO(mem_free) uint8_t *block = NULL;
    status st = load(from, row, &r, &block);
    if (st == STATUS_CORRUPT) { /* its row goes with the pack */
        atomic_fetch_add(&c->n.damaged, 1);
        return STATUS_OK;
    }
    uint64_t bytes = record_bytes(r.len);
    if (!st && (m->n == MOVE_ROWS || (m->n > 0 && m->bytes + bytes > PACK_BATCH_MAX)))
        st = finish_moves(m);
    if (!st && m->n == 0) {
        st = active_take(c);
        m->start = c->active.end;
    }
    if (st)
        return st;
    st = pack_append(&c->active, &r, block, &m->moves[m->n].to);
    if (st) {
        active_undo(c, m->start);
        m->n = 0;
        return st;
    }
    m->moves[m->n++].row = *row;
    m->bytes += bytes;
    return STATUS_OK;
}

static status move_all(struct compaction *m, const struct pack *from)
{
    struct index_row rows[MOVE_ROWS];
    int n = MOVE_ROWS;
    uint64_t next = 0;
    status st = STATUS_OK;
    while (!st && n == MOVE_ROWS) {
        status stop = ask(m->c);
        if (stop) { /* what was moved is whole */
            st = finish_moves(m);
            return st ? st : stop;
        }
        st = index_pack_page(m->c->index, from->id, next, rows, MOVE_ROWS, &n);
        for (int i = 0; !st && i < n; i++) {
            st = move_one(m, from, &rows[i]);
            next = rows[i].offset + 1;
        }
    }
    return st ? st : finish_moves(m);
}

status room_reclaim(struct cache *c, uint32_t id, struct cache_gc_result *r)
{
    AUTO(pack_done) struct pack p = PACK_NONE;
    struct index_pack row;
    struct compaction m = {.c = c};
    status st = lock_pack(c, id, &p);
    if (!st)
        st = index_pack_get(c->index, id, &row);
    if (st)
        return st;
    if (row.live_count > 0) {
        st = move_all(&m, &p);
        r->packs_compacted += !st;
    }
    return st ? st : delete_pack(c, &p, r);
}

/* ---- the limit ---- */

static status evict_to(struct cache *c, uint64_t target, struct cache_gc_result *r)
{
    for (;;) {
        struct index_totals t;
        status st = index_totals(c->index, &t);
        if (st || t.live_bytes <= target || t.objects == 0)
            return st;
        uint64_t mean = t.live_bytes / t.objects + 1;
        uint64_t rows = (t.live_bytes - target) / mean + 1, gone = 0;
        st = ask(c);
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

static status fits(struct cache *c, uint64_t need, uint64_t max, bool *out_fits)
{
    struct index_totals t;
    status st = index_totals(c->index, &t);
    if (!st)
        *out_fits = t.disk_bytes <= max && need <= max - t.disk_bytes;
    return st;
}

/* Rewrites packs, those with least to copy first, until it fits. LIMIT: it does not; NO_SPACE:
   there was no room on the disk to do so. */
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
        st = fits(c, need, max, &fit);
    for (size_t i = 0; !st && !fit && i < n; i++) {
        if (packs[i].live_bytes + PACK_HEADER_BYTES >= packs[i].bytes)
            continue; /* nothing to gain */
        st = room_reclaim(c, packs[i].id, r);
        if (not_ours(st))
            st = STATUS_OK;
        if (!st)
            st = fits(c, need, max, &fit);
    }
    return st ? st : fit ? STATUS_OK : STATUS_LIMIT;
}

/* Never less than what is there: a disk that others have filled makes the cache stay as it is and
   replace what is old, not shrink. What was there before something was deleted to make room counts
   (kept_bytes): packs go as a whole, and each would make the cache smaller for good. */
uint64_t room_limit(struct cache *c, uint64_t disk_bytes)
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

uint64_t room_left(struct cache *c, const struct index_totals *t)
{
    uint64_t max = room_limit(c, t->disk_bytes), live = live_target(max);
    uint64_t unused = max > t->disk_bytes ? max - t->disk_bytes : 0;
    uint64_t dead = live > t->live_bytes ? live - t->live_bytes : 0;
    return unused > dead ? unused : dead;
}

static status make_by_deleting(struct cache *c, uint64_t need, uint64_t max,
                               struct cache_gc_result *r);

status room_make(struct cache *c, uint64_t need, struct cache_gc_result *r)
{
    struct index_totals t;
    if (c->opt.max_bytes == CACHE_NO_LIMIT && c->opt.min_free_bytes == CACHE_NO_LIMIT)
        return STATUS_OK;
    status st = index_totals(c->index, &t);
    if (st)
        return st;
    uint64_t max = room_limit(c, t.disk_bytes);
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
        st = make_by_deleting(c, need, max, r);
    return st == STATUS_LIMIT ? STATUS_NO_SPACE : st;
}

/* ---- a full disk ---- */

/* The file first: that is where the room for deleting its rows comes from. */
static bool delete_unasked(struct cache *c, uint32_t id, struct cache_gc_result *r)
{
    AUTO(pack_done) struct pack p = PACK_NONE;
    uint64_t rows = 0;
    if ((c->active.fd >= 0 && c->active.id == id) || pack_lock(c->dir, id, &p))
        return false;
    uint64_t bytes = p.end;
    if (pack_delete(c->dir, &p))
        return false;
    files_forget(c, id);
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
    if (!c->log_is_short || !c->index || site_space(c->dir, &space, &size) || space < LOG_ROOM)
        return;
    c->log_is_short = index_long_log(c->index) != STATUS_OK;
}

static status make_by_deleting(struct cache *c, uint64_t need, uint64_t max,
                               struct cache_gc_result *r)
{
    bool fit = false;
    log_shorten(c);
    status st = fits(c, need, max, &fit);
    while (!st && !fit && delete_some_pack(c, r)) {
        st = fits(c, need, max, &fit);
        if (!st)
            st = ask(c);
    }
    return st ? st : fit ? STATUS_OK : STATUS_LIMIT;
}

status room_delete_all(struct cache *c, uint64_t *removed)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    struct cache_gc_result r = {0};
    size_t n = 0;
    active_drop(c);
    status st = index_packs(c->index, &packs, &n);
    for (size_t i = 0; !st && i < n; i++)
        (void)delete_unasked(c, packs[i].id, &r); /* else it is another process's */
    *removed += r.evicted;
    return st;
}

bool room_before_open(struct cache *c)
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

bool room_emergency(struct cache *c)
{
    struct cache_gc_result r = {0};
    uint64_t now = time_mono_ns();
    if (now < c->no_space_until_ns)
        return false;
    /* Whoever filled the disk may take this space as well: no cache is given away pack by pack. */
    c->no_space_until_ns = now + NO_SPACE_PAUSE_NS;
    return delete_some_pack(c, &r);
}
