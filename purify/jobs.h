#ifndef PURIFY_JOBS_H
#define PURIFY_JOBS_H
/*
 * jobs: those of a service that are not answered, and whose turn it is. Nothing here waits or locks:
 * everything is guarded by the service's lock.
 *
 * A job is of one class (urgent or sweep) and is worked on in turns; after each the worker chooses
 * anew, so that nobody waits for more of another's image than that:
 *
 *     jobs_add -> QUEUED -> RUNNING -> done()
 *                   ^  \-> CANCELLED ---^
 *                   \------/ put aside: more is left
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
 * are begun at any time: one that is put aside in favour of a smaller one is larger than that, and
 * so they are few.
 *
 * Invariant: a job is in the list of its class from jobs_add until it is answered or cancelled, then
 * in the cancelled list.
 */
#include "purify/purify.h"

enum job_state { JOB_IDLE, JOB_QUEUED, JOB_CANCELLED, JOB_RUNNING };

struct job_list {
    struct purify_job *first, *last;
};
/* The jobs of one class: oldest first, also those that run. */
struct job_class {
    struct job_list jobs;
    uint64_t waiting; /* of them, jobs that do not run; some may have been put aside */
    uint64_t fresh;   /* of these, jobs that were not begun */
    uint64_t begun;   /* large jobs that were, and their bytes */
    uint64_t begun_bytes;
    unsigned passed; /* turns since the oldest had one */
};
struct jobs {
    int threads; /* workers */
    struct job_class class[PURIFY_PRIORITY_COUNT];
    struct job_list cancelled;
    _Atomic bool any_cancelled; /* may be read without the lock */
};

/* A job whose priority, slots, left and bytes are set. */
void jobs_add(struct jobs *q, struct purify_job *job);
/* Out of the list of its class. */
void jobs_remove(struct jobs *q, struct purify_job *job);
void jobs_set_priority(struct jobs *q, struct purify_job *job, enum purify_priority prio);
/* JOB_RUNNING: it has been begun from now on. */
void jobs_set_state(struct jobs *q, struct purify_job *job, enum job_state state);
/* A queued job, to the cancelled ones. */
void jobs_cancel(struct jobs *q, struct purify_job *job);
/* One of those, out of the list; NULL: there are none. */
struct purify_job *jobs_next_cancelled(struct jobs *q);
bool jobs_none_wait(const struct jobs *q);
/* A group, a job, or, when none may run, nothing: returns how many. They stay where they are. */
int jobs_choose(struct jobs *q, struct purify_job *out[]);

#endif
