#ifndef PURIFY_YIELD_H
#define PURIFY_YIELD_H
/*
 * Giving way to other processes. A thread that computes asks from time to time how long it should
 * pause: not at all while CPUs are free, or while it only competes with its own process; long when
 * it had to wait for a CPU that other processes use.
 *
 * SCHED_IDLE alone is not enough. It yields within its group only, but sessions (autogroup,
 * Debian's default), services and containers each get a share of the CPU as a whole: a daemon would
 * get half of it although all its threads are SCHED_IDLE. And a thread that waits at a barrier for
 * one that shares a core with us waits for our whole time slice.
 */
#include "base/base.h"

#include <stdbool.h>

/* Clock readings, in nanoseconds. */
struct yield_clock {
    uint64_t wall;
    uint64_t thread;  /* this thread's time on a CPU */
    uint64_t process; /* that of all threads of the process */
};
void yield_now(struct yield_clock *out);

struct yield {
    struct yield_clock last;
    uint64_t pause_ns; /* the last pause, which shrinks while none is needed */
    int cpus;          /* that the process may use */
};
void yield_init(struct yield *y, int cpus);
/* The pause that the time between the last call (or yield_restart) and `now` calls for. */
uint64_t yield_pause(struct yield *y, const struct yield_clock *now);
/* After a pause, or other work: the next call looks back to here. */
void yield_restart(struct yield *y, const struct yield_clock *now);

/* Whether this process may take a thread to SCHED_IDLE and back: the way back needs CAP_SYS_NICE or
   RLIMIT_NICE. */
bool yield_can_be_idle(void);
/* The calling thread or another of the process; errors are of no consequence. */
void yield_set_idle(pid_t thread, bool idle);

#endif
