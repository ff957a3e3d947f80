/*
 * Making the index agree with the packs: after a crash, after the index was lost, and on request.
 *
 * A pack whose file is as long as the index says needs nothing. One that is longer has records
 * whose transaction was lost, and they get rows (recover_pack.c); one that is shorter loses rows.
 * Only the holder of a pack's lock may do this, so the pack another process is appending to is left
 * to that process. A pack without rows at all is the same case, beginning at 0: that is how a lost
 * index is rebuilt, and why there is no second procedure for it.
 */
#include "store.h"

#include "pack_scan.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

status list_packs(const char *dir, uint32_t **out, size_t *out_n)
{
    AUTO(mem_free) char *path = mem_printf("%s/packs", dir);
    AUTO(buf_done) struct buf b = BUF_INIT(SIZE_MAX / 2);
    if (!path)
        return STATUS_NOMEM;
    DIR *d = opendir(path);
    if (!d)
        return status_from_errno(errno);
    status st = buf_reserve(&b, sizeof(uint32_t));
    for (struct dirent *entry; !st && (entry = readdir(d));) {
        uint32_t id = pack_id(entry->d_name);
        if (id)
            st = buf_add(&b, &id, sizeof id);
    }
    closedir(d);
    if (st)
        return st;
    size_t n = b.len / sizeof(uint32_t);
    qsort(b.data, n, sizeof(uint32_t), by_id);
    *out = (uint32_t *)(void *)TAKE(b.data);
    *out_n = n;
    return STATUS_OK;
}

/* ---- one pack ---- */

/* A file that never became a pack, or is nothing but damage. */
static status delete_worthless(struct cache *c, struct pack *p)
{
    struct index_pack row;
    uint64_t dropped;
    status st = index_pack_get(c->index, p->id, &row);
    if (st || p->header == STATUS_OK || row.live_count > 0)
        return st;
    struct pack_scan s;
    struct record r;
    uint64_t offset;
    st = pack_scan_init(&s, p, 0);
    if (st)
        return st;
    st = pack_scan_next(&s, &r, &offset);
    bool unread = s.unread;
    pack_scan_done(&s);
    if (st != STATUS_NOT_FOUND || unread)
        return st == STATUS_NOT_FOUND ? STATUS_OK : st;
    st = index_pack_drop(c->index, p->id, &dropped);
    return st ? st : pack_delete(c->dir, p);
}

static status recover_pack(struct cache *c, uint32_t id, bool every)
{
    AUTO(pack_done) struct pack p = PACK_NONE;
    bool sealed;
    status st = pack_lock(c->dir, id, &p);
    if (st) /* locked by others, gone, of a later program, or not readable: leave it */
        return st == STATUS_NOMEM || st == STATUS_LIMIT ? st : STATUS_OK;
    st = recover_tail(c, &p, every, &sealed);
    return st ? st : delete_worthless(c, &p);
}

/* ---- all packs ---- */

static status file_size(struct cache *c, uint32_t id, uint64_t *out)
{
    AUTO(mem_free) char *path = pack_path(c->dir, id);
    struct stat sb;
    if (!path)
        return STATUS_NOMEM;
    if (stat(path, &sb) < 0)
        return status_from_errno(errno);
    *out = (uint64_t)sb.st_size;
    return STATUS_OK;
}

static status drop_missing(struct cache *c, const struct index_pack *packs, size_t n)
{
    status st = STATUS_OK;
    for (size_t i = 0; !st && i < n; i++) {
        uint64_t size, dropped;
        st = file_size(c, packs[i].id, &size);
        if (st == STATUS_NOT_FOUND) {
            st = index_begin(c->index);
            if (!st)
                st = index_pack_drop(c->index, packs[i].id, &dropped);
            if (!st)
                st = index_commit(c->index);
            index_rollback(c->index);
        } else if (st != STATUS_NOMEM) {
            st = STATUS_OK;
        }
    }
    return st;
}

static bool up_to_date(struct cache *c, const struct index_pack *packs, size_t n, uint32_t id)
{
    uint64_t size;
    for (size_t i = 0; i < n; i++)
        if (packs[i].id == id)
            return !file_size(c, id, &size) && size == packs[i].bytes;
    return false;
}

status recover_packs(struct cache *c, bool every, cache_progress_fn *progress, void *arg)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    AUTO(mem_free) uint32_t *ids = NULL;
    size_t n_packs = 0, n_ids = 0;
    /* The rows first: a pack that appears in between is only looked at, never dropped. */
    status st = index_packs(c->index, &packs, &n_packs);
    if (!st)
        st = drop_missing(c, packs, n_packs);
    if (!st)
        st = list_packs(c->dir, &ids, &n_ids);
    for (size_t i = 0; !st && i < n_ids; i++) {
        if (progress)
            c->report = (struct report){progress, arg, i, n_ids};
        if (every || !up_to_date(c, packs, n_packs, ids[i]))
            st = recover_pack(c, ids[i], every);
        if (!st && progress)
            st = progress(arg, i + 1, n_ids);
    }
    return st;
}
