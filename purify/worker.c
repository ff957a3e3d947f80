#include "worker.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- answers ---- */

/* The one place where a job is answered, after it left its list. */
static void answer(struct purify_service *s, struct purify_job *job, status st,
                   const struct errmsg *e)
{
    job->done(job, st, e);

    pthread_mutex_lock(&s->lock);
    s->taken--;
    if (!s->taken && jobs_none_wait(&s->jobs))
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

/* Counts the job as done, cancelled or failed, before it is answered. The lock is held. */
static void count_answer(struct purify_service *s, struct purify_job *job, status st)
{
    ++*(st == STATUS_OK          ? &s->stats.done
        : st == STATUS_CANCELLED ? &s->stats.cancelled
                                 : &s->stats.failed);
    s->stats.running -= job->begun;
    job->state = JOB_IDLE;
}

static void answer_cancelled(struct purify_service *s)
{
    while (s->jobs.any_cancelled) {
        pthread_mutex_lock(&s->lock);
        struct purify_job *job = jobs_next_cancelled(&s->jobs);
        if (job) {
            count_answer(s, job, STATUS_CANCELLED);
            s->taken++;
        }
        pthread_mutex_unlock(&s->lock);
        if (!job)
            return;
        s->ops->drop(job->run);
        answer(s, job, STATUS_CANCELLED, &(const struct errmsg){""});
    }
}

/* ---- giving way ---- */

struct turn {
    struct worker *worker;
    struct purify_job *job[PURIFY_MICRO_BATCH];
    int n;
};
struct asked {
    struct turn *turn;
    struct purify_job *job;
};

/* Whether the turn may pause, since nobody waits for its end; the lock is held. */
static bool may_pause(const struct turn *t)
{
    const struct purify_service *s = t->worker->service;
    if (s->stopping || s->jobs.class[PURIFY_URGENT].waiting)
        return false;
    for (int k = 0; k < t->n; k++)
        if (t->job[k]->priority == PURIFY_URGENT || t->job[k]->cancel)
            return false;
    return true;
}

static void give_way(struct turn *t)
{
    struct worker *w = t->worker;
    struct purify_service *s = w->service;
    struct yield_clock now;
    yield_now(&now);
    uint64_t pause_ns = yield_pause(&w->yield, &now);
    if (!pause_ns)
        return;
    uint64_t end_ns = now.wall + pause_ns;
    struct timespec end = {(time_t)(end_ns / 1000000000), (long)(end_ns % 1000000000)};
    pthread_mutex_lock(&s->lock);
    uint64_t start = now.wall;
    while (may_pause(t) && !s->jobs.cancelled.first &&
           !pthread_cond_timedwait(&s->hurry, &s->lock, &end))
        ;
    yield_now(&now);
    s->stats.paused_ns += now.wall - start;
    pthread_mutex_unlock(&s->lock);
    yield_restart(&w->yield, &now);
}

/* The engine's stop hook. */
static int before_evaluation(void *arg)
{
    const struct asked *a = arg;
    struct turn *t = a->turn;
    struct purify_service *s = t->worker->service;
    answer_cancelled(s);
    if (s->idle_sweep && a->job == t->job[0])
        give_way(t);
    return a->job->cancel;
}

/* The lock is held. */
static void set_idle(struct worker *w, bool idle)
{
    if (w->idle != idle)
        yield_set_idle(w->thread, idle);
    w->idle = idle;
}

void workers_hurry(struct purify_service *s)
{
    for (int i = 0; s->can_be_idle && i < s->jobs.threads; i++)
        set_idle(&s->worker[i], false);
    pthread_cond_broadcast(&s->hurry);
}

static void begin_turn(struct turn *t)
{
    struct worker *w = t->worker;
    struct yield_clock now;
    yield_now(&now);
    yield_restart(&w->yield, &now);
    pthread_mutex_lock(&w->service->lock);
    if (w->service->can_be_idle && may_pause(t))
        set_idle(w, true);
    pthread_mutex_unlock(&w->service->lock);
}

/* Called before the lock is taken: others must not wait for a lock holder of idle priority. */
static void come_back(struct worker *w)
{
    if (w->service->can_be_idle)
        yield_set_idle(w->thread, false);
}

/* ---- turns ---- */

/* After a turn: true when the job was put back into its queue, false when it has to be answered.
   The lock is held. */
static bool put_back(struct purify_service *s, struct purify_job *job,
                     const struct engine_member *m)
{
    s->stats.evaluations += m->evaluations;
    job->run = m->run;
    if (!job->left) {
        jobs_remove(&s->jobs, job);
        count_answer(s, job, m->st);
        return false;
    }
    jobs_set_state(&s->jobs, job, JOB_QUEUED);
    s->taken--;
    if (job->cancel)
        jobs_cancel(&s->jobs, job);
    return true;
}

static void run_turn(struct turn *t)
{
    struct worker *w = t->worker;
    struct purify_service *s = w->service;
    struct asked asked[PURIFY_MICRO_BATCH];
    struct engine_member member[PURIFY_MICRO_BATCH];
    bool aside[PURIFY_MICRO_BATCH];
    for (int k = 0; k < t->n; k++) {
        asked[k] = (struct asked){t, t->job[k]};
        member[k] = (struct engine_member){
            .img = t->job[k]->img, .hooks = {before_evaluation, &asked[k]}, .run = t->job[k]->run};
    }
    uint64_t start_ns = time_mono_ns();
    begin_turn(t);
    if (t->n > 1)
        s->ops->group(w->engine, member, t->n);
    int64_t left = t->n > 1 ? 0 : s->ops->turn(w->engine, member);
    come_back(w);
    pthread_mutex_lock(&s->lock);
    w->idle = false;
    s->stats.busy_ns += time_mono_ns() - start_ns;
    for (int k = 0; k < t->n; k++) {
        t->job[k]->left = left;
        aside[k] = put_back(s, t->job[k], &member[k]);
    }
    pthread_mutex_unlock(&s->lock);
    for (int k = 0; k < t->n; k++)
        if (!aside[k])
            answer(s, t->job[k], member[k].st, &member[k].err);
}

/* Takes what is next; returns how many jobs. The lock is held. */
static int take_next(struct purify_service *s, struct purify_job *out[])
{
    int n = jobs_choose(&s->jobs, out);
    for (int k = 0; k < n; k++) {
        s->stats.running += !out[k]->begun;
        s->taken++;
        jobs_set_state(&s->jobs, out[k], JOB_RUNNING);
    }
    return n;
}

void worker_main(void *arg)
{
    struct worker *w = arg;
    struct purify_service *s = w->service;
    struct turn t = {.worker = w};
    w->thread = (pid_t)syscall(SYS_gettid);
    yield_init(&w->yield, cpu_count());
    for (;;) {
        answer_cancelled(s);
        pthread_mutex_lock(&s->lock);
        while ((t.n = take_next(s, t.job)) == 0 && !s->jobs.cancelled.first &&
               !(s->stopping && jobs_none_wait(&s->jobs)))
            pthread_cond_wait(&s->work, &s->lock);
        bool end = !t.n && !s->jobs.cancelled.first;
        if (t.n && !jobs_none_wait(&s->jobs))
            pthread_cond_signal(&s->work); /* something else can run now: wakes the next worker */
        pthread_mutex_unlock(&s->lock);
        if (end)
            return;
        if (t.n)
            run_turn(&t);
    }
}
