/* Reading objects, memos and files. */
#include "store.h"

enum { FETCH_TRIES = 4 }; /* an object may be moved by compaction while it is looked up */

static status find_row(struct cache *c, const struct cache_key *key, struct index_row *out)
{
    struct index *x;
    status st = reader_acquire(c, &x);
    if (st)
        return st;
    st = index_find(x, key, out);
    reader_release(c, x, st);
    return st;
}

/* When the cache cannot answer, it is a miss: the caller can purify again. */
static status or_miss(struct cache *c, status st)
{
    if (!st || st == STATUS_NOT_FOUND || st == STATUS_NOMEM)
        return st;
    atomic_fetch_add(&c->n.unanswered, 1);
    return STATUS_NOT_FOUND;
}

status object_fetch(struct cache *c, const struct cache_key *key, struct cache_object *out,
                    struct index_row *out_row)
{
    struct index_row row, before = {0};
    for (int i = 0; i < FETCH_TRIES; i++) {
        status st = find_row(c, key, &row);
        if (st)
            return st;
        if (i > 0 && row.pack == before.pack && row.offset == before.offset) {
            *out_row = row;
            return STATUS_EXISTS;
        }
        st = object_read(c, &row, out);
        if (!st)
            *out_row = row;
        if (st != STATUS_NOT_FOUND && st != STATUS_CORRUPT)
            return st;
        before = row;
    }
    return STATUS_NOT_FOUND;
}

status cache_get(struct cache *c, const struct cache_key *key, struct cache_object *out)
{
    struct index_row row;
    status st = queue_find(c, key, out);
    if (st == STATUS_NOT_FOUND) {
        st = object_fetch(c, key, out, &row);
        if (!st)
            queue_touch(c, row.id);
    }
    if (st == STATUS_EXISTS) {
        queue_drop(c, &row);
        st = STATUS_NOT_FOUND;
    }
    st = or_miss(c, st);
    if (!st)
        atomic_fetch_add(&c->n.hits, 1);
    else if (st == STATUS_NOT_FOUND)
        atomic_fetch_add(&c->n.misses, 1);
    return st;
}

status cache_has(struct cache *c, const struct cache_key *key)
{
    struct index_row row;
    status st = queue_find(c, key, NULL);
    return st == STATUS_NOT_FOUND ? or_miss(c, find_row(c, key, &row)) : st;
}

status cache_memo_get(struct cache *c, const struct digest *source, struct cache_memo *out)
{
    struct index *x;
    status st = reader_acquire(c, &x);
    if (!st) {
        st = index_memo_get(x, source, out);
        reader_release(c, x, st);
    }
    return or_miss(c, st);
}

status cache_file_get(struct cache *c, const struct cache_file_id *id, struct digest *out_source)
{
    struct index *x;
    status st = reader_acquire(c, &x);
    if (!st) {
        st = index_file_get(x, id, out_source);
        reader_release(c, x, st);
    }
    return or_miss(c, st);
}
