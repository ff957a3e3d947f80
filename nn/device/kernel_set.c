/* Which build of kernels/ this CPU runs. */
#include "kernels/kernels.h"

#include <stdlib.h>

#if defined(__x86_64__)
const struct nn_kernel_set *nn_kernels_here(void)
{
    const char *most = getenv("RELEARN_CPU"); /* "avx2", "avx512": as if there was no more */
    if ((most && !strcmp(most, "avx2")) || !__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512cd"))
        return &nn_kernels;
    if ((most && !strcmp(most, "avx512")) || !__builtin_cpu_supports("avx512bf16"))
        return &nn_kernels_avx512;
    return &nn_kernels_bf16;
}
#else
const struct nn_kernel_set *nn_kernels_here(void)
{
    return &nn_kernels;
}
#endif

static const struct nn_kernel *const *lists(int i, enum nn_precision p)
{
    (void)p;
    return i == 0 ? nn_kernels_here()->common : NULL;
}

const struct nn_device nn_device_common = {.name = "common", .list = lists};
