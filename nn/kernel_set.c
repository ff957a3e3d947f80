/* Which build of kernels/ this CPU runs. */
#include "kernels/kernels.h"

#include <stdlib.h>

#if defined(__x86_64__)
static bool wide(void)
{
    const char *most = getenv("RELEARN_CPU"); /* "avx2": as if there was no more */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd") && !(most && !strcmp(most, "avx2"));
}
#endif

const struct nn_kernel_set *nn_kernels_here(void)
{
#if defined(__x86_64__)
    if (wide())
        return &nn_kernels_wide;
#endif
    return &nn_kernels;
}

static const struct nn_kernel *const *lists(int i, enum nn_precision p)
{
    (void)p;
    return i == 0 ? nn_kernels_here()->common : NULL;
}

const struct nn_device nn_device_common = {.name = "common", .list = lists};
