/* Opening and closing a cache. */
#include "store.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static const uint64_t pack_bytes_default = 256u << 20; /* 760 files for a cache of 200 GB */
static const uint64_t pack_bytes_least = 64u << 10;
/* Seconds of purifying, half a second of disk. */
static const uint64_t queue_bytes_default = 64u << 20;

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

/* On a network file system other machines may be writing, with locks that we do not see: what is
   read is checked as always, but we take no lock and use no shared memory there. */
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
    if (st == STATUS_NO_SPACE && c->opt.make_space && full_disk_before_open(c))
        st = index_ready(c, e);
    if (!st)
        reserve_keep(c->dir, RESERVE_SPACE);
    return st;
}

/* Opens an existing cache for reading when it cannot be written. */
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
    active_close(c);
    index_close(c->index);
    if (writes)
        reserve_keep(c->dir, RESERVE_BYTES); /* the index has given its space back */
    pthread_mutex_destroy(&c->write_lock);
    mem_free(c->why_read_only);
    mem_free(c->dir);
    mem_free(c);
    return st;
}
