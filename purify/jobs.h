#ifndef PURIFY_JOBS_H
#define PURIFY_JOBS_H
/*
 * jobs: the jobs of a service that are not yet answered, and which of them runs next. Nothing here
 * waits or locks: everything is guarded by the service's lock.
 *
 * A job is of one class (urgent or sweep) and is worked on in turns; after each turn the worker
 * chooses again, so that no job waits for more than one turn of another:
 *
 *     jobs_add -> QUEUED -> RUNNING -> done()
 *                   ^  \-> CANCELLED ---^
 *                   \------/ put aside: more is left
 *
 * Next is the urgent job with least left, of equal ones the oldest; but after PASSED_MAX turns in a
 * row that the oldest did not get, the oldest. When no urgent job may run, the oldest of the sweep
 * is next; but not while an urgent one runs whose turns can be shared: the worker helps with that
 * one from its next turn on.
 *
 * A job whose image is one slot is taken with the next three such jobs of its class, as a group
 * that shares the network's evaluations, where the class has PURIFY_MICRO_BATCH waiting jobs for
 * each worker. With fewer, each worker takes one job at a time: four together are ready three times
 * as late as one alone. A group is always full: three together would take as long as one after the
 * other.
 *
 * What a begun job keeps between its turns (a copy of its pixels, and a band of rows) is bounded
 * per class: a large job is begun when it fits below begun_bytes_max, or when fewer large ones are
 * begun than there are workers; oldest first, so that none waits for memory for ever. Small ones
 * are begun at any time: there are few, since a job is only put aside for one that has less left.
 *
 * Invariant: a job is in the list of its class from jobs_add until it is answered or cancelled, a
 * cancelled one in the cancelled list until it is answered.
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
    unsigned passed; /* turns in a row that the oldest did not get */
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
/* JOB_RUNNING also marks it as begun. */
void jobs_set_state(struct jobs *q, struct purify_job *job, enum job_state state);
/* Moves a queued job to the cancelled ones. */
void jobs_cancel(struct jobs *q, struct purify_job *job);
/* Takes one of those out of the list; NULL: there are none. */
struct purify_job *jobs_next_cancelled(struct jobs *q);
bool jobs_none_wait(const struct jobs *q);
/* Chooses a group, one job, or, when none may run, none; returns how many. They stay in their
   lists. */
int jobs_choose(struct jobs *q, struct purify_job *out[]);

#endif
