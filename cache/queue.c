/*
 * What waits to be written.
 *
 * A put is in exactly one of: the queue's list, the writer's batch, freed. While it is in one of
 * the first two and carries pixels it is also in a bucket, where cache_get finds it; it leaves the
 * bucket after the transaction that names it committed, so a reader that misses it in the bucket
 * finds its row. A reader that copies pixels counts as a user and keeps the put alive.
 * A put whose key is already in a bucket carries no pixels and only waits for the other's result.
 *
 * Memos, files, damaged rows to drop and used rows to touch collect in c->queue.filling, which the
 * writer exchanges for an empty one.
 */
#include "store.h"

#include <string.h>
#include <time.h>

enum { IDLE_S = 5 }; /* how long touched rows and deleted packs wait when nothing else happens */

status queue_init(struct cache *c)
{
    struct queue *q = &c->queue;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, &attr);
    pthread_cond_init(&q->room, NULL);
    pthread_cond_init(&q->settled, NULL);
    pthread_condattr_destroy(&attr);
    q->last = &q->first;
    if (c->opt.read_only)
        return STATUS_OK;
    q->filling = mem_zalloc(1, sizeof *q->filling);
    q->spare = mem_zalloc(1, sizeof *q->spare);
    return q->filling && q->spare ? STATUS_OK : STATUS_NOMEM;
}

void queue_done(struct cache *c)
{
    struct queue *q = &c->queue;
    mem_free(q->filling);
    mem_free(q->spare);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->room);
    pthread_cond_destroy(&q->settled);
}

/* ---- pending objects; queue.lock is held ---- */

static struct put **bucket_of(struct queue *q, const struct cache_key *key)
{
    uint64_t h;
    memcpy(&h, key->pixels.byte, sizeof h); /* a SHA-256 is its own hash */
    return &q->bucket[h % PENDING_BUCKETS];
}

static struct put *find_pending(struct queue *q, const struct cache_key *key)
{
    struct put *p = *bucket_of(q, key);
    while (p && !(digest_equal(&p->key.pixels, &key->pixels) &&
                  digest_equal(&p->key.profile, &key->profile)))
        p = p->in_bucket;
    return p;
}

static void leave_bucket(struct queue *q, struct put *p)
{
    struct put **at = bucket_of(q, &p->key);
    while (*at != p)
        at = &(*at)->in_bucket;
    *at = p->in_bucket;
}

static void put_free(struct put *p)
{
    mem_free(p->block);
    mem_free(p);
}
DEFINE_FREEP(struct put *, put_free)

static void put_unuse(struct put *p)
{
    if (--p->users == 0)
        put_free(p);
}

/* ---- puts ---- */

/* The copy of the caller's pixels, made before any lock is taken. */
static status make_put(const struct cache_key *key, struct cache_shape shape, const void *pixels,
                       size_t len, struct put **out)
{
    AUTO(put_free) struct put *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    p->block = mem_alloc((size_t)record_bytes(len));
    if (!p->block)
        return STATUS_NOMEM;
    memcpy(p->block + RECORD_HEADER_BYTES, pixels, len);
    p->key = *key;
    p->shape = shape;
    p->len = len;
    p->checksum = checksum64(pixels, len);
    p->users = 1;
    *out = TAKE(p);
    return STATUS_OK;
}

static bool full(const struct queue *q, uint64_t cost, uint64_t max)
{
    return q->bytes > 0 && (q->bytes >= max || cost > max - q->bytes);
}

/* Without pixels when they are waiting already. queue.lock is held. */
static void append(struct queue *q, struct put *p)
{
    if (find_pending(q, &p->key)) {
        mem_free(p->block);
        p->block = NULL;
        p->cost = sizeof *p;
    } else {
        struct put **at = bucket_of(q, &p->key);
        p->in_bucket = *at;
        *at = p;
    }
    q->bytes += p->cost;
    q->puts_in++;
    *q->last = p;
    q->last = &p->next;
    pthread_cond_signal(&q->work);
}

