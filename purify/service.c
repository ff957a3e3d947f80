/*
 * A job is of one class (urgent or sweep) and is worked on in turns; a turn is one micro-batch.
 * After each the worker chooses anew, so that nobody waits for more of another's image than that:
 *
 *     submit -> QUEUED -> RUNNING -> done()
 *                  ^  \-> CANCELLED ---^
 *                  \------/ put aside: more is left
 *
 * Chosen is: of the urgent jobs the one of which least is left, of equals the oldest; but once
 * PASSED_MAX turns in a row went by the oldest, it. When no urgent job may run, the oldest of the
 * sweep.
 *
 * A job whose image is one slot is taken with the next three such jobs of its class, as a group
 * that shares the network's evaluations, where PURIFY_MICRO_BATCH jobs wait there for each worker.
 * With fewer, each worker takes a job at a time: four together are ready three times as late as one
 * alone. A group is always full: three of a kind take as long one after the other.
 *
 * What a begun job keeps between its turns (a copy of its pixels, and a band of rows) is bounded
 * per class: a large job is begun when it fits below BEGUN_BYTES_MAX, or when fewer large ones are
 * begun than there are workers; oldest first, so that none waits for ever for memory. Small ones
 * are begun at any time: who is put aside in favour of a smaller one is larger than it, and so they
 * are few.
 *
 * A worker also asks, before each network evaluation, whether cancelled jobs are to be answered;
 * and, in a sweep's turn, whether it is in other processes' way (yield.h). It sleeps then, but not
 * while an urgent job waits.
 *
 * Invariants: a job is in the list of its class from submit until it is answered or cancelled, then
 * in the cancelled list; one worker takes it out and answers it; nothing of a job is touched once
 * its done() was called. The lock is held during list work only.
 */
#include "service.h"

#include "yield.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_DEFAULT = 4096, THREADS_MAX = 1024 };
enum { LOOK_AHEAD_MAX = 64 }; /* jobs that are asked whether they join a group: under the lock */
enum { PASSED_MAX = 15 };     /* so the oldest has at least every 16th turn */
static const uint64_t begun_bytes_max = 512ull << 20; /* two images of 8192x8192 in RGB */
static const uint64_t small_bytes = 256ull << 10;     /* 200x200 */
enum job_state { JOB_IDLE, JOB_QUEUED, JOB_CANCELLED, JOB_RUNNING };

struct job_list {
    struct purify_job *first, *last;
};
/* The jobs of one class that are not answered: oldest first, also those that run. */
struct job_class {
    struct job_list jobs;
    uint64_t waiting; /* of them, jobs that do not run; some may have been put aside */
    uint64_t fresh;   /* of these, jobs that were not begun */
    uint64_t begun;   /* large jobs that were, and their bytes */
    uint64_t begun_bytes;
    unsigned passed; /* turns since the oldest had one */
};
struct worker {
    struct purify_service *service;
    void *engine;
    pid_t thread;
    bool idle;          /* at idle priority; guarded by the service's lock */
    struct yield yield; /* the worker's own */
};
struct purify_service {
    const struct service_ops *ops;
    int queue_max;
    int threads;
    bool idle_sweep, can_be_idle;
    struct worker *worker; /* (threads) */
    struct pool *pool;     /* each worker is one job of it, which ends with the service */

    pthread_mutex_t lock;
    pthread_cond_t work;                           /* a job came or was put aside, or stopping */
    pthread_cond_t hurry;                          /* a sweep's pause may be over */
    pthread_cond_t idle;                           /* nothing waits and nothing is taken */
    struct job_class class[PURIFY_PRIORITY_COUNT]; /* guarded by lock */
    struct job_list cancelled;                     /* guarded by lock */
    _Atomic bool any_cancelled;                    /* written with the lock held */
    uint64_t taken;                                /* jobs being run or answered; guarded by lock */
    struct purify_service_stats stats;             /* without `queued`; guarded by lock */
    bool stopping;                                 /* guarded by lock */
};

/* ---- lists; the lock is held ---- */

static void list_add(struct job_list *l, struct purify_job *job)
{
    job->prev = l->last;
    job->next = NULL;
    *(l->last ? &l->last->next : &l->first) = job;
    l->last = job;
}

static void list_remove(struct job_list *l, struct purify_job *job)
{
    *(job->prev ? &job->prev->next : &l->first) = job->next;
    *(job->next ? &job->next->prev : &l->last) = job->prev;
    job->prev = job->next = NULL;
}

static bool is_large(const struct purify_job *job)
{
    return job->bytes > small_bytes;
}

