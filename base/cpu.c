#include "cpu.h"

#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#if defined(__x86_64__)
const char *cpu_missing(void)
{
    const char *most = getenv("RELEARN_CPU");
    if (!__builtin_cpu_supports("avx2") || (most && strcmp(most, "sse2") == 0))
        return "AVX2";
    if (!__builtin_cpu_supports("fma"))
        return "FMA";
    return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") ? NULL : "BMI2";
}
#else
const char *cpu_missing(void)
{
    return NULL;
}
#endif

int cpu_check(const char *prog)
{
    const char *what = cpu_missing();
    if (!what)
        return 0;
    fprintf(
        stderr,
        "%s: this CPU has no %s, which the program is built for (x86-64-v3: Intel since Haswell, "
        "AMD since Zen)\n",
        prog, what);
    return status_exit(STATUS_UNSUPPORTED);
}
