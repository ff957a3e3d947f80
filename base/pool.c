/*
 * One mutex, two conditions. A thread takes the head of the ring under the lock, runs it without,
 * and counts itself busy meanwhile, so "idle" is: ring empty and no thread busy. Freeing sets
 * `closing`; threads leave only when the ring is empty, hence every accepted job runs.
 */
#include "pool.h"

#include "seam.h"
#include <assert.h>
#include <pthread.h>
#include <sched.h>

#include "banned.h"

struct job {
    pool_fn *fn;
    void *arg;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* ring not empty, or closing */
    pthread_cond_t space; /* ring not full, or idle */
    struct job *ring;     /* guarded by lock, as all below */
    int head, count, max;
    int busy, closing;
    int threads; /* started; written only before the pool is published */
    pthread_t *thread;
    char name[16];
};

/* The pool whose thread this is; NULL: none's. */
static _Thread_local const struct pool *own;

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    own = p;
    pthread_setname_np(pthread_self(), p->name);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->count == 0 && !p->closing)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->count == 0)
            break;
        struct job job = p->ring[p->head];
        p->head = (p->head + 1) % p->max;
        p->count--;
        p->busy++;
        pthread_cond_broadcast(&p->space);
        pthread_mutex_unlock(&p->lock);
        job.fn(job.arg);
        pthread_mutex_lock(&p->lock);
        p->busy--;
        if (p->busy == 0 && p->count == 0)
            pthread_cond_broadcast(&p->space);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

status pool_new(const char *name, int threads, int queue_max, struct pool **out)
{
    if (threads < 1 || queue_max < 1)
        return STATUS_INVALID;
    struct pool *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->space, NULL);
    snprintf(p->name, sizeof p->name, "%s", name);
    p->max = queue_max;
    status st = STATUS_NOMEM;
    p->ring = mem_zalloc((size_t)queue_max, sizeof *p->ring);
    p->thread = mem_zalloc((size_t)threads, sizeof *p->thread);
    if (!p->ring || !p->thread)
        goto fail;
    for (; p->threads < threads; p->threads++) {
        int err = pthread_create(&p->thread[p->threads], NULL, pool_thread, p);
        if (err) {
            st = status_from_errno(err);
            goto fail;
        }
    }
    *out = p;
    return STATUS_OK;
fail:
    pool_free(p);
    return st;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = 1;
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->space);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->space);
    pthread_mutex_destroy(&p->lock);
    mem_free(p->ring);
    mem_free(p->thread);
    mem_free(p);
}

static status submit(struct pool *p, pool_fn *fn, void *arg, int wait)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&p->lock);
    while (p->count == p->max && wait)
        pthread_cond_wait(&p->space, &p->lock);
    if (p->count == p->max) {
        st = STATUS_AGAIN;
    } else {
        p->ring[(p->head + p->count++) % p->max] = (struct job){fn, arg};
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    return st;
}

status pool_submit(struct pool *p, pool_fn *fn, void *arg)
{
    status st = submit(p, fn, arg, own != p);
    if (st != STATUS_AGAIN)
        return st;
    fn(arg);
    return STATUS_OK;
}

status pool_try_submit(struct pool *p, pool_fn *fn, void *arg)
{
    return submit(p, fn, arg, 0);
}

void pool_wait_idle(struct pool *p)
{
    assert(own != p);
    pthread_mutex_lock(&p->lock);
    while (p->count || p->busy)
        pthread_cond_wait(&p->space, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

int cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}
