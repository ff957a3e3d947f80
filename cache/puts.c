/*
 * Objects that wait to be written.
 *
 * A put is in exactly one of: the queue's list, the writer's batch, freed. While it is in one of
 * the first two and carries pixels it is also in a bucket, where cache_get finds it; it leaves the
 * bucket after the transaction that names it committed, so a reader that misses it in the bucket
 * finds its row. A reader that copies pixels counts as a user and keeps the put alive.
 * A put whose key is already in a bucket carries no pixels and only waits for the other's result.
 */
#include "store.h"

#include <string.h>

/* ---- buckets; queue.lock is held ---- */

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

void put_unuse(struct put *p)
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
        pthread_cond_wait(&q->space, &q->lock);
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

void put_settle(struct cache *c, struct put *p)
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
