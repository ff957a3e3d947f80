#ifndef PURIFY_YIELD_H
#define PURIFY_YIELD_H
/*
 * Giving way to other processes. A thread that computes asks now and then how long it should pause:
 * not at all while CPUs are free, or while it waits for its own process only; long, when it had to
 * wait for a CPU that others use.
 *
 * A scheduling class alone would not do. SCHED_IDLE yields to what is scheduled beside it, but
 * sessions (autogroup, Debian's default), services and containers are each given their share of the
 * CPU as a whole: half of it to a daemon whose every thread is idle. And who waits at a barrier for
 * a thread that shares its core waits for all of the other's time slice.
 */
#include "base/base.h"

#include <stdbool.h>

/* What clocks say, in nanoseconds. */
struct yield_clock {
    uint64_t wall;
    uint64_t thread;  /* this thread's time on a CPU */
    uint64_t process; /* that of all threads of the process */
};
void yield_now(struct yield_clock *out);

struct yield {
    struct yield_clock last;
    uint64_t pause_ns; /* the last one that was called for, less as time goes on without */
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
