/* What waits to be written: collected here, taken and settled by the writer. Objects: puts.c;
   updates of the index: updates.c. */
#include "store.h"

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
    pthread_cond_init(&q->space, NULL);
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
    pthread_cond_destroy(&q->space);
    pthread_cond_destroy(&q->settled);
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
    const struct updates *s = q->filling;
    return q->first || q->stop || q->index_bad || q->hurry || s->n_memo || s->n_file || s->n_drop ||
           s->n_touch >= UPDATES_TOUCHES / 2;
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

/* Takes as many as one batch may have from the front of the list. */
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
    b.updates = q->filling;
    b.n_updates = q->updates_in - q->updates_out;
    q->filling = TAKE(q->spare);
    b.index_bad = q->index_bad;
    q->index_bad = false;
    q->hurry = false;
    b.last = q->stop && !q->first;
    pthread_mutex_unlock(&q->lock);
    *out = b;
}

void queue_settle(struct cache *c, struct batch *b, status updates_st)
{
    struct queue *q = &c->queue;
    pthread_mutex_lock(&q->lock);
    for (struct put *p = b->first; p; p = p->next)
        put_settle(c, p);
    if (updates_st && !q->error)
        q->error = updates_st;
    pthread_cond_broadcast(&q->space);
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
    q->updates_out += b->n_updates;
    b->updates->n_memo = b->updates->n_file = b->updates->n_drop = b->updates->n_touch = 0;
    q->spare = TAKE(b->updates);
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
    uint64_t puts = q->puts_in, sides = q->updates_in;
    while (q->puts_out < puts || q->updates_out < sides) {
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
