/* Looking after the whole directory: list, verify, gc, rebuild, remove, pins. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum {
    LIST_ROWS = 256,
    REMOVE_ROWS = 4096, /* in one transaction: others may write in between */
    DEAD_PERCENT = 50,  /* of a pack that make gc rewrite it */
};

/* Takes write_lock, with everything queued before stored and the index open. */
static status begin(struct cache *c)
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

static status end(struct cache *c, status st)
{
    c->asking = (struct asking){0};
    files_sweep(c);
    reserve_keep(c->dir, RESERVE_ROOM);
    pthread_mutex_unlock(&c->write_lock);
    if (st == STATUS_CORRUPT)
        queue_index_bad(c);
    return st;
}

/* begin, for what takes long; end forgets who asks. */
static status begin_asking(struct cache *c, cache_progress_fn *fn, void *arg, uint64_t done,
                           uint64_t total)
{
    status st = begin(c);
    if (!st)
        c->asking = (struct asking){fn, arg, done, total};
    return st;
}

status ask(struct cache *c)
{
    const struct asking *a = &c->asking;
    return a->fn ? a->fn(a->arg, a->done, a->total) : STATUS_OK;
}

/* Like readers_take, but waits while the index is being replaced. */
static status take_reader(struct cache *c, struct index **out)
{
    status st = readers_take(c, out);
    if (st != STATUS_NOT_FOUND || c->opt.read_only)
        return st;
    st = begin(c);
    if (!st)
        st = end(c, STATUS_OK);
    return st ? st : readers_take(c, out);
}

/* ---- list ---- */

static struct cache_entry entry_of(const struct index_row *row)
{
    uint64_t len = 0;
    if (!record_shape_ok(row->shape, &len))
        len = 0;
    return (struct cache_entry){.key = row->key,
                                .shape = row->shape,
                                .bytes = record_bytes(len),
                                .used = row->used,
                                .pack = row->pack,
                                .offset = row->offset,
                                .pinned = row->pinned};
}

static status next_rows(struct cache *c, int64_t after, struct index_row rows[LIST_ROWS],
                        int *out_n)
{
    struct index *x;
    status st = take_reader(c, &x);
    if (st)
        return st;
    st = index_page(x, after, rows, LIST_ROWS, out_n);
    readers_give(c, x, st);
    return st;
}

status cache_list(struct cache *c, cache_list_fn *fn, void *arg)
{
    struct index_row rows[LIST_ROWS];
    int n = LIST_ROWS;
    int64_t after = 0;
    status st = STATUS_OK;
    while (!st && n == LIST_ROWS) {
        st = next_rows(c, after, rows, &n);
        for (int i = 0; !st && i < n; i++) {
            struct cache_entry entry = entry_of(&rows[i]);
            after = rows[i].id;
            st = fn(arg, &entry);
        }
    }
    return st;
}

/* ---- verify ---- */

struct verify {
    struct cache *c;
    const struct cache_verify_options *opt;
    struct cache_verify_result result;
    uint64_t total;
};

static status forget(struct cache *c, const struct index_row *row)
{
    bool dropped = false;
    pthread_mutex_lock(&c->write_lock);
    status st = index_ready(c, NULL);
    if (!st)
        st = index_drop(c->index, row, &dropped);
    if (dropped)
        atomic_fetch_add(&c->n.damaged, 1);
    return end(c, st);
}

static status found_bad(struct verify *v, const struct index_row *row)
{
    v->result.bad++;
    status st = v->opt->repair ? forget(v->c, row) : STATUS_OK;
    if (!st && v->opt->bad) {
        struct cache_entry entry = entry_of(row);
        st = v->opt->bad(v->opt->arg, &entry);
    }
    return st;
}

static status verify_row(struct verify *v, const struct index_row *row)
{
    struct cache_object o = {0};
    struct index_row place;
    status st = object_fetch(v->c, &row->key, &o, &place);
    cache_object_done(&o);
    v->result.objects++;
    v->result.bytes += entry_of(row).bytes;
    if (st == STATUS_EXISTS)
        st = found_bad(v, &place);
    else if (st == STATUS_NOT_FOUND) /* removed meanwhile */
        st = STATUS_OK;
    if (!st && v->opt->progress)
        st = v->opt->progress(v->opt->arg, v->result.bytes, v->total);
    return st;
}

static status check_index(struct cache *c, bool *out_ok, uint64_t *out_total)
{
    struct index_totals t = {0};
    struct index *x;
    status st = take_reader(c, &x);
    if (st)
        return st;
    status check = index_self_check(x);
    st = index_totals(x, &t);
    readers_give(c, x, st ? st : check);
    if (check && check != STATUS_CORRUPT)
        return check;
    *out_ok = !check;
    *out_total = t.live_bytes;
    return st;
}

status cache_verify(struct cache *c, const struct cache_verify_options *opt,
                    struct cache_verify_result *out)
{
    static const struct cache_verify_options nothing;
    struct verify v = {.c = c, .opt = opt ? opt : &nothing};
    struct index_row rows[LIST_ROWS];
    int n = LIST_ROWS;
    int64_t after = 0;
    if (v.opt->repair && c->opt.read_only)
        return STATUS_DENIED;
    status_ignore(queue_wait(c), "it is told to whoever flushes");
    status st = check_index(c, &v.result.index_ok, &v.total);
    while (!st && n == LIST_ROWS) {
        st = next_rows(c, after, rows, &n);
        for (int i = 0; !st && i < n; i++) {
            after = rows[i].id;
            st = verify_row(&v, &rows[i]);
        }
    }
    if (!st)
        *out = v.result;
    return st;
}