static status put_object(struct cache *c, const struct cache_key *key, struct cache_shape shape,
                         const void *pixels, size_t len, cache_done_fn *done, void *arg, bool wait)
{
    struct queue *q = &c->queue;
    uint64_t want;
    if (c->opt.read_only)
        return STATUS_DENIED;
    if (!record_shape_ok(shape, &want) || want != len)
        return STATUS_INVALID;
    uint64_t cost = record_bytes(len) + sizeof(struct put);
    pthread_mutex_lock(&q->lock);
    bool refuse = !wait && full(q, cost, c->opt.queue_bytes); /* before copying for nothing */
    pthread_mutex_unlock(&q->lock);
    if (refuse)
        return STATUS_AGAIN;
    AUTO(put_free) struct put *p = NULL;
    status st = make_put(key, shape, pixels, len, &p);
    if (st)
        return st;
    p->cost = cost;
    p->done = done;
    p->arg = arg;
    pthread_mutex_lock(&q->lock);
    while (wait && full(q, cost, c->opt.queue_bytes))
        pthread_cond_wait(&q->room, &q->lock);
    if (full(q, cost, c->opt.queue_bytes))
        st = STATUS_AGAIN;
    else
        append(q, TAKE(p));
    pthread_mutex_unlock(&q->lock);
    return st;
}

status cache_put(struct cache *c, const struct cache_key *key, struct cache_shape shape,
                 const void *pixels, size_t len, cache_done_fn *done, void *arg)
{
    return put_object(c, key, shape, pixels, len, done, arg, true);
}

status cache_try_put(struct cache *c, const struct cache_key *key, struct cache_shape shape,
                     const void *pixels, size_t len, cache_done_fn *done, void *arg)
{
    return put_object(c, key, shape, pixels, len, done, arg, false);
}

status queue_find(struct cache *c, const struct cache_key *key, struct cache_object *out)
{
    struct queue *q = &c->queue;
    pthread_mutex_lock(&q->lock);
    struct put *p = find_pending(q, key);
    if (p && out)
        p->users++;
    pthread_mutex_unlock(&q->lock);
    if (!p || !out)
        return p ? STATUS_OK : STATUS_NOT_FOUND;
    uint8_t *pixels = mem_alloc((size_t)p->len);
    if (pixels) {
        memcpy(pixels, p->block + RECORD_HEADER_BYTES, (size_t)p->len);
        *out = (struct cache_object){p->shape, pixels, (size_t)p->len};
    }
    pthread_mutex_lock(&q->lock);
    put_unuse(p);
    pthread_mutex_unlock(&q->lock);
    return pixels ? STATUS_OK : STATUS_NOMEM;
}

/* ---- small things ---- */

/* A file whose ctime is younger than the clock that stamped it ticks may be changed again without
   getting another ctime. Nanoseconds that are zero speak of a file system that counts seconds. */
static bool may_change_unseen(const struct cache_file_id *id)
{
    const int64_t tick_ns = 20000000, coarse_ns = 2000000000, second_ns = 1000000000;
    int64_t doubt = id->ctime_ns % second_ns ? tick_ns : coarse_ns;
    return id->ctime_ns > (int64_t)time_real_ns() - doubt;
}

status cache_memo_put(struct cache *c, const struct digest *source, const struct cache_memo *memo)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return STATUS_DENIED;
    if (memo->info_len > CACHE_MEMO_INFO_MAX)
        return STATUS_INVALID;
    pthread_mutex_lock(&q->lock);
    bool room = q->filling->n_memo < SIDE_MEMOS;
    if (room) {
        q->filling->memo[q->filling->n_memo++] = (struct memo_put){*source, *memo};
        q->sides_in++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return room ? STATUS_OK : STATUS_AGAIN;
}

status cache_file_put(struct cache *c, const struct cache_file_id *id, const struct digest *source)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return STATUS_DENIED;
    if (may_change_unseen(id))
        return STATUS_AGAIN;
    pthread_mutex_lock(&q->lock);
    bool room = q->filling->n_file < SIDE_FILES;
    if (room) {
        q->filling->file[q->filling->n_file++] = (struct file_put){*id, *source};
        q->sides_in++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
    return room ? STATUS_OK : STATUS_AGAIN;
}

void queue_drop(struct cache *c, const struct index_row *row)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return;
    pthread_mutex_lock(&q->lock);
    if (q->filling->n_drop < SIDE_DROPS) { /* else it will be found damaged again */
        q->filling->drop[q->filling->n_drop++] = *row;
        q->sides_in++;
        pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
}

void queue_touch(struct cache *c, int64_t id)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return;
    pthread_mutex_lock(&q->lock);
    struct side *s = q->filling;
    if (s->n_touch < SIDE_TOUCHES) { /* else this use is not recorded */
        s->touch[s->n_touch++] = id;
        q->sides_in++;
    }
    if (s->n_touch == SIDE_TOUCHES / 2)
        pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
}

