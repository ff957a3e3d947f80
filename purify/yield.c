#include "yield.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

/* A pause of 32 times the work that was in the way makes 3 % of it. They grow while the machine
   stays busy, to a length after which a sweep still goes on soon when it has become free. */
enum { PAUSE_TIMES = 32 };
static const uint64_t pause_max_ns = 4000000000ull;
static const uint64_t too_short_ns = 1000000; /* to tell anything from */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t = {0, 0};
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void yield_now(struct yield_clock *out)
{
    out->wall = clock_ns(CLOCK_MONOTONIC);
    out->thread = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    out->process = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void yield_init(struct yield *y, int cpus)
{
    *y = (struct yield){.cpus = cpus};
    yield_now(&y->last);
}

void yield_restart(struct yield *y, const struct yield_clock *now)
{
    y->last = *now;
}

/* The thread waited for a CPU for a fifth of the time or more although its own process left an
   eighth or more of all CPUs unused: others used them. */
static bool in_the_way(const struct yield *y, uint64_t wall, uint64_t thread, uint64_t process)
{
    return wall > thread + thread / 4 && process < wall * (uint64_t)y->cpus / 8 * 7;
}

uint64_t yield_pause(struct yield *y, const struct yield_clock *now)
{
    uint64_t wall = now->wall - y->last.wall, thread = now->thread - y->last.thread;
    if (wall < too_short_ns)
        return 0;
    bool crowded = in_the_way(y, wall, thread, now->process - y->last.process);
    y->last = *now;
    if (!crowded) {
        y->pause_ns /= 2;
        return 0;
    }
    uint64_t least = PAUSE_TIMES * thread, most = least > pause_max_ns ? least : pause_max_ns;
    y->pause_ns = 2 * y->pause_ns + least;
    if (y->pause_ns > most)
        y->pause_ns = most;
    return y->pause_ns;
}

void yield_set_idle(pid_t thread, bool idle)
{
    struct sched_param p = {0};
    if (sched_setscheduler(thread, idle ? SCHED_IDLE : SCHED_OTHER, &p) < 0)
        return; /* it goes on as it was */
}

static void *there_and_back(void *arg)
{
    struct sched_param p = {0};
    *(bool *)arg = sched_getscheduler(0) == SCHED_OTHER &&
                   sched_setscheduler(0, SCHED_IDLE, &p) == 0 &&
                   sched_setscheduler(0, SCHED_OTHER, &p) == 0;
    return NULL;
}

bool yield_can_be_idle(void)
{
    bool can = false;
    pthread_t t; /* in a thread of its own, which may not be able to come back */
    if (pthread_create(&t, NULL, there_and_back, &can))
        return false;
    pthread_join(t, NULL);
    return can;
}
