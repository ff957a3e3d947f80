/*
 * Jobs wait in three lists: urgent, sweep, and those that were cancelled while they waited. A
 * worker answers the cancelled first, then takes the oldest urgent job, then the oldest sweep job.
 *
 *     submit -> QUEUED -> RUNNING -> done()
 *                  \-> CANCELLED ----^
 *
 * A job whose image is one tile is taken with the next three such jobs of its queue, as a group
 * that shares the network's evaluations, where PURIFY_MICRO_BATCH jobs wait there for each worker.
 * With fewer, each worker takes a job at a time: four together are ready three times as late as one
 * alone. A group is always full: three of a kind take as long one after the other.
 *
 * A worker that is busy with a large image asks at two points whether it can be of use: before each
 * network evaluation it answers jobs that were cancelled, and between the micro-batches of a sweep
 * job it runs the urgent jobs that wait, on the same engine. So neither waits for a large image to
 * be finished. A group is one micro-batch long: nothing passes in it.
 *
 * Invariants: a queued or cancelled job is in exactly the list that its state and priority name;
 * one worker takes it out and answers it; nothing of a job is touched once its done() was called.
 * The lock is held during list work only.
 */
#include "service.h"

#include <pthread.h>

enum { QUEUE_DEFAULT = 4096, THREADS_MAX = 1024 };
enum { LOOK_AHEAD_MAX = 64 }; /* jobs that are asked whether they join a group: under the lock */
enum job_state { JOB_IDLE, JOB_QUEUED, JOB_CANCELLED, JOB_RUNNING };

struct job_list {
    struct purify_job *first, *last;
    uint64_t n;
};
struct worker {
    struct purify_service *service;
    void *engine;
    int depth; /* runs under way on this worker: 2 while it serves a reader between tiles */
};
struct purify_service {
    const struct service_ops *ops;
    int queue_max;
    int threads;
    struct worker *worker; /* (threads) */
    struct pool *pool;     /* each worker is one job of it, which ends with the service */

    pthread_mutex_t lock;
    pthread_cond_t work;                          /* a list grew, or stopping */
    pthread_cond_t idle;                          /* nothing waits and nothing is taken */
    struct job_list queue[PURIFY_PRIORITY_COUNT]; /* guarded by lock */
    struct job_list cancelled;                    /* guarded by lock */
    uint64_t taken;                    /* jobs out of a list, not yet answered; guarded by lock */
    struct purify_service_stats stats; /* without `queued`; guarded by lock */
    bool stopping;                     /* guarded by lock */
};

/* ---- lists; the lock is held ---- */

static void list_add(struct job_list *l, struct purify_job *job)
{
    job->prev = l->last;
    job->next = NULL;
    *(l->last ? &l->last->next : &l->first) = job;
    l->last = job;
    l->n++;
}

static void list_remove(struct job_list *l, struct purify_job *job)
{
    *(job->prev ? &job->prev->next : &l->first) = job->next;
    *(job->next ? &job->next->prev : &l->last) = job->prev;
    job->prev = job->next = NULL;
    l->n--;
}

static void cancel_queued(struct purify_service *s, struct purify_job *job)
{
    list_remove(&s->queue[job->priority], job);
    job->state = JOB_CANCELLED;
    list_add(&s->cancelled, job);
}

static void take(struct purify_service *s, struct job_list *l, struct purify_job *job,
                 enum job_state state)
{
    list_remove(l, job);
    job->state = state;
    s->taken++;
    s->stats.running += state == JOB_RUNNING;
}

/* The oldest job and the next ones that join it; fewer than PURIFY_MICRO_BATCH: it is to run alone.
 */
static int find_group(struct worker *w, const struct job_list *l, struct purify_job **out)
{
    const struct service_ops *ops = w->service->ops;
    struct purify_job *job = l->first;
    int n = 0;
    if (l->n < (uint64_t)w->service->threads * PURIFY_MICRO_BATCH ||
        !ops->groups(w->engine, job->img))
        return 0;
    for (int look = 0; job && look < LOOK_AHEAD_MAX && n < PURIFY_MICRO_BATCH; look++) {
        if (ops->groups(w->engine, job->img))
            out[n++] = job;
        job = job->next;
    }
    return n;
}

