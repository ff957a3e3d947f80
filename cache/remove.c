/* Removing objects, and pins that keep them from being evicted. */
#include "store.h"

enum { REMOVE_ROWS = 4096 }; /* in one transaction: others may write in between */

static status remove_rows(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                          uint64_t *removed)
{
    int most = REMOVE_ROWS; /* each transaction is written to the log first */
    uint64_t gone = REMOVE_ROWS;
    status st = STATUS_OK;
    while (!st && gone == (uint64_t)most) {
        st = index_remove(c->index, scope, key, most, &gone);
        if (st == STATUS_NO_SPACE && most > 1) {
            most /= 8;
            gone = (uint64_t)most;
            log_shorten(c);
            st = STATUS_OK;
        } else if (!st) {
            *removed += gone;
        }
    }
    if (!st && scope == CACHE_ALL)
        st = index_memos_clear(c->index);
    return st;
}

status cache_remove(struct cache *c, enum cache_scope scope, const struct cache_key *key,
                    uint64_t *out_removed)
{
    struct cache_gc_result r = {0};
    uint64_t removed = 0;
    if ((unsigned)scope >= CACHE_SCOPE_COUNT || (scope != CACHE_ALL && !key))
        return STATUS_INVALID;
    status st = maintain_begin(c);
    if (st)
        return st;
    if (scope == CACHE_ALL)
        st = full_disk_delete_all(c, &removed);
    if (!st)
        st = remove_rows(c, scope, key, &removed);
    if (!st)
        st = packs_delete_empty(c, &r);
    if (!st && out_removed)
        *out_removed = removed;
    return maintain_end(c, st);
}

/* ---- pins ---- */

status cache_pin(struct cache *c, enum cache_scope scope, const struct cache_key *key)
{
    if ((scope != CACHE_PROFILE && scope != CACHE_KEY) || !key)
        return STATUS_INVALID;
    status st = maintain_begin(c);
    return st ? st : maintain_end(c, index_pin(c->index, scope, key));
}

status cache_unpin(struct cache *c, enum cache_scope scope, const struct cache_key *key)
{
    if ((unsigned)scope >= CACHE_SCOPE_COUNT || (scope != CACHE_ALL && !key))
        return STATUS_INVALID;
    status st = maintain_begin(c);
    return st ? st : maintain_end(c, index_unpin(c->index, scope, key));
}
