/* The service as its callers see it: made, given jobs, freed. Which job runs next: jobs.h; the
   threads: worker.h. */
#include "worker.h"

enum { QUEUE_DEFAULT = 4096, THREADS_MAX = 1024 };

/* ---- life ---- */

static status start_workers(struct purify_service *s, const void *ctx, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < s->jobs.threads && !st; i++) {
        s->worker[i].service = s;
        st = s->ops->open(ctx, &s->worker[i].engine, e);
    }
    if (!st)
        st = pool_new("purify", s->jobs.threads, s->jobs.threads, &s->pool);
    for (int i = 0; i < s->jobs.threads && !st; i++)
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
    s->jobs.threads = threads;
    s->queue_max = opt->queue_max ? opt->queue_max : QUEUE_DEFAULT;
    s->idle_sweep = opt->idle_sweep;
    s->can_be_idle = opt->idle_sweep && yield_can_be_idle();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->hurry, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&s->idle, NULL);
    pthread_cond_init(&s->called, NULL);
    pthread_cond_init(&s->returned, NULL);
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
        for (struct purify_job *next, *job = s->jobs.class[p].jobs.first; job; job = next) {
            next = job->next;
            if (job->state == JOB_QUEUED && !job->begun)
                jobs_cancel(&s->jobs, job);
        }
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->hurry);
    pthread_mutex_unlock(&s->lock);
    pool_free(s->pool);
    for (int i = 0; s->worker && i < s->jobs.threads; i++)
        if (s->worker[i].engine)
            s->ops->close(s->worker[i].engine);
    mem_free(s->worker);
    pthread_cond_destroy(&s->returned);
    pthread_cond_destroy(&s->called);
    pthread_cond_destroy(&s->idle);
    pthread_cond_destroy(&s->hurry);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

/* ---- callers ---- */

status purify_submit(struct purify_service *s, struct purify_job *job, enum purify_priority prio)
{
    status st = STATUS_OK;
    int64_t slots = s->ops->slots(s->worker->engine, job->img);
    bool groups = s->ops->groups(s->worker->engine, job->img);
    size_t bytes = s->ops->bytes(s->worker->engine, job->img);
    bool shares = s->ops->shares(s->worker->engine, NULL);
    pthread_mutex_lock(&s->lock);
    if (s->stopping) {
        st = STATUS_CANCELLED;
    } else if (s->jobs.class[prio].fresh >= (uint64_t)s->queue_max) {
        st = STATUS_AGAIN;
    } else {
        job->priority = prio;
        job->state = JOB_QUEUED;
        job->cancel = false;
        job->begun = false;
        job->run = NULL;
        job->slots = job->left = slots;
        job->groups = groups;
        job->shares = shares;
        job->bytes = bytes;
        jobs_add(&s->jobs, job);
        s->stats.submitted++;
        pthread_cond_signal(&s->work);
        if (prio == PURIFY_URGENT)
            workers_hurry(s);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

static bool is_unfinished(const struct purify_job *job)
{
    return job->state == JOB_QUEUED || job->state == JOB_RUNNING;
}

void purify_promote(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (is_unfinished(job) && job->priority == PURIFY_SWEEP) {
        jobs_set_priority(&s->jobs, job, PURIFY_URGENT);
        pthread_cond_signal(&s->work);
        workers_hurry(s);
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_demote(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (is_unfinished(job) && job->priority == PURIFY_URGENT) {
        jobs_set_priority(&s->jobs, job, PURIFY_SWEEP);
        pthread_cond_signal(&s->work); /* it may fit into this class's memory */
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_cancel(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (job->state == JOB_QUEUED) {
        jobs_cancel(&s->jobs, job);
        pthread_cond_signal(&s->work);
        pthread_cond_broadcast(&s->hurry);
    } else if (job->state == JOB_RUNNING) {
        job->cancel = true;
        pthread_cond_broadcast(&s->hurry);
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_service_stats(struct purify_service *s, struct purify_service_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    for (int p = 0; p < PURIFY_PRIORITY_COUNT; p++)
        out->queued[p] = s->jobs.class[p].fresh;
    pthread_mutex_unlock(&s->lock);
}

int purify_service_ahead(const struct purify_service *s)
{
    return 2 * PURIFY_MICRO_BATCH * s->jobs.threads;
}

void purify_wait_idle(struct purify_service *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->taken || !jobs_none_wait(&s->jobs))
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
