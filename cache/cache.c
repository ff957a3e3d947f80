#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { FETCH_TRIES = 4 }; /* an object may be moved by compaction while it is looked up */

static const uint64_t pack_bytes_default = 256u << 20; /* 760 files for a cache of 200 GB */
static const uint64_t pack_bytes_least = 64u << 10;
static const uint64_t queue_bytes_default = 64u
                                            << 20; /* seconds of purifying, half a second of disk */

/* ---- open and close ---- */

struct cache_limits cache_default_limits(const char *dir)
{
    const uint64_t max_most = 512ull << 30, max_unknown = 50ull << 30, floor_most = 8ull << 30;
    uint64_t space, size;
    if (site_space(dir, &space, &size) || size == 0)
        return (struct cache_limits){max_unknown, 0};
    return (struct cache_limits){.max_bytes = size / 4 < max_most ? size / 4 : max_most,
                                 .min_free_bytes = size / 20 < floor_most ? size / 20 : floor_most};
}

static void set_options(struct cache *c, const char *dir, const struct cache_options *opt)
{
    struct cache_limits limits = cache_default_limits(dir);
    if (opt)
        c->opt = *opt;
    if (c->opt.max_bytes == 0)
        c->opt.max_bytes = limits.max_bytes;
    if (c->opt.min_free_bytes == 0)
        c->opt.min_free_bytes = limits.min_free_bytes;
    if (c->opt.queue_bytes == 0)
        c->opt.queue_bytes = queue_bytes_default;
    if (c->opt.pack_bytes == 0) {
        c->opt.pack_bytes = pack_bytes_default;
        uint64_t eighth = c->opt.max_bytes / 8; /* evicting is pack by pack in the end */
        if (eighth < pack_bytes_default)
            c->opt.pack_bytes = eighth > pack_bytes_least ? eighth : pack_bytes_least;
    }
    c->batch_bytes = c->opt.pack_bytes < PACK_BATCH_MAX ? c->opt.pack_bytes : PACK_BATCH_MAX;
}

/* An absolute path, since a daemon changes its directory. */
static status set_dir(struct cache *c, const char *dir, struct errmsg *e)
{
    char absolute[PATH_MAX];
    if (!c->opt.read_only && access(dir, F_OK) < 0 && errno == ENOENT) {
        status st = site_local(dir, e); /* nothing is made where it may not be */
        if (!st)
            st = io_mkdirs(dir, 1, e);
        if (st)
            return st;
    }
    if (!realpath(dir, absolute))
        return errmsg_set(e, status_from_errno(errno), "cannot open cache %s: %s", dir,
                          strerror(errno));
    c->dir = mem_strdup(absolute);
    return c->dir ? STATUS_OK
                  : errmsg_set(e, STATUS_NOMEM, "cannot open cache %s: out of memory", dir);
}

/* Whoever is on a network file system may be writing there by rules of its own: what is read is
   checked as ever, but no lock or shared memory of ours comes near. */
static status open_to_read(struct cache *c, struct errmsg *e)
{
    struct index *x = NULL;
    struct site site;
    status st = site_check(c->dir, &site, e);
    if (st)
        return st;
    c->read_mode = site.network ? DB_STILL : DB_READ;
    st = index_open(c->dir, c->read_mode, &x, e);
    index_close(x);
    return st;
}

static status open_to_write(struct cache *c, struct errmsg *e)
{
    c->read_mode = DB_WRITE;
    status st = index_ready(c, e);
    if (st == STATUS_NO_SPACE && c->opt.make_room && room_before_open(c))
        st = index_ready(c, e);
    if (!st)
        reserve_keep(c->dir, RESERVE_ROOM);
    return st;
}

/* Where it cannot be written, but was. */
static status fall_back(struct cache *c, status why, struct errmsg *said)
{
    struct site site;
    struct errmsg e;
    bool network = why == STATUS_UNSUPPORTED && !site_check(c->dir, &site, NULL) && site.read_only;
    if (c->opt.must_write || !(network || why == STATUS_NO_SPACE || why == STATUS_DENIED) ||
        open_to_read(c, &e))
        return why;
    c->opt.read_only = true;
    c->why_read_only = mem_strdup(errmsg_text(said, why));
    return c->why_read_only ? STATUS_OK : STATUS_NOMEM;
}

static status open_index(struct cache *c, struct errmsg *e)
{
    struct errmsg said = {""};
    if (c->opt.read_only)
        return open_to_read(c, e);
    status st = open_to_write(c, &said);
    if (st)
        st = fall_back(c, st, &said);
    return st ? errmsg_set(e, st, "%s", errmsg_text(&said, st)) : STATUS_OK;
}

const char *cache_read_only(const struct cache *c)
{
    if (!c->opt.read_only)
        return NULL;
    return c->why_read_only ? c->why_read_only : "it was opened for reading";
}