void queue_index_bad(struct cache *c)
{
    struct queue *q = &c->queue;
    pthread_mutex_lock(&q->lock);
    q->index_bad = true;
    pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
}

void queue_index_good(struct cache *c)
{
    pthread_mutex_lock(&c->queue.lock);
    c->queue.index_bad = false;
    pthread_mutex_unlock(&c->queue.lock);
}

/* ---- the writer's end ---- */

static bool have_work(const struct queue *q)
{
    const struct side *s = q->filling;
    return q->first || q->stop || q->index_bad || q->hurry || s->n_memo || s->n_file || s->n_drop ||
           s->n_touch >= SIDE_TOUCHES / 2;
}

static void wait_for_work(struct queue *q)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_S;
    while (!have_work(q))
        if (pthread_cond_timedwait(&q->work, &q->lock, &until))
            break;
}

/* From the front of the list as many as one batch may have. */
static void take_puts(struct queue *q, uint64_t max, struct batch *b)
{
    b->first = q->first;
    struct put **at = &b->first;
    while (*at) {
        uint64_t bytes = (*at)->block ? record_bytes((*at)->len) : 0;
        if (b->bytes > 0 && bytes > 0 && (b->bytes >= max || bytes > max - b->bytes))
            break;
        b->bytes += bytes;
        b->n_puts++;
        at = &(*at)->next;
    }
    q->first = *at;
    if (!q->first)
        q->last = &q->first;
    *at = NULL;
}

void queue_take(struct cache *c, struct batch *out)
{
    struct queue *q = &c->queue;
    struct batch b = {0};
    pthread_mutex_lock(&q->lock);
    wait_for_work(q);
    take_puts(q, c->batch_bytes, &b);
    b.side = q->filling;
    b.n_side = q->sides_in - q->sides_out;
    q->filling = TAKE(q->spare);
    b.index_bad = q->index_bad;
    q->index_bad = false;
    q->hurry = false;
    b.last = q->stop && !q->first;
    pthread_mutex_unlock(&q->lock);
    *out = b;
}

static void settle_put(struct cache *c, struct put *p)
{
    struct queue *q = &c->queue;
    if (p->st == STATUS_NO_SPACE)
        atomic_fetch_add(&c->n.no_space, 1);
    else if (p->st)
        atomic_fetch_add(&c->n.failed, 1);
    if (p->st && !q->error)
        q->error = p->st;
    if (p->block)
        leave_bucket(q, p);
    q->bytes -= p->cost;
}

void queue_settle(struct cache *c, struct batch *b, status side_st)
{
    struct queue *q = &c->queue;
    pthread_mutex_lock(&q->lock);
    for (struct put *p = b->first; p; p = p->next)
        settle_put(c, p);
    if (side_st && !q->error)
        q->error = side_st;
    pthread_cond_broadcast(&q->room);
    pthread_mutex_unlock(&q->lock);
    for (struct put *p = b->first; p; p = p->next)
        if (p->done)
            p->done(p->arg, p->st);
    pthread_mutex_lock(&q->lock);
    for (struct put *next, *p = b->first; p; p = next) {
        next = p->next;
        put_unuse(p);
    }
    q->puts_out += b->n_puts;
    q->sides_out += b->n_side;
    b->side->n_memo = b->side->n_file = b->side->n_drop = b->side->n_touch = 0;
    q->spare = TAKE(b->side);
    pthread_cond_broadcast(&q->settled);
    pthread_mutex_unlock(&q->lock);
}

/* ---- flush ---- */

static status wait_settled(struct cache *c, bool forget)
{
    struct queue *q = &c->queue;
    if (c->opt.read_only)
        return STATUS_OK;
    pthread_mutex_lock(&q->lock);
    uint64_t puts = q->puts_in, sides = q->sides_in;
    while (q->puts_out < puts || q->sides_out < sides) {
        q->hurry = true;
        pthread_cond_signal(&q->work);
        pthread_cond_wait(&q->settled, &q->lock);
    }
    status st = q->error;
    if (forget)
        q->error = STATUS_OK;
    pthread_mutex_unlock(&q->lock);
    return st;
}

status cache_flush(struct cache *c)
{
    return wait_settled(c, true);
}

status queue_wait(struct cache *c)
{
    return wait_settled(c, false);
}