/* ---- gc ---- */

static status recover_and_fit(struct cache *c, const struct cache_gc_options *opt,
                              struct cache_gc_result *r)
{
    status st = begin_asking(c, opt->progress, opt->arg, 0, 1);
    if (st)
        return st;
    st = recover_packs(c, false, NULL, NULL);
    if (st == STATUS_NO_SPACE) {
        log_shorten(c);
        st = recover_packs(c, false, NULL, NULL);
    }
    if (!st || st == STATUS_NO_SPACE)
        st = room_make(c, 0, r);
    if (st == STATUS_NO_SPACE) /* too much is pinned, or in other processes' hands */
        st = STATUS_OK;
    if (!st)
        st = room_delete_empty(c, r);
    return end(c, st);
}

static status all_packs(struct cache *c, struct index_pack **out, size_t *out_n)
{
    struct index *x;
    status st = take_reader(c, &x);
    if (st)
        return st;
    st = index_packs(x, out, out_n);
    readers_give(c, x, st);
    return st;
}

/* One pack at a time, so that puts get their turn. */
static status compact(struct cache *c, const struct cache_gc_options *opt,
                      struct cache_gc_result *r)
{
    AUTO(mem_free) struct index_pack *packs = NULL;
    size_t n = 0;
    status st = all_packs(c, &packs, &n);
    for (size_t i = 0; !st && i < n; i++) {
        uint64_t dead = packs[i].bytes - packs[i].live_bytes;
        if (dead > packs[i].bytes / 100 * DEAD_PERCENT && packs[i].live_count > 0) {
            st = begin_asking(c, opt->progress, opt->arg, i, n);
            if (!st)
                st = end(c, room_reclaim(c, packs[i].id, r));
        }
        if (st == STATUS_BUSY || st == STATUS_NOT_FOUND)
            st = STATUS_OK;
        if (!st && opt->progress)
            st = opt->progress(opt->arg, i + 1, n);
    }
    return st;
}

static status drop_aside(struct cache *c, uint64_t *out_deleted)
{
    static const char prefix[] = "index.sqlite.aside-";
    DIR *d = opendir(c->dir);
    uint64_t deleted = 0;
    if (!d)
        return status_from_errno(errno);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0 &&
            unlinkat(dirfd(d), entry->d_name, 0) == 0)
            deleted++;
    closedir(d);
    *out_deleted = deleted;
    return STATUS_OK;
}

static status tidy_index(struct cache *c, struct cache_gc_result *r)
{
    status st = begin(c);
    if (st)
        return st;
    st = index_memo_prune(c->index, MEMO_MAX, &r->memos_pruned);
    if (!st)
        st = index_file_prune(c->index, MEMO_MAX, &r->files_pruned);
    if (!st)
        st = index_prune_profiles(c->index);
    if (!st)
        st = index_shrink(c->index);
    if (st == STATUS_BUSY) /* a reader holds the log; the next gc will do it */
        st = STATUS_OK;
    return end(c, st);
}

status cache_gc(struct cache *c, const struct cache_gc_options *opt, struct cache_gc_result *out)
{
    static const struct cache_gc_options nothing;
    struct cache_gc_result r = {0};
    if (!opt)
        opt = &nothing;
    status st = recover_and_fit(c, opt, &r);
    if (!st)
        st = compact(c, opt, &r);
    if (!st)
        st = tidy_index(c, &r);
    if (!st && opt->drop_aside)
        st = drop_aside(c, &r.aside_deleted);
    if (!st)
        *out = r;
    return st;
}

/* ---- rebuild ---- */

static status rebuild(struct cache *c, cache_progress_fn *progress, void *arg,
                      uint64_t *out_objects)
{
    struct index_totals t;
    active_drop(c); /* else it would look like another process's */
    c->asking = (struct asking){progress, arg, 0, 1};
    status st = recover_packs(c, true, progress, arg);
    if (!st)
        st = index_totals(c->index, &t);
    if (!st)
        *out_objects = t.objects;
    return st;
}

status cache_rebuild(struct cache *c, cache_progress_fn *progress, void *arg, uint64_t *out_objects)
{
    status st = begin(c);
    if (st)
        return st;
    st = rebuild(c, progress, arg, out_objects);
    if (st == STATUS_CORRUPT) { /* beyond mending: begin with an empty one */
        st = index_replace(c, NULL);
        if (!st)
            st = rebuild(c, progress, arg, out_objects);
    }
    return end(c, st);
}

/* ---- remove ---- */

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
    status st = begin(c);
    if (st)
        return st;
    if (scope == CACHE_ALL)
        st = room_delete_all(c, &removed);
    if (!st)
        st = remove_rows(c, scope, key, &removed);
    if (!st)
        st = room_delete_empty(c, &r);
    if (!st && out_removed)
        *out_removed = removed;
    return end(c, st);
}

/* ---- pins ---- */

status cache_pin(struct cache *c, enum cache_scope scope, const struct cache_key *key)
{
    if ((scope != CACHE_PROFILE && scope != CACHE_KEY) || !key)
        return STATUS_INVALID;
    status st = begin(c);
    return st ? st : end(c, index_pin(c->index, scope, key));
}

status cache_unpin(struct cache *c, enum cache_scope scope, const struct cache_key *key)
{
    if ((unsigned)scope >= CACHE_SCOPE_COUNT || (scope != CACHE_ALL && !key))
        return STATUS_INVALID;
    status st = begin(c);
    return st ? st : end(c, index_unpin(c->index, scope, key));
}