status cache_open(const char *dir, const struct cache_options *opt, struct cache **out,
                  struct errmsg *e)
{
    struct cache *c = mem_zalloc(1, sizeof *c);
    if (!c)
        return errmsg_set(e, STATUS_NOMEM, "cannot open cache %s: out of memory", dir);
    set_options(c, dir, opt);
    c->active = (struct pack)PACK_NONE;
    pthread_mutex_init(&c->write_lock, NULL);
    readers_init(c);
    status st = queue_init(c);
    if (st) {
        errmsg_set(e, st, "cannot open cache %s: out of memory", dir);
        goto fail;
    }
    st = set_dir(c, dir, e);
    if (!st)
        st = open_index(c, e);
    if (st)
        goto fail;
    st = c->opt.read_only ? STATUS_OK : writer_start(c);
    if (st) {
        errmsg_set(e, st, "cannot open cache %s: no thread: %s", dir, status_text(st));
        goto fail;
    }
    *out = c;
    return STATUS_OK;
fail:
    status_ignore(cache_close(c), "nothing was queued");
    return st;
}

status cache_close(struct cache *c)
{
    if (!c)
        return STATUS_OK;
    bool writes = c->has_thread;
    writer_stop(c);
    status st = c->queue.error;
    readers_done(c);
    queue_done(c);
    active_drop(c);
    index_close(c->index);
    if (writes)
        reserve_keep(c->dir, RESERVE_BYTES); /* the index has given its space back */
    pthread_mutex_destroy(&c->write_lock);
    mem_free(c->why_read_only);
    mem_free(c->dir);
    mem_free(c);
    return st;
}

/* ---- reading ---- */

static status find_row(struct cache *c, const struct cache_key *key, struct index_row *out)
{
    struct index *x;
    status st = readers_take(c, &x);
    if (st)
        return st;
    st = index_find(x, key, out);
    readers_give(c, x, st);
    return st;
}

/* A cache that cannot answer does not have it: the caller can make it again. */
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
    status st = readers_take(c, &x);
    if (!st) {
        st = index_memo_get(x, source, out);
        readers_give(c, x, st);
    }
    return or_miss(c, st);
}

status cache_file_get(struct cache *c, const struct cache_file_id *id, struct digest *out_source)
{
    struct index *x;
    status st = readers_take(c, &x);
    if (!st) {
        st = index_file_get(x, id, out_source);
        readers_give(c, x, st);
    }
    return or_miss(c, st);
}

/* ---- stats ---- */

static uint64_t size_at(const char *dir, const char *name)
{
    AUTO(mem_free) char *path = mem_printf("%s/%s", dir, name);
    struct stat sb;
    return path && stat(path, &sb) == 0 ? (uint64_t)sb.st_size : 0;
}

static status count_aside(struct cache *c, struct cache_stats *s)
{
    static const char prefix[] = "index.sqlite.aside-";
    DIR *d = opendir(c->dir);
    if (!d)
        return status_from_errno(errno);
    for (struct dirent *entry; (entry = readdir(d));) {
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0)
            continue;
        s->aside_bytes += size_at(c->dir, entry->d_name);
        s->aside_files += strspn(entry->d_name + sizeof prefix - 1, "0123456789") ==
                          strlen(entry->d_name + sizeof prefix - 1);
    }
    closedir(d);
    return STATUS_OK;
}

static void copy_counters(struct cache *c, struct cache_stats *s)
{
    s->hits = atomic_load(&c->n.hits);
    s->misses = atomic_load(&c->n.misses);
    s->unanswered = atomic_load(&c->n.unanswered);
    s->stored = atomic_load(&c->n.stored);
    s->stored_bytes = atomic_load(&c->n.stored_bytes);
    s->evicted = atomic_load(&c->n.evicted);
    s->damaged = atomic_load(&c->n.damaged);
    s->recovered = atomic_load(&c->n.recovered);
    s->no_space = atomic_load(&c->n.no_space);
    s->failed = atomic_load(&c->n.failed);
    s->rebuilds = atomic_load(&c->n.rebuilds);
    pthread_mutex_lock(&c->queue.lock);
    s->queued_bytes = c->queue.bytes;
    pthread_mutex_unlock(&c->queue.lock);
}

/* An index that is being replaced counts as empty. */
static status read_totals(struct cache *c, struct index_totals *out)
{
    struct index *x;
    status st = readers_take(c, &x);
    if (!st) {
        st = index_totals(x, out);
        readers_give(c, x, st);
    }
    return st == STATUS_NOT_FOUND || st == STATUS_CORRUPT ? STATUS_OK : st;
}

status cache_stats(struct cache *c, struct cache_stats *out)
{
    struct index_totals t = {0};
    status st = read_totals(c, &t);
    if (st)
        return st;
    struct cache_stats s = {.objects = t.objects,
                            .live_bytes = t.live_bytes,
                            .disk_bytes = t.disk_bytes,
                            .packs = t.packs,
                            .profiles = t.profiles,
                            .pins = t.pins,
                            .memos = t.memos,
                            .files = t.files,
                            .index_bytes = size_at(c->dir, "index.sqlite") +
                                           size_at(c->dir, "index.sqlite-wal"),
                            .max_bytes = c->opt.max_bytes,
                            .min_free_bytes = c->opt.min_free_bytes,
                            .room_bytes = c->opt.read_only ? 0 : room_left(c, &t)};
    st = count_aside(c, &s);
    if (st)
        return st;
    copy_counters(c, &s);
    *out = s;
    return STATUS_OK;
}
