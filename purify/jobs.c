#include "jobs.h"

#include "engine.h"

enum { LOOK_AHEAD_MAX = 64 }; /* jobs looked at for a group, with the lock held */
enum { PASSED_MAX = 15 };     /* so the oldest gets at least every 16th turn */
static const uint64_t begun_bytes_max = 512ull << 20; /* two images of 8192x8192 in RGB */
static const uint64_t small_bytes = 256ull << 10;     /* 200x200 */

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

/* Adds (by = 1) or removes (-1) the job's share of its class's counts, by its current state and
   progress. */
static void count_job(struct jobs *q, const struct purify_job *job, int by)
{
    struct job_class *c = &q->class[job->priority];
    uint64_t n = (uint64_t)by;
    c->waiting += job->state == JOB_QUEUED ? n : 0;
    c->fresh += job->state == JOB_QUEUED && !job->begun ? n : 0;
    if (job->begun && is_large(job)) {
        c->begun += n;
        c->begun_bytes += n * job->bytes;
    }
}

void jobs_add(struct jobs *q, struct purify_job *job)
{
    list_add(&q->class[job->priority].jobs, job);
    count_job(q, job, 1);
}

void jobs_remove(struct jobs *q, struct purify_job *job)
{
    count_job(q, job, -1);
    list_remove(&q->class[job->priority].jobs, job);
}

void jobs_set_priority(struct jobs *q, struct purify_job *job, enum purify_priority prio)
{
    jobs_remove(q, job);
    job->priority = prio;
    jobs_add(q, job);
}

void jobs_set_state(struct jobs *q, struct purify_job *job, enum job_state state)
{
    count_job(q, job, -1);
    job->state = state;
    job->begun |= state == JOB_RUNNING;
    count_job(q, job, 1);
}

void jobs_cancel(struct jobs *q, struct purify_job *job)
{
    jobs_remove(q, job);
    job->state = JOB_CANCELLED;
    list_add(&q->cancelled, job);
    q->any_cancelled = true;
}

struct purify_job *jobs_next_cancelled(struct jobs *q)
{
    struct purify_job *job = q->cancelled.first;
    if (job)
        list_remove(&q->cancelled, job);
    q->any_cancelled = q->cancelled.first != NULL;
    return job;
}

bool jobs_none_wait(const struct jobs *q)
{
    return !q->cancelled.first && !q->class[PURIFY_URGENT].waiting &&
           !q->class[PURIFY_SWEEP].waiting;
}

/* ---- whose turn it is ---- */

static bool fits_memory(const struct jobs *q, const struct job_class *c,
                        const struct purify_job *job)
{
    return c->begun < (uint64_t)q->threads || c->begun_bytes + job->bytes <= begun_bytes_max;
}

/* Goes through the jobs that may have a turn, oldest first: the next one behind `job` (NULL: the
   first). *large: set when a large job that is not begun was seen; only the first of these may
   begin. */
static struct purify_job *next_ready(const struct jobs *q, const struct job_class *c,
                                     struct purify_job *job, bool *large)
{
    for (job = job ? job->next : c->jobs.first; job; job = job->next) {
        if (job->state != JOB_QUEUED)
            continue;
        if (job->begun || !is_large(job))
            return job;
        bool first = !*large;
        *large = true;
        if (first && fits_memory(q, c, job))
            return job;
    }
    return NULL;
}

/* Looking through a few thousand jobs takes less time than any turn. */
static struct purify_job *choose_urgent(struct jobs *q)
{
    struct job_class *c = &q->class[PURIFY_URGENT];
    bool large = false;
    struct purify_job *oldest = next_ready(q, c, NULL, &large), *least = oldest;
    if (c->passed < PASSED_MAX)
        for (struct purify_job *job = least; job; job = next_ready(q, c, job, &large))
            if (job->left < least->left)
                least = job;
    c->passed = least == oldest ? 0 : c->passed + 1;
    return least;
}

/* Whether an urgent job that runs has turns to come that others can share. */
static bool wants_help(const struct jobs *q)
{
    const struct purify_job *job = q->class[PURIFY_URGENT].jobs.first;
    while (job && !(job->state == JOB_RUNNING && job->shares && job->left > 1))
        job = job->next;
    return job != NULL;
}

static struct purify_job *choose(struct jobs *q)
{
    bool large = false;
    struct purify_job *job = q->class[PURIFY_URGENT].waiting ? choose_urgent(q) : NULL;
    if (job || wants_help(q))
        return job;
    return next_ready(q, &q->class[PURIFY_SWEEP], NULL, &large);
}

static bool groups(const struct purify_job *job)
{
    return job->state == JOB_QUEUED && job->groups && !job->begun;
}

/* Fills out with the job and others that may share its micro-batch, oldest first. Fewer than
   PURIFY_MICRO_BATCH: it runs alone. */
static int find_group(const struct jobs *q, struct purify_job *job, struct purify_job **out)
{
    const struct job_class *c = &q->class[job->priority];
    int n = 0;
    if (c->waiting < (uint64_t)q->threads * PURIFY_MICRO_BATCH || !groups(job))
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

int jobs_choose(struct jobs *q, struct purify_job *out[])
{
    struct purify_job *job = choose(q);
    if (!job)
        return 0;
    int n = find_group(q, job, out);
    if (n == PURIFY_MICRO_BATCH)
        return n;
    out[0] = job;
    return 1;
}
