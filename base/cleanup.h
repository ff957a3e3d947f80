#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H
/*
 * Owned locals. `AUTO(x_free) struct x *p = NULL;` calls x_freep(&p) when p leaves scope; the
 * module that defines x_free defines x_freep with DEFINE_FREEP. TAKE(p) hands the pointer over and
 * clears p. Never mix AUTO locals and goto in one function: a jump over their declaration is
 * undefined.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(fn) __attribute__((cleanup(fn##p)))
#define DEFINE_FREEP(type, fn)                                                                     \
    __attribute__((unused)) static inline void fn##p(type *p)                                      \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }

/* Hands a pointer over to a new owner and leaves NULL behind. */
#define TAKE(p)                                                                                    \
    (__extension__({                                                                               \
        __typeof__(p) *take_at_ = &(p);                                                            \
        __typeof__(p) take_value_ = *take_at_;                                                     \
        *take_at_ = NULL;                                                                          \
        take_value_;                                                                               \
    }))

/* AUTO(mem_free) for anything from base/seam.h's mem_ calls lives in seam.h. */
__attribute__((unused)) static inline void fd_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
__attribute__((unused)) static inline void file_closep(FILE **f)
{
    if (*f)
        fclose(*f);
}

#define TAKE_FD(fd)                                                                                \
    (__extension__({                                                                               \
        int *take_at_ = &(fd);                                                                     \
        int take_value_ = *take_at_;                                                               \
        *take_at_ = -1;                                                                            \
        take_value_;                                                                               \
    }))

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

#endif
