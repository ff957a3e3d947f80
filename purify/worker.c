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
    struct worker_team with; /* where it is one job */
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
static void set_low(struct worker *w, bool low)
{
    if (w->low != low)
        yield_set_idle(w->thread, low);
    w->low = low;
}

void workers_hurry(struct purify_service *s)
{
    for (int i = 0; s->can_be_idle && i < s->jobs.threads; i++)
        set_low(&s->worker[i], false);
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
        set_low(w, true);
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
    job->shares = job->run && s->ops->shares(s->worker->engine, job->run);
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

static int64_t run_with_team(struct turn *t, struct engine_member *member)
{
    const struct worker_team *with = &t->with;
    void *engine[TEAM_MAX];
    for (int i = 0; i < with->team.n; i++)
        engine[i] = with->member[i]->engine;
    return t->worker->service->ops->turn(engine, &with->team, member);
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
    int64_t left = t->n > 1 ? 0 : run_with_team(t, member);
    come_back(w);
    pthread_mutex_lock(&s->lock);
    w->low = false;
    s->stats.busy_ns += (time_mono_ns() - start_ns) * (uint64_t)t->with.team.n;
    team_dismiss(&t->with);
    for (int k = 0; k < t->n; k++) {
        t->job[k]->left = left;
        aside[k] = put_back(s, t->job[k], &member[k]);
    }
    pthread_mutex_unlock(&s->lock);
    for (int k = 0; k < t->n; k++)
        if (!aside[k])
            answer(s, t->job[k], member[k].st, &member[k].err);
}

/* Takes what is next; false: there is nothing. The lock is held. */
static bool take_next(struct turn *t)
{
    struct purify_service *s = t->worker->service;
    t->n = jobs_choose(&s->jobs, t->job);
    for (int k = 0; k < t->n; k++) {
        s->stats.running += !t->job[k]->begun;
        s->taken++;
        jobs_set_state(&s->jobs, t->job[k], JOB_RUNNING);
    }
    if (t->n)
        team_form(&t->with, t->worker, t->job[0]);
    if (t->n && !jobs_none_wait(&s->jobs))
        pthread_cond_signal(&s->work); /* something else can run now: wakes the next worker */
    else if (t->n && s->stopping)
        pthread_cond_broadcast(&s->work); /* that was the last: they can end */
    return t->n > 0;
}

enum todo { TODO_TURN, TODO_CANCELLED, TODO_HELP, TODO_END };

/* Waits for it. The lock is held. */
static enum todo next_todo(struct turn *t)
{
    struct worker *w = t->worker;
    struct purify_service *s = w->service;
    for (;;) {
        w->idle = false;
        if (w->called)
            return TODO_HELP;
        if (!w->helps) {
            if (take_next(t))
                return TODO_TURN;
            if (s->jobs.cancelled.first)
                return TODO_CANCELLED;
            if (s->stopping && jobs_none_wait(&s->jobs))
                return TODO_END;
        }
        w->idle = !w->helps;
        pthread_cond_wait(w->helps ? &s->called : &s->work, &s->lock);
    }
}

void worker_main(void *arg)
{
    struct worker *w = arg;
    struct purify_service *s = w->service;
    struct turn t = {.worker = w};
    w->thread = (pid_t)syscall(SYS_gettid);
    yield_init(&w->yield, cpu_count());
    for (enum todo todo = TODO_CANCELLED; todo != TODO_END;) {
        answer_cancelled(s);
        pthread_mutex_lock(&s->lock);
        todo = next_todo(&t);
        if (todo == TODO_HELP)
            team_help(w);
        pthread_mutex_unlock(&s->lock);
        if (todo == TODO_TURN)
            run_turn(&t);
    }
}