/* Takes a group, a job, or, when none waits, nothing: returns how many. */
static int take_next(struct worker *w, enum purify_priority prio, struct purify_job **out)
{
    struct job_list *l = &w->service->queue[prio];
    int n = find_group(w, l, out);
    if (n < PURIFY_MICRO_BATCH) {
        out[0] = l->first;
        n = l->first != NULL;
    }
    for (int k = 0; k < n; k++)
        take(w->service, l, out[k], JOB_RUNNING);
    return n;
}

static bool nothing_waits(const struct purify_service *s)
{
    return !s->cancelled.n && !s->queue[PURIFY_URGENT].n && !s->queue[PURIFY_SWEEP].n;
}

/* ---- work; the lock is not held ---- */

/* The one place where a job is answered. Its state no longer says RUNNING or CANCELLED. */
static void answer(struct purify_service *s, struct purify_job *job, status st,
                   const struct errmsg *e)
{
    pthread_mutex_lock(&s->lock);
    ++*(st == STATUS_OK          ? &s->stats.done
        : st == STATUS_CANCELLED ? &s->stats.cancelled
                                 : &s->stats.failed);
    s->stats.running -= job->state == JOB_RUNNING;
    job->state = JOB_IDLE;
    pthread_mutex_unlock(&s->lock);

    job->done(job, st, e);

    pthread_mutex_lock(&s->lock);
    s->taken--;
    if (!s->taken && nothing_waits(s))
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static void answer_cancelled(struct purify_service *s)
{
    struct purify_job *job;
    do {
        pthread_mutex_lock(&s->lock);
        job = s->cancelled.first;
        if (job)
            take(s, &s->cancelled, job, JOB_CANCELLED);
        pthread_mutex_unlock(&s->lock);
        if (job)
            answer(s, job, STATUS_CANCELLED, &(const struct errmsg){""});
    } while (job);
}

struct running {
    struct worker *worker;
    struct purify_job *job;
};
static void run_jobs(struct worker *w, struct purify_job **job, int n, bool interruptible);

/* The engine's stop hook. */
static int before_evaluation(void *arg)
{
    struct running *r = arg;
    struct purify_service *s = r->worker->service;
    answer_cancelled(s);
    pthread_mutex_lock(&s->lock);
    int cancel = r->job->cancel;
    pthread_mutex_unlock(&s->lock);
    return cancel;
}

/* The engine's pause hook, for sweep jobs: readers go first. */
static void between_tiles(void *arg)
{
    struct running *r = arg;
    struct purify_service *s = r->worker->service;
    struct purify_job *job[PURIFY_MICRO_BATCH];
    int n;
    do {
        pthread_mutex_lock(&s->lock);
        n = take_next(r->worker, PURIFY_URGENT, job);
        pthread_mutex_unlock(&s->lock);
        if (n)
            run_jobs(r->worker, job, n, false);
    } while (n);
}

static void run_jobs(struct worker *w, struct purify_job **job, int n, bool interruptible)
{
    struct purify_service *s = w->service;
    struct running r[PURIFY_MICRO_BATCH];
    struct engine_member member[PURIFY_MICRO_BATCH];
    for (int k = 0; k < n; k++) {
        r[k] = (struct running){w, job[k]};
        member[k] = (struct engine_member){
            .img = job[k]->img,
            .hooks = {before_evaluation, interruptible ? between_tiles : NULL, &r[k]},
        };
    }
    uint64_t start_ns = time_mono_ns();
    w->depth++;
    s->ops->run(w->engine, member, n);
    w->depth--;
    pthread_mutex_lock(&s->lock);
    for (int k = 0; k < n; k++)
        s->stats.evaluations += member[k].evaluations;
    if (!w->depth)
        s->stats.busy_ns += time_mono_ns() - start_ns;
    pthread_mutex_unlock(&s->lock);
    for (int k = 0; k < n; k++)
        answer(s, job[k], member[k].st, &member[k].err);
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct purify_service *s = w->service;
    for (;;) {
        answer_cancelled(s);
        pthread_mutex_lock(&s->lock);
        while (!s->stopping && nothing_waits(s))
            pthread_cond_wait(&s->work, &s->lock);
        bool end = nothing_waits(s), sweep = !s->queue[PURIFY_URGENT].n;
        struct purify_job *job[PURIFY_MICRO_BATCH];
        int n = s->cancelled.n ? 0 : take_next(w, sweep ? PURIFY_SWEEP : PURIFY_URGENT, job);
        pthread_mutex_unlock(&s->lock);
        if (n)
            run_jobs(w, job, n, sweep);
        else if (end)
            return;
    }
}

/* ---- life ---- */

static status start_workers(struct purify_service *s, const void *ctx, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < s->threads && !st; i++) {
        s->worker[i].service = s;
        st = s->ops->open(ctx, &s->worker[i].engine, e);
    }
    if (!st)
        st = pool_new("purify", s->threads, s->threads, &s->pool);
    for (int i = 0; i < s->threads && !st; i++)
        st = pool_submit(s->pool, worker_main, &s->worker[i]);
    return st;
}

