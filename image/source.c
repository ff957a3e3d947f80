#include "source.h"

#include <assert.h>

void source_init_memory(struct source *s, const void *data, size_t len)
{
    s->size = len;
    s->data = data;
    s->fd = -1;
    s->window_off = s->window_len = 0;
}

void source_init_fd(struct source *s, int fd, uint64_t file_size)
{
    s->size = file_size;
    s->data = NULL;
    s->fd = fd;
    s->window_off = s->window_len = 0;
}

status source_at(struct source *s, uint64_t off, size_t n, const uint8_t **out, struct errmsg *e)
{
    assert(n <= SOURCE_WINDOW);
    if (off > s->size || n > s->size - off)
        return errmsg_set(e, STATUS_CORRUPT, "the file ends within its header");
    if (s->data) {
        *out = s->data + off;
        return STATUS_OK;
    }
    if (off < s->window_off || off + n > s->window_off + s->window_len) {
        size_t got = 0;
        s->window_len = 0;
        status st = io_pread(s->fd, s->window, SOURCE_WINDOW, (off_t)off, &got);
        if (st)
            return errmsg_set(e, st, "reading the image header: %s", status_text(st));
        s->window_off = off;
        s->window_len = got;
        if (got < n) /* it shrank since the caller's fstat */
            return errmsg_set(e, STATUS_CORRUPT, "the file ends within its header");
    }
    *out = s->window + (off - s->window_off);
    return STATUS_OK;
}
