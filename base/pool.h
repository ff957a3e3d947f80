#ifndef BASE_POOL_H
#define BASE_POOL_H
/*
 * pool: a fixed set of threads and one bounded FIFO of jobs.
 *
 * A job is {fn, arg}; fn runs exactly once on one of the threads, for every job that pool_submit
 * accepted, also when the pool is being freed (queued jobs are run, not dropped). The pool holds no
 * lock while fn runs.
 *
 * fn may submit to its own pool. A thread of the pool never waits for a free place in its queue,
 * since all of them might wait: a job submitted by it while the queue is full runs within that
 * call, before the queued ones. So a job must not hold a lock while it submits one that takes it.
 *
 *     struct pool *p; pool_new("decode", 2, 64, &p);
 *     pool_submit(p, fn, arg);      // blocks while 64 jobs are queued
 *     pool_free(p);                 // runs what is queued, then joins
 */
#include "status.h"

struct pool;
typedef void pool_fn(void *arg);

status pool_new(const char *name, int threads, int queue_max, struct pool **out) MUST_USE;
void pool_free(struct pool *p); /* NULL allowed; not from one of its own threads */
status pool_submit(struct pool *p, pool_fn *fn, void *arg) MUST_USE;
/* STATUS_AGAIN instead of waiting when the queue is full. */
status pool_try_submit(struct pool *p, pool_fn *fn, void *arg) MUST_USE;
/* Waits until nothing is queued or running; not from one of its own threads, which are running. */
void pool_wait_idle(struct pool *p);
/* Number of CPUs this process may run on (>= 1). */
int cpu_count(void);

#endif
