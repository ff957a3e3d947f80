#ifndef FUSED_TIMED_WAIT_H
#define FUSED_TIMED_WAIT_H
/*
 * Waiting for a condition, but not for ever, by a clock that nobody sets:
 *
 *     timed_cond_init(&cond);
 *     const struct timespec until = timed_after(ns);
 *     pthread_cond_timedwait(&cond, &lock, &until);
 */
#include <pthread.h>
#include <time.h>

static inline void timed_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* ns nanoseconds from now, less than a second. */
static inline struct timespec timed_after(long ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ns;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

#endif
