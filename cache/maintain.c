/* What long work on the whole directory has in common: the write lock, progress, a reader. */
#include "store.h"

status maintain_begin(struct cache *c)
{
    if (c->opt.read_only)
        return STATUS_DENIED;
    status_ignore(queue_wait(c), "it is told to whoever flushes");
    pthread_mutex_lock(&c->write_lock);
    status st = index_ready(c, NULL);
    if (st)
        pthread_mutex_unlock(&c->write_lock);
    return st;
}

status maintain_end(struct cache *c, status st)
{
    c->report = (struct report){0};
    pack_files_sweep(c);
    reserve_keep(c->dir, RESERVE_SPACE);
    pthread_mutex_unlock(&c->write_lock);
    if (st == STATUS_CORRUPT)
        queue_index_bad(c);
    return st;
}

status maintain_begin_reporting(struct cache *c, cache_progress_fn *fn, void *arg, uint64_t done,
                                uint64_t total)
{
    status st = maintain_begin(c);
    if (!st)
        c->report = (struct report){fn, arg, done, total};
    return st;
}

status report_progress(struct cache *c)
{
    const struct report *a = &c->report;
    return a->fn ? a->fn(a->arg, a->done, a->total) : STATUS_OK;
}

status maintain_reader(struct cache *c, struct index **out)
{
    status st = reader_acquire(c, out);
    if (st != STATUS_NOT_FOUND || c->opt.read_only)
        return st;
    st = maintain_begin(c);
    if (!st)
        st = maintain_end(c, STATUS_OK);
    return st ? st : reader_acquire(c, out);
}
