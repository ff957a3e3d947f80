/*
 * Making the index agree with the packs: after a crash, after the index was lost, and on request.
 *
 * A pack whose file is as long as the index says needs nothing. One that is longer has records
 * whose transaction was lost: they are read from where the index ends, synced, and get rows. What
 * follows the last whole record is torn and is cut off, unless the disk could not read some of it.
 * Only the holder of a pack's lock may do this, so the pack another process is appending to is left
 * to that process. A pack without rows at all is the same case, beginning at 0: that is how a lost
 * index is rebuilt, and why there is no second procedure for it.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PAGE_ROWS = 256, /* rows in one transaction: others may write in between */
};
#define REPLACE_PAUSE_NS 10000000000u /* an index that is damaged again so soon is not replaced */

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
        st = ask(c);
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
        st = ask(c);
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
    if (every && (st = check_rows(c, p)))
        return st;
    bool sealed = row.sealed || p->header || p->end < row.bytes;
    if (!every && known && p->end <= row.bytes) {
        *out_sealed = sealed;
        return STATUS_OK;
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
    if (st) /* somebody else's, gone, of a later program, or not readable: leave it */
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
            return !file_size(c, id, &size) && size <= packs[i].bytes;
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
            c->asking = (struct asking){progress, arg, i, n_ids};
        if (every || !up_to_date(c, packs, n_packs, ids[i]))
            st = recover_pack(c, ids[i], every);
        if (!st && progress)
            st = progress(arg, i + 1, n_ids);
    }
    return st;
}

/* ---- the index ---- */

static status make_dirs(struct cache *c, struct errmsg *e)
{
    struct site site = {0};
    AUTO(mem_free) char *packs = mem_printf("%s/packs", c->dir);
    if (!packs)
        return errmsg_set(e, STATUS_NOMEM, "cannot open %s: out of memory", c->dir);
    status st = site_local(c->dir, e);
    if (!st)
        st = io_mkdirs(c->dir, 1, e);
    if (!st)
        st = site_check(c->dir, &site, e);
    return st ? st : io_mkdirs(packs, 1, e);
}

/* Somebody else's -shm may be there, and nothing for the log. */
static bool no_room_to_work(struct cache *c)
{
    uint64_t space, size;
    return c->opt.must_write && !site_space(c->dir, &space, &size) && space < RESERVE_BYTES;
}

/* A full disk may be one that the reserve helps with: little is needed, unless there is no index.
 */
static status attach_index(struct cache *c, struct errmsg *e)
{
    bool fresh = false, spent = false;
    status st = index_attach(c->dir, &c->index, &fresh, e);
    if (st == STATUS_NO_SPACE && (spent = reserve_spend(c->dir)))
        st = index_attach(c->dir, &c->index, &fresh, e);
    if (!st && (spent || no_room_to_work(c)))
        log_shorten(c);
    if (!st && fresh)
        atomic_fetch_add(&c->n.rebuilds, 1);
    return st;
}

static status attach(struct cache *c, struct errmsg *e)
{
    status st = make_dirs(c, e);
    if (!st)
        st = attach_index(c, e);
    if (st)
        return st;
    st = recover_packs(c, false, NULL, NULL);
    /* What could not be looked at now is only absent; it is looked at the next time. */
    if (st == STATUS_NO_SPACE || st == STATUS_BUSY || st == STATUS_IO)
        return STATUS_OK;
    return st ? errmsg_set(e, st, "cannot recover %s: %s", c->dir, status_text(st)) : STATUS_OK;
}

static void detach(struct cache *c)
{
    active_drop(c);
    index_close(c->index);
    c->index = NULL;
}

status index_ready(struct cache *c, struct errmsg *e)
{
    if (c->index && !index_moved(c->index))
        return STATUS_OK;
    detach(c);
    status st = attach(c, e);
    if (st == STATUS_CORRUPT && c->index) /* it opened, but its inside is damaged */
        return index_replace(c, e);
    if (st)
        detach(c);
    return st;
}

status index_replace(struct cache *c, struct errmsg *e)
{
    uint64_t now = time_mono_ns();
    if (now < c->no_replace_until_ns)
        return errmsg_set(e, STATUS_CORRUPT, "%s: the index is damaged again", c->dir);
    c->no_replace_until_ns = now + REPLACE_PAUSE_NS;
    status st = c->index ? index_put_aside(c->dir, c->index, e) : STATUS_OK;
    detach(c);
    if (!st)
        st = attach(c, e);
    if (st) {
        detach(c);
        return st;
    }
    atomic_fetch_add(&c->n.rebuilds, 1);
    queue_index_good(c);
    return STATUS_OK;
}