/* Counts the job in or out (by = 1 or -1) of its class, as its state and progress are now. */
static void count_job(struct purify_service *s, const struct purify_job *job, int by)
{
    struct job_class *c = &s->class[job->priority];
    uint64_t n = (uint64_t)by;
    c->waiting += job->state == JOB_QUEUED ? n : 0;
    c->fresh += job->state == JOB_QUEUED && !job->begun ? n : 0;
    if (job->begun && is_large(job)) {
        c->begun += n;
        c->begun_bytes += n * job->bytes;
    }
}

static void enter_class(struct purify_service *s, struct purify_job *job)
{
    list_add(&s->class[job->priority].jobs, job);
    count_job(s, job, 1);
}

static void leave_class(struct purify_service *s, struct purify_job *job)
{
    count_job(s, job, -1);
    list_remove(&s->class[job->priority].jobs, job);
}

static void move_to(struct purify_service *s, struct purify_job *job, enum purify_priority prio)
{
    leave_class(s, job);
    job->priority = prio;
    enter_class(s, job);
}

static void set_state(struct purify_service *s, struct purify_job *job, enum job_state state)
{
    count_job(s, job, -1);
    job->state = state;
    job->begun |= state == JOB_RUNNING;
    count_job(s, job, 1);
}

static void cancel_queued(struct purify_service *s, struct purify_job *job)
{
    leave_class(s, job);
    job->state = JOB_CANCELLED;
    list_add(&s->cancelled, job);
    s->any_cancelled = true;
}

static bool nothing_waits(const struct purify_service *s)
{
    return !s->cancelled.first && !s->class[PURIFY_URGENT].waiting &&
           !s->class[PURIFY_SWEEP].waiting;
}

/* ---- whose turn it is; the lock is held ---- */

static bool has_room(const struct purify_service *s, const struct job_class *c,
                     const struct purify_job *job)
{
    return c->begun < (uint64_t)s->threads || c->begun_bytes + job->bytes <= begun_bytes_max;
}

/* Goes through the jobs that may have a turn, oldest first: the next one behind `job` (NULL: the
   first). *large: a large one that is not begun has been met, and is before all others of its kind.
 */
static struct purify_job *next_ready(const struct purify_service *s, const struct job_class *c,
                                     struct purify_job *job, bool *large)
{
    for (job = job ? job->next : c->jobs.first; job; job = job->next) {
        if (job->state != JOB_QUEUED)
            continue;
        if (job->begun || !is_large(job))
            return job;
        bool first = !*large;
        *large = true;
        if (first && has_room(s, c, job))
            return job;
    }
    return NULL;
}

/* A few thousand readers are asked in less time than any turn takes. */
static struct purify_job *choose_urgent(struct purify_service *s)
{
    struct job_class *c = &s->class[PURIFY_URGENT];
    bool large = false;
    struct purify_job *oldest = next_ready(s, c, NULL, &large), *least = oldest;
    if (c->passed < PASSED_MAX)
        for (struct purify_job *job = least; job; job = next_ready(s, c, job, &large))
            if (job->left < least->left)
                least = job;
    c->passed = least == oldest ? 0 : c->passed + 1;
    return least;
}

static struct purify_job *choose(struct purify_service *s)
{
    bool large = false;
    struct purify_job *job = s->class[PURIFY_URGENT].waiting ? choose_urgent(s) : NULL;
    return job ? job : next_ready(s, &s->class[PURIFY_SWEEP], NULL, &large);
}

static bool groups(const struct purify_job *job)
{
    return job->state == JOB_QUEUED && job->slots == 1 && !job->begun;
}

/* The job and older ones before younger ones that join it; fewer than PURIFY_MICRO_BATCH: it is to
   run alone. */
static int find_group(const struct purify_service *s, struct purify_job *job,
                      struct purify_job **out)
{
    const struct job_class *c = &s->class[job->priority];
    int n = 0;
    if (c->waiting < (uint64_t)s->threads * PURIFY_MICRO_BATCH || !groups(job))
        return 0;
    out[n++] = job;
    struct purify_job *other = c->jobs.first;
    for (int look = 0; other && look < LOOK_AHEAD_MAX && n < PURIFY_MICRO_BATCH; look++) {
        if (other != job && groups(other))
            out[n++] = other;
        other = other->next;
    }
    return n;
}

/* Takes a group, a job, or, when none may run, nothing: returns how many. */
static int take_next(struct purify_service *s, struct purify_job **out)
{
    struct purify_job *job = choose(s);
    if (!job)
        return 0;
    int n = find_group(s, job, out);
    if (n < PURIFY_MICRO_BATCH) {
        out[0] = job;
        n = 1;
    }
    for (int k = 0; k < n; k++) {
        s->stats.running += !out[k]->begun;
        s->taken++;
        set_state(s, out[k], JOB_RUNNING);
    }
    return n;
}

/* ---- work; the lock is not held ---- */

