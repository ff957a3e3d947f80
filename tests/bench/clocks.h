#ifndef TESTS_BENCH_CLOCKS_H
#define TESTS_BENCH_CLOCKS_H
/* clocks: milliseconds of the process on its CPUs, and of the wall. */
#include "base/base.h"

#include <time.h>

static inline double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static inline double wall_ms(void)
{
    return (double)time_mono_ns() / 1e6;
}

#endif
