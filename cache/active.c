/*
 * The pack that this handle appends to. It is locked as long as it is open, so two processes never
 * append to one file; a new handle continues an older pack that is not locked and not full, so that
 * many short commands do not leave many small packs.
 */
#include "store.h"

#include <sys/stat.h>

enum {
    CONTINUE_TRIES = 16, /* unfinished packs looked at before a new one is begun */
    CREATE_TRIES = 100,  /* other processes may take the same numbers */
};

void active_close(struct cache *c)
{
    pack_done(&c->active);
}

/* Full: says so in the index, so that nobody tries to continue it. */
static status seal(struct cache *c)
{
    status st = index_pack_set(c->index, c->active.id, c->active.end, true);
    active_close(c);
    return st;
}

/* BUSY, NOT_FOUND, ... when this one cannot be continued. */
static status continue_pack(struct cache *c, uint32_t id)
{
    AUTO(pack_done) struct pack p = PACK_NONE;
    bool sealed = false;
    status st = pack_lock(c->dir, id, &p);
    if (!st)
        st = recover_tail(c, &p, false, &sealed);
    if (st)
        return st;
    if (sealed || p.end >= c->opt.pack_bytes)
        return STATUS_LIMIT;
    c->active = p;
    p.fd = -1;
    return STATUS_OK;
}

static status continue_some_pack(struct cache *c)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    size_t n = 0;
    int tries = 0;
    status st = index_packs(c->index, &packs, &n);
    if (st)
        return st;
    while (n-- > 0 && tries < CONTINUE_TRIES) {
        if (packs[n].sealed || packs[n].bytes >= c->opt.pack_bytes)
            continue;
        st = continue_pack(c, packs[n].id);
        if (!st || st == STATUS_NOMEM || st == STATUS_CORRUPT)
            return st;
        tries++;
    }
    return STATUS_NOT_FOUND;
}

/* The lowest number from *id on that no file has. */
static status skip_taken(const uint32_t *ids, size_t n, uint32_t *id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == *id && ++*id == 0)
            return STATUS_LIMIT;
    return STATUS_OK;
}

/* A number that no pack had before; where there is none left, one that no file has. */
static status new_number(struct cache *c, const uint32_t *ids, size_t n, uint32_t *id)
{
    status st = index_new_pack(c->index, *id, id);
    if (st != STATUS_LIMIT)
        return st;
    *id = *id == UINT32_MAX ? 1 : *id + 1;
    return skip_taken(ids, n, id);
}

static status new_pack(struct cache *c)
{
    AUTO(mem_free) uint32_t *ids = NULL;
    size_t n = 0;
    status st = list_packs(c->dir, &ids, &n);
    uint32_t id = !st && n ? ids[n - 1] : 0;
    for (int i = 0; !st && i < CREATE_TRIES; i++) {
        st = new_number(c, ids, n, &id);
        if (!st)
            st = pack_create(c->dir, id, &c->active);
        if (st != STATUS_EXISTS)
            return st;
        st = STATUS_OK;
    }
    return st ? st : STATUS_BUSY;
}

status active_open(struct cache *c)
{
    status st = STATUS_OK;
    struct stat sb;
    if (c->active.fd >= 0 && fstat(c->active.fd, &sb) == 0 && sb.st_nlink == 0)
        active_close(c); /* the file was deleted by hand */
    if (c->active.fd >= 0 && c->active.end < c->opt.pack_bytes)
        return STATUS_OK;
    if (c->active.fd >= 0)
        st = seal(c);
    if (!st)
        st = continue_some_pack(c);
    return st == STATUS_NOT_FOUND ? new_pack(c) : st;
}

void active_rollback(struct cache *c, uint64_t start)
{
    struct index_pack row;
    if (c->active.fd < 0)
        return;
    status st = index_pack_get(c->index, c->active.id, &row);
    bool unknown = st == STATUS_NOT_FOUND;
    /* If the transaction may have been committed after all, its rows need the records. */
    if ((!st && row.bytes > start) || (st && !unknown) || pack_rewind(&c->active, start))
        active_close(c);
}
