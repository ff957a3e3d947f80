/* The seam's memory. */
#include "fault.h"

#include <string.h>
#include <sys/mman.h>

#include "banned.h"

void *mem_alloc(size_t size)
{
    if (size > PTRDIFF_MAX || fault_mem_hit(size))
        return NULL;
    return malloc(size ? size : 1);
}

void *mem_zalloc(size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX || fault_mem_hit(bytes))
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *mem_alloc_aligned(size_t size)
{
    enum { HUGE_PAGE = 2 << 20 };
    if (size > PTRDIFF_MAX - HUGE_PAGE || fault_mem_hit(size))
        return NULL;
    size_t align = size < HUGE_PAGE ? 64 : HUGE_PAGE;
    size_t whole = size ? (size + align - 1) / align * align : align;
    void *p = aligned_alloc(align, whole);
    if (p && align == HUGE_PAGE)
        (void)madvise(p, whole, MADV_HUGEPAGE); /* without it the memory is only slower */
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    return fault_mem_hit(size) ? NULL : realloc(p, size ? size : 1);
}

char *mem_strdup(const char *s)
{
    size_t len = strlen(s) + 1;
    char *p = mem_alloc(len);
    if (p)
        memcpy(p, s, len);
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *p = len < 0 ? NULL : mem_alloc((size_t)len + 1);
    if (p)
        vsnprintf(p, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p;
}

void mem_free(void *p)
{
    free(p);
}
