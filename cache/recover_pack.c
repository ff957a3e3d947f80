/*
 * Making the index agree with one pack, which is locked.
 *
 * Records behind where the index ends are read, synced, and get rows. What follows the last whole
 * record is torn and is cut off, unless the disk could not read some of it. A pack that is shorter
 * than the index says was truncated by another program: rows of what it lost are dropped.
 */
#include "store.h"

#include "pack_scan.h"

enum { PAGE_ROWS = 256 }; /* rows in one transaction: others may write in between */

static bool row_is_true(const struct pack *p, const struct index_row *row)
{
    struct record r;
    if (pack_peek(p->fd, row->offset, &r))
        return false;
    return digest_equal(&r.key.pixels, &row->key.pixels) &&
           digest_equal(&r.key.profile, &row->key.profile) && r.shape.width == row->shape.width &&
           r.shape.height == row->shape.height && r.shape.channels == row->shape.channels &&
           row->offset + record_bytes(r.len) <= p->end;
}

/* Drops the rows that name something else than their record. */
static status check_rows(struct cache *c, const struct pack *p)
{
    struct index_row rows[PAGE_ROWS];
    int n = PAGE_ROWS;
    status st = STATUS_OK;
    for (uint64_t from = 0; !st && n == PAGE_ROWS; from = n ? rows[n - 1].offset + 1 : 0) {
        st = report_progress(c);
        if (!st)
            st = index_pack_page(c->index, p->id, from, rows, PAGE_ROWS, &n);
        if (st)
            return st;
        st = index_begin(c->index);
        for (int i = 0; !st && i < n; i++) {
            bool dropped = false;
            if (!row_is_true(p, &rows[i]))
                st = index_drop(c->index, &rows[i], &dropped);
            if (dropped)
                atomic_fetch_add(&c->n.damaged, 1);
        }
        if (!st)
            st = index_commit(c->index);
        index_rollback(c->index);
    }
    return st;
}

/* Up to PAGE_ROWS records; fewer at the end. */
static status next_records(struct pack_scan *s, uint32_t pack, struct index_row *rows, int *out_n)
{
    int n = 0;
    status st = STATUS_OK;
    while (n < PAGE_ROWS) {
        struct record r;
        uint64_t offset;
        st = pack_scan_next(s, &r, &offset);
        if (st)
            break;
        rows[n++] =
            (struct index_row){.key = r.key, .shape = r.shape, .pack = pack, .offset = offset};
    }
    *out_n = n;
    return st == STATUS_NOT_FOUND ? STATUS_OK : st;
}

static status add_rows(struct cache *c, struct index_row *rows, int n, uint64_t bytes)
{
    uint64_t now = 0, found = 0;
    status st = index_begin(c->index);
    if (!st)
        st = index_tick(c->index, &now);
    if (!st)
        st = index_pack_set(c->index, rows[0].pack, bytes, false);
    for (int i = 0; !st && i < n; i++) {
        bool added = false;
        rows[i].used = now;
        st = index_add_missing(c->index, &rows[i], &added);
        found += added;
    }
    if (!st)
        st = index_commit(c->index);
    index_rollback(c->index);
    if (!st)
        atomic_fetch_add(&c->n.recovered, found);
    return st;
}

/* Adds what lies in [from, p->end). */
static status scan_tail(struct cache *c, const struct pack *p, uint64_t from, uint64_t *out_good,
                        bool *out_unread)
{
    AUTO(pack_scan_done) struct pack_scan s = {0};
    struct index_row rows[PAGE_ROWS];
    int n = PAGE_ROWS;
    status st = io_sync(p->fd); /* rows name durable bytes only */
    if (!st)
        st = pack_scan_init(&s, p, from);
    while (!st && n == PAGE_ROWS) {
        st = report_progress(c);
        if (!st)
            st = next_records(&s, p->id, rows, &n);
        if (!st && n > 0)
            st = add_rows(c, rows, n, s.good > from ? s.good : from);
    }
    if (!st) {
        *out_good = s.good;
        *out_unread = s.unread;
    }
    return st;
}

status recover_tail(struct cache *c, struct pack *p, bool every, bool *out_sealed)
{
    struct index_pack row = {0};
    status st = index_pack_get(c->index, p->id, &row);
    bool known = st == STATUS_OK;
    if (st && st != STATUS_NOT_FOUND)
        return st;
    bool cut = known && p->end < row.bytes;
    if ((every || cut) && (st = check_rows(c, p)))
        return st;
    bool sealed = row.sealed || p->header || cut;
    if (!every && known && p->end <= row.bytes) {
        st = cut ? index_pack_set(c->index, p->id, p->end, true) : STATUS_OK;
        if (!st)
            *out_sealed = sealed;
        return st;
    }
    uint64_t good = 0;
    bool unread = false;
    st = scan_tail(c, p, every ? 0 : row.bytes, &good, &unread);
    if (st)
        return st;
    sealed = sealed || unread || good > p->end;
    if (!sealed && good < p->end)
        st = pack_rewind(p, good);
    if (!st)
        st = index_pack_set(c->index, p->id, p->end, sealed);
    if (!st)
        *out_sealed = sealed;
    return st;
}
