/* cache_stats. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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
    status st = reader_acquire(c, &x);
    if (!st) {
        st = index_totals(x, out);
        reader_release(c, x, st);
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
                            .free_bytes = c->opt.read_only ? 0 : space_left(c, &t)};
    st = count_aside(c, &s);
    if (st)
        return st;
    copy_counters(c, &s);
    *out = s;
    return STATUS_OK;
}
