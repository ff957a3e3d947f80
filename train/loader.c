#include "loader.h"
#include "stream.h"

#include <string.h>
#include <time.h>

static void chunk_job(void *arg)
{
    struct chunk *c = arg;
    struct train_loader *l = c->loader;
    struct errmsg err = {""};
    int at = c->from;
    status st = loader_fill_rows(l, c->slot, c->from, c->to, &at, &err);
    pthread_mutex_lock(&l->lock);
    if (st && at < c->slot->failed_at) {
        c->slot->failed_at = at;
        c->slot->st = st;
        c->slot->err = err;
    }
    if (--c->slot->pending == 0)
        pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
}

static int batch_first(const struct train_loader *l, int b)
{
    return b * l->opt.batch;
}

static int batch_size(const struct train_loader *l, int b)
{
    int left = l->samples - batch_first(l, b);
    return left < l->opt.batch ? left : l->opt.batch;
}

static void describe(struct train_loader *l, struct slot *s, int b)
{
    int n = batch_size(l, b), first = batch_first(l, b);
    size_t row = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
    for (int i = 0; i < l->opt.batch; i++) {
        s->index[i] = i < n ? l->order[first + i] : -1;
        s->label[i] = i < n ? train_set_label(l->set, s->index[i]) : -1;
    }
    memset(s->x + (size_t)n * row, 0, (size_t)(l->opt.batch - n) * row * sizeof(float));
    s->batch = (struct train_batch){n, s->x, s->label, s->index};
    s->st = STATUS_OK;
    s->err.text[0] = 0;
    s->failed_at = n;
    s->by_consumer = true;
    for (int i = 0; i < n && s->by_consumer; i++)
        s->by_consumer = train_set_is_kept(l->set, s->index[i]);
}

static status begin(struct train_loader *l)
{
    int b = l->begun++, at = b % l->opt.ahead;
    struct slot *s = &l->slot[at];
    describe(l, s, b);
    if (s->by_consumer)
        return STATUS_OK;
    int n = s->batch.n, chunks = (n + l->chunk_rows - 1) / l->chunk_rows;
    s->pending = chunks; /* no job of this slot is running */
    for (int i = 0; i < chunks; i++) {
        struct chunk *c = &l->chunk[at * l->chunks + i];
        int to = (i + 1) * l->chunk_rows;
        *c = (struct chunk){l, s, i * l->chunk_rows, to < n ? to : n};
        status st =
            pool_submit(l->pool, chunk_job, c); /* never waits: the queue holds all chunks */
        if (st) {
            pthread_mutex_lock(&l->lock);
            s->pending -= chunks - i;
            pthread_mutex_unlock(&l->lock);
            return st;
        }
    }
    return STATUS_OK;
}

/* A signal does not end a wait for a condition: stop_requested() is polled ten times a second. */
static struct timespec soon(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 100 * 1000 * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static status await(struct train_loader *l, struct slot *s, struct errmsg *e)
{
    if (s->by_consumer) {
        int at;
        return loader_fill_rows(l, s, 0, s->batch.n, &at, e);
    }
    pthread_mutex_lock(&l->lock);
    while (s->pending && !stop_requested()) {
        struct timespec until = soon();
        pthread_cond_clockwait(&l->done, &l->lock, CLOCK_MONOTONIC, &until);
    }
    status st = s->pending ? STATUS_CANCELLED : s->st;
    if (st && e)
        *e = s->err;
    pthread_mutex_unlock(&l->lock);
    return st;
}

int train_loader_batches(const struct train_loader *l)
{
    return l->batches;
}

status train_loader_start(struct train_loader *l, uint64_t epoch, int first)
{
    pool_wait_idle(l->pool);
    if (first < 0 || first > l->batches)
        return STATUS_INVALID;
    l->epoch = epoch;
    for (int i = 0; i < l->samples; i++)
        l->order[i] = i;
    if (l->opt.shuffle)
        nn_rng_shuffle(stream(l->opt.seed, STREAM_SHUFFLE, epoch), l->order, l->samples);
    l->begun = l->given = first;
    status st = STATUS_OK;
    while (!st && l->begun < l->batches && l->begun < first + l->opt.ahead)
        st = begin(l);
    return st;
}

status train_loader_next(struct train_loader *l, const struct train_batch **out, struct errmsg *e)
{
    /* The slot given last is free again. */
    if (l->begun < l->batches && l->begun < l->given + l->opt.ahead) {
        status st = begin(l);
        if (st)
            return st;
    }
    if (l->given == l->batches) {
        *out = NULL;
        return STATUS_OK;
    }
    struct slot *s = &l->slot[l->given % l->opt.ahead];
    status st = await(l, s, e);
    if (st)
        return st;
    l->given++;
    *out = &s->batch;
    return STATUS_OK;
}
