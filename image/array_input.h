#ifndef IMAGE_ARRAY_INPUT_H
#define IMAGE_ARRAY_INPUT_H
/* array_input: a file read from its beginning to its end, gzip-compressed or not (zlib tells). No
   more than ARRAY_BYTES_MAX come out of it, however small it is. */
#include "base/base.h"

#include <zlib.h>

#define ARRAY_BYTES_MAX ((size_t)2 << 30)

struct array_input {
    gzFile gz;
    size_t taken;
};
/* Messages name the path. */
status array_input_open(struct array_input *in, const char *path, struct errmsg *e) MUST_USE;
void array_input_close(struct array_input *in);
/* Appends n bytes to out, fewer at the end of the file. LIMIT, CORRUPT, IO, NOMEM, CANCELLED. */
status array_input_read(struct array_input *in, size_t n, struct buf *out,
                        struct errmsg *e) MUST_USE;
/* The same without keeping them; CORRUPT when there are fewer. */
status array_input_skip(struct array_input *in, uint64_t n, struct errmsg *e) MUST_USE;

#endif
