/*
 * Version 3 asks an AMD CPU how large its caches are (CPUID 0x8000001d). Virtual machines that leave
 * that out answer zeros, which it reads as caches of a byte; some convolutions of 1x1 pixels then
 * divide by 0 while they are made (3.6, SIGFPE). On an Intel CPU it guesses where nothing is said.
 */
#include "onednn/onednn.h"

#if DNNL_VERSION_MAJOR >= 3 && defined __x86_64__
#include <cpuid.h>

bool nn_dnnl_misreads_caches(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    bool amd = __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
    unsigned kind = amd && __get_cpuid_count(0x8000001d, 0, &a, &b, &c, &d) ? a & 31 : 0;
    return amd && !kind;
}
#else
bool nn_dnnl_misreads_caches(void)
{
    return false;
}
#endif
