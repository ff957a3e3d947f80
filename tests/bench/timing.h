#ifndef TESTS_BENCH_TIMING_H
#define TESTS_BENCH_TIMING_H
/* timing: milliseconds of the process on its CPUs, and of the wall; and their median. */
#include "base/base.h"

#include <stdlib.h>
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

static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v. */
static inline double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

#endif
