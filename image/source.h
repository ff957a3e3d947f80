#ifndef IMAGE_SOURCE_H
#define IMAGE_SOURCE_H
/*
 * source: the bytes of one file for the header parsers, from memory or through small preads.
 *
 * source_at gives up to SOURCE_WINDOW bytes at any offset; the pointer is valid until the next
 * call. A parser that skips what it does not need therefore costs one pread per place it looks at.
 * While a header is scanned, their number is limited (accesses to memory count in the same way, so
 * that both give the same answer).
 */
#include "base/base.h"

enum {
    SOURCE_WINDOW = 4096,
    SOURCE_HEADER_READS = 4096 /* 16 MiB read through, or 256 MiB of the longest JPEG segments */
};

struct source {
    uint64_t size;       /* of the file */
    const uint8_t *data; /* the whole file, or NULL when read through fd */
    int fd;
    uint32_t reads_left; /* LIMIT when they are used up */
    uint64_t window_off; /* window holds [window_off, window_off + window_len) of the file */
    size_t window_len;
    uint8_t window[SOURCE_WINDOW];
};

void source_init_memory(struct source *s, const void *data, size_t len);
void source_init_fd(struct source *s, int fd, uint64_t file_size);
/* From now on there is no bound but the file's size. */
void source_unbound(struct source *s);
/* CORRUPT when the file ends before off + n; LIMIT; IO. n <= SOURCE_WINDOW. */
status source_at(struct source *s, uint64_t off, size_t n, const uint8_t **out,
                 struct errmsg *e) MUST_USE;

static inline uint32_t read_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t read_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif
