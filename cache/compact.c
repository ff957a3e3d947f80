/*
 * Packs whose records are dead, all or most of them: deleted, after what is live was copied to the
 * active pack.
 *
 * A copied record is: copied, synced, its row pointed to the copy, the old pack deleted. Why a crash
 * in between loses nothing: index.c.
 */
#include "store.h"

enum { MOVE_ROWS = 64 }; /* most between two syncs */

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
    pack_file_forget(c, id);
    r->packs_deleted++;
    r->bytes_freed += bytes;
    return STATUS_OK;
}

static status lock_pack(struct cache *c, uint32_t id, struct pack *out)
{
    if (c->active.fd >= 0 && c->active.id == id)
        active_close(c);
    return pack_lock(c->dir, id, out);
}

bool pack_not_ours(status st)
{
    return st == STATUS_BUSY || st == STATUS_NOT_FOUND || st == STATUS_BAD_VERSION ||
           st == STATUS_DENIED;
}

status packs_delete_empty(struct cache *c, struct cache_gc_result *r)
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
        if (pack_not_ours(st))
            st = STATUS_OK;
    }
    return st;
}

/* ---- moving ---- */

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
        active_rollback(c, m->start);
    m->n = 0;
    m->bytes = 0;
    return st;
}

/* A block as pack_append wants it, with the pixels of row. */
static status load(const struct pack *from, const struct index_row *row, struct record *out,
                   uint8_t **out_block)
{
    struct record r;
    status st = pack_check(from->fd, row->offset, &row->key, row->shape, &r);
    if (st)
        return st;
    AUTO(mem_free) uint8_t *block = mem_alloc((size_t)record_bytes(r.len));
    if (!block)
        return STATUS_NOMEM;
    st = pack_pixels(from->fd, row->offset, &r, block + RECORD_HEADER_BYTES);
    if (st)
        return st;
    *out = r;
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
        st = active_open(c);
        m->start = c->active.end;
    }
    if (st)
        return st;
    st = pack_append(&c->active, &r, block, &m->moves[m->n].to);
    if (st) {
        active_rollback(c, m->start);
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
        status stop = report_progress(m->c);
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

status pack_reclaim(struct cache *c, uint32_t id, struct cache_gc_result *r)
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
