#ifndef BASE_BUF_H
#define BASE_BUF_H
/*
 * buf: a growing byte buffer with a stated maximum.
 *
 * Invariants: len <= cap <= max; data is NULL only while cap is 0; once anything was added,
 * data[len] == 0, so that text can be used as a C string.
 * After any failed call the buffer is unchanged. Start with BUF_INIT(max); end with buf_done.
 */
#include "seam.h"

struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max; /* bytes; growing past it is STATUS_LIMIT */
};

#define BUF_INIT(max_bytes)                                                                        \
    {                                                                                              \
        NULL, 0, 0, (max_bytes)                                                                    \
    }

void buf_done(struct buf *b);
__attribute__((unused)) static inline void buf_donep(struct buf *b)
{
    buf_done(b);
}
void buf_reset(struct buf *b);
status buf_reserve(struct buf *b, size_t extra) MUST_USE;
status buf_add(struct buf *b, const void *data, size_t len) MUST_USE;
status buf_addf(struct buf *b, const char *fmt, ...) MUST_USE PRINTF_LIKE(2, 3);

#endif
