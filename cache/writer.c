/*
 * The writer: one thread that takes everything that waits and stores it together.
 *
 *  1. the index is the file at the path, or is opened again, or rebuilt (recover.c)
 *  2. rows found damaged are deleted, so that their objects count as absent
 *  3. puts whose key has a row are done; for the others space is made under max_bytes (space.c)
 *  4. their records are appended to the active pack (active.c), which is then synced
 *  5. one transaction: the rows, the pack's new end, touches, memos, files
 *  6. results: out of the pending table, callbacks (queue.c)
 *
 * A failure in 4 or 5 removes the records again (active_rollback) and is the result of the whole
 * batch. NO_SPACE in 4 or 5 is tried once more after a pack was deleted (full_disk_delete_pack).
 * CORRUPT anywhere replaces the index and starts the batch again, once.
 */
#include "store.h"

static status drop_damaged(struct cache *c, const struct updates *s)
{
    if (s->n_drop == 0)
        return STATUS_OK;
    uint64_t dropped = 0;
    status st = index_begin(c->index);
    for (int i = 0; !st && i < s->n_drop; i++) {
        bool was_there = false;
        st = index_drop(c->index, &s->drop[i], &was_there);
        dropped += was_there;
    }
    if (!st)
        st = index_commit(c->index);
    index_rollback(c->index);
    if (!st)
        atomic_fetch_add(&c->n.damaged, dropped);
    return st;
}

/* Marks the puts that have to be written; *out_bytes what they take. */
static status choose(struct cache *c, struct batch *b, uint64_t *out_bytes)
{
    uint64_t bytes = 0;
    for (struct put *p = b->first; p; p = p->next) {
        struct index_row row;
        p->wanted = false;
        if (!p->block)
            continue;
        status st = index_find(c->index, &p->key, &row);
        if (st && st != STATUS_NOT_FOUND)
            return st;
        p->wanted = st == STATUS_NOT_FOUND;
        bytes += p->wanted ? record_bytes(p->len) : 0;
    }
    *out_bytes = bytes;
    return STATUS_OK;
}

/* Appends and syncs; nothing is left behind after a failure. */
static status append_records(struct cache *c, struct batch *b, uint64_t *out_start)
{
    status st = active_open(c);
    if (st)
        return st;
    uint64_t start = c->active.end;
    for (struct put *p = b->first; !st && p; p = p->next) {
        if (!p->wanted)
            continue;
        struct record r = {p->key, p->shape, p->len, p->checksum};
        st = pack_append(&c->active, &r, p->block, &p->offset);
    }
    if (!st)
        st = pack_sync(&c->active);
    if (st)
        active_rollback(c, start);
    else
        *out_start = start;
    return st;
}

static status add_rows(struct cache *c, const struct batch *b, uint64_t now)
{
    /* the pack first: the triggers count its objects */
    status st = index_pack_set(c->index, c->active.id, c->active.end, false);
    for (const struct put *p = b->first; !st && p; p = p->next) {
        if (!p->wanted)
            continue;
        struct index_row row = {.key = p->key,
                                .shape = p->shape,
                                .pack = c->active.id,
                                .offset = p->offset,
                                .used = now};
        st = index_add(c->index, &row);
    }
    return st;
}

static status add_updates(struct cache *c, const struct updates *s, bool touches, uint64_t now)
{
    status st = STATUS_OK;
    for (int i = 0; !st && touches && i < s->n_touch; i++)
        st = index_touch(c->index, s->touch[i], now);
    for (int i = 0; !st && i < s->n_memo; i++)
        st = index_memo_put(c->index, &s->memo[i].source, &s->memo[i].memo, now);
    for (int i = 0; !st && i < s->n_file; i++)
        st = index_file_put(c->index, &s->file[i].id, &s->file[i].source, now);
    uint64_t pruned;
    if (!st && s->n_memo)
        st = index_memo_prune(c->index, MEMO_MAX, &pruned);
    if (!st && s->n_file)
        st = index_file_prune(c->index, MEMO_MAX, &pruned);
    return st;
}

static status commit_with(struct cache *c, const struct batch *b, bool with_rows, bool touches)
{
    const struct updates *s = b->updates;
    if (!with_rows && (touches ? s->n_touch : 0) + s->n_memo + s->n_file == 0)
        return STATUS_OK;
    uint64_t now = 0;
    status st = index_begin(c->index);
    if (!st)
        st = index_tick(c->index, &now);
    if (!st && with_rows)
        st = add_rows(c, b, now);
    if (!st)
        st = add_updates(c, s, touches, now);
    if (!st)
        st = index_commit(c->index);
    index_rollback(c->index);
    return st;
}