status service_new(const struct service_ops *ops, const void *ctx,
                   const struct purify_service_options *opt, struct purify_service **out,
                   struct errmsg *e)
{
    int threads = opt->threads ? opt->threads : cpu_count();
    if (threads < 1 || threads > THREADS_MAX || opt->queue_max < 0)
        return errmsg_set(e, STATUS_INVALID, "%d threads (1 to %d), a queue of %d", opt->threads,
                          THREADS_MAX, opt->queue_max);
    struct purify_service *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->ops = ops;
    s->threads = threads;
    s->queue_max = opt->queue_max ? opt->queue_max : QUEUE_DEFAULT;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->idle, NULL);
    s->worker = mem_zalloc((size_t)threads, sizeof *s->worker);
    status st = s->worker ? start_workers(s, ctx, e) : STATUS_NOMEM;
    if (st)
        purify_service_free(s);
    else
        *out = s;
    return st;
}

void purify_service_free(struct purify_service *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (int p = 0; p < PURIFY_PRIORITY_COUNT; p++)
        while (s->queue[p].first)
            cancel_queued(s, s->queue[p].first);
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    pool_free(s->pool);
    for (int i = 0; s->worker && i < s->threads; i++)
        if (s->worker[i].engine)
            s->ops->close(s->worker[i].engine);
    mem_free(s->worker);
    pthread_cond_destroy(&s->idle);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

/* ---- callers ---- */

status purify_submit(struct purify_service *s, struct purify_job *job, enum purify_priority prio)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&s->lock);
    if (s->stopping) {
        st = STATUS_CANCELLED;
    } else if (s->queue[prio].n >= (uint64_t)s->queue_max) {
        st = STATUS_AGAIN;
    } else {
        job->priority = prio;
        job->state = JOB_QUEUED;
        job->cancel = 0;
        list_add(&s->queue[prio], job);
        s->stats.submitted++;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

void purify_promote(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (job->state == JOB_QUEUED && job->priority == PURIFY_SWEEP) {
        list_remove(&s->queue[PURIFY_SWEEP], job);
        job->priority = PURIFY_URGENT;
        list_add(&s->queue[PURIFY_URGENT], job);
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_cancel(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (job->state == JOB_QUEUED) {
        cancel_queued(s, job);
        pthread_cond_signal(&s->work);
    } else if (job->state == JOB_RUNNING) {
        job->cancel = 1;
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_service_stats(struct purify_service *s, struct purify_service_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    for (int p = 0; p < PURIFY_PRIORITY_COUNT; p++)
        out->queued[p] = s->queue[p].n;
    pthread_mutex_unlock(&s->lock);
}

int purify_service_ahead(const struct purify_service *s)
{
    return 2 * PURIFY_MICRO_BATCH * s->threads;
}

void purify_wait_idle(struct purify_service *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->taken || !nothing_waits(s))
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