/* The one place where a job is answered; it is in no list any more. */
static void answer(struct purify_service *s, struct purify_job *job, status st,
                   const struct errmsg *e)
{
    job->done(job, st, e);

    pthread_mutex_lock(&s->lock);
    s->taken--;
    if (!s->taken && nothing_waits(s))
        pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held: what it counts as, before it is answered. */
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
    while (s->any_cancelled) {
        pthread_mutex_lock(&s->lock);
        struct purify_job *job = s->cancelled.first;
        if (job) {
            list_remove(&s->cancelled, job);
            count_answer(s, job, STATUS_CANCELLED);
            s->taken++;
        }
        s->any_cancelled = s->cancelled.first != NULL;
        pthread_mutex_unlock(&s->lock);
        if (!job)
            return;
        s->ops->drop(job->run);
        answer(s, job, STATUS_CANCELLED, &(const struct errmsg){""});
    }
}

struct turn {
    struct worker *worker;
    struct purify_job *job[PURIFY_MICRO_BATCH];
    int n;
};
struct asked {
    struct turn *turn;
    struct purify_job *job;
};

/* Whether nobody waits for a turn's end; the lock is held. */
static bool may_pause(const struct turn *t)
{
    const struct purify_service *s = t->worker->service;
    if (s->stopping || s->class[PURIFY_URGENT].waiting)
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
    while (may_pause(t) && !s->cancelled.first &&
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

/* Somebody waits: what runs for the sweep is to end soon. The lock is held. */
static void hurry(struct purify_service *s)
{
    for (int i = 0; s->can_be_idle && i < s->threads; i++)
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

/* Before the lock is wanted: nobody is to wait for one that is held at idle priority. */
static void come_back(struct worker *w)
{
    if (w->service->can_be_idle)
        yield_set_idle(w->thread, false);
}

/* Out of the worker's hands; true: put aside, else it is to be answered. The lock is held. */
static bool put_back(struct purify_service *s, struct purify_job *job,
                     const struct engine_member *m)
{
    s->stats.evaluations += m->evaluations;
    job->run = m->run;
    if (!job->left) {
        leave_class(s, job);
        count_answer(s, job, m->st);
        return false;
    }
    set_state(s, job, JOB_QUEUED);
    s->taken--;
    if (job->cancel)
        cancel_queued(s, job);
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

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct purify_service *s = w->service;
    struct turn t = {.worker = w};
    w->thread = (pid_t)syscall(SYS_gettid);
    yield_init(&w->yield, cpu_count());
    for (;;) {
        answer_cancelled(s);
        pthread_mutex_lock(&s->lock);
        while ((t.n = take_next(s, t.job)) == 0 && !s->cancelled.first &&
               !(s->stopping && nothing_waits(s)))
            pthread_cond_wait(&s->work, &s->lock);
        bool end = !t.n && !s->cancelled.first;
        if (t.n && !nothing_waits(s))
            pthread_cond_signal(&s->work); /* put aside, or there is room now: for the next one */
        pthread_mutex_unlock(&s->lock);
        if (end)
            return;
        if (t.n)
            run_turn(&t);
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
        for (struct purify_job *next, *job = s->class[p].jobs.first; job; job = next) {
            next = job->next;
            if (job->state == JOB_QUEUED && !job->begun)
                cancel_queued(s, job);
        }
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->hurry);
    pthread_mutex_unlock(&s->lock);
    pool_free(s->pool);
    for (int i = 0; s->worker && i < s->threads; i++)
        if (s->worker[i].engine)
            s->ops->close(s->worker[i].engine);
    mem_free(s->worker);
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
    size_t bytes = s->ops->bytes(s->worker->engine, job->img);
    pthread_mutex_lock(&s->lock);
    if (s->stopping) {
        st = STATUS_CANCELLED;
    } else if (s->class[prio].fresh >= (uint64_t)s->queue_max) {
        st = STATUS_AGAIN;
    } else {
        job->priority = prio;
        job->state = JOB_QUEUED;
        job->cancel = false;
        job->begun = false;
        job->run = NULL;
        job->slots = job->left = slots;
        job->bytes = bytes;
        enter_class(s, job);
        s->stats.submitted++;
        pthread_cond_signal(&s->work);
        if (prio == PURIFY_URGENT)
            hurry(s);
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
        move_to(s, job, PURIFY_URGENT);
        pthread_cond_signal(&s->work);
        hurry(s);
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_demote(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (is_unfinished(job) && job->priority == PURIFY_URGENT) {
        move_to(s, job, PURIFY_SWEEP);
        pthread_cond_signal(&s->work); /* there may be room for it as one of these */
    }
    pthread_mutex_unlock(&s->lock);
}

void purify_cancel(struct purify_service *s, struct purify_job *job)
{
    pthread_mutex_lock(&s->lock);
    if (job->state == JOB_QUEUED) {
        cancel_queued(s, job);
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
        out->queued[p] = s->class[p].fresh;
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