/* On a full disk without the touches: they change thousands of rows, and losing them only makes
   eviction less exact. */
static status commit_batch(struct cache *c, const struct batch *b, bool with_rows)
{
    status st = commit_with(c, b, with_rows, true);
    if (st != STATUS_NO_SPACE)
        return st;
    log_shorten(c);
    return commit_with(c, b, with_rows, false);
}

static status store_objects(struct cache *c, struct batch *b, uint64_t bytes)
{
    struct cache_gc_result freed = {0};
    status st = space_make(c, bytes, &freed);
    if (st)
        return st;
    uint64_t start = 0;
    st = append_records(c, b, &start);
    if (st == STATUS_NO_SPACE && full_disk_delete_pack(c))
        st = append_records(c, b, &start);
    if (st)
        return st;
    st = commit_batch(c, b, true);
    if (st == STATUS_NO_SPACE && full_disk_delete_pack(c))
        st = commit_batch(c, b, true);
    if (st)
        active_rollback(c, start);
    return st;
}

/* The status that each put's done callback is given. */
static void set_results(struct cache *c, struct batch *b, status st)
{
    for (struct put *p = b->first; p; p = p->next) {
        struct index_row row;
        p->st = STATUS_OK;
        if (p->block && p->wanted)
            p->st = st;
        else if (!p->block && (!c->index || index_find(c->index, &p->key, &row)))
            p->st = STATUS_AGAIN; /* the put it waited for was not stored */
        if (p->block && p->wanted && !st) {
            atomic_fetch_add(&c->n.stored, 1);
            atomic_fetch_add(&c->n.stored_bytes, record_bytes(p->len));
        }
    }
}

struct results {
    status puts;
    status updates;
};

static struct results write_batch(struct cache *c, struct batch *b)
{
    uint64_t bytes = 0;
    status st = drop_damaged(c, b->updates);
    if (st == STATUS_NO_SPACE) {
        log_shorten(c);
        st = drop_damaged(c, b->updates);
    }
    if (st == STATUS_NO_SPACE && b->n_puts == 0)
        st = STATUS_OK; /* they will be found damaged again */
    if (!st)
        st = choose(c, b, &bytes);
    if (st)
        return (struct results){st, st};
    if (bytes > 0) {
        st = store_objects(c, b, bytes);
        if (!st)
            return (struct results){STATUS_OK, STATUS_OK};
    }
    return (struct results){st, commit_batch(c, b, false)};
}

static struct results try_batch(struct cache *c, struct batch *b, bool replace)
{
    bool can = time_mono_ns() >= c->no_replace_until_ns;
    status st = replace && can ? index_replace(c, NULL) : index_ready(c, NULL);
    return st ? (struct results){st, st} : write_batch(c, b);
}

static void process(struct cache *c, struct batch *b)
{
    for (struct put *p = b->first; p; p = p->next)
        p->wanted = true;
    pthread_mutex_lock(&c->write_lock);
    struct results r = try_batch(c, b, b->index_bad);
    if (r.puts == STATUS_CORRUPT || r.updates == STATUS_CORRUPT)
        r = try_batch(c, b, true);
    set_results(c, b, r.puts);
    log_relax(c);
    pack_files_sweep(c);
    pthread_mutex_unlock(&c->write_lock);
    queue_settle(c, b, r.updates);
}

static void *writer_main(void *arg)
{
    struct cache *c = arg;
    bool last = false;
    while (!last) {
        struct batch b;
        queue_take(c, &b);
        process(c, &b);
        last = b.last;
    }
    return NULL;
}

status writer_start(struct cache *c)
{
    int err = pthread_create(&c->thread, NULL, writer_main, c);
    if (err)
        return status_from_errno(err);
    c->has_thread = true;
    return STATUS_OK;
}

void writer_stop(struct cache *c)
{
    if (!c->has_thread)
        return;
    pthread_mutex_lock(&c->queue.lock);
    c->queue.stop = true;
    pthread_cond_signal(&c->queue.work);
    pthread_mutex_unlock(&c->queue.lock);
    pthread_join(c->thread, NULL);
    c->has_thread = false;
}
