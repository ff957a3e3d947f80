#include "source.h"

#include <assert.h>

void source_init_memory(struct source *s, const void *data, size_t len)
{
    s->size = len;
    s->data = data;
    s->fd = -1;
    s->reads_left = SOURCE_HEADER_READS;
    s->window_off = s->window_len = 0;
}

void source_init_fd(struct source *s, int fd, uint64_t file_size)
{
    source_init_memory(s, NULL, 0);
    s->size = file_size;
    s->fd = fd;
}

void source_unbound(struct source *s)
{
    s->reads_left = UINT32_MAX;
}

/* Moves the window to off. */
static status look_at(struct source *s, uint64_t off, struct errmsg *e)
{
    size_t got = 0;
    if (!s->reads_left)
        return errmsg_set(e, STATUS_LIMIT, "a header of too many pieces");
    s->reads_left--;
    s->window_len = 0;
    if (s->data) {
        got = s->size - off < SOURCE_WINDOW ? (size_t)(s->size - off) : SOURCE_WINDOW;
    } else {
        status st = io_pread(s->fd, s->window, SOURCE_WINDOW, (off_t)off, &got);
        if (st)
            return errmsg_set(e, st, "reading the image header: %s", status_text(st));
    }
    s->window_off = off;
    s->window_len = got;
    return STATUS_OK;
}

status source_at(struct source *s, uint64_t off, size_t n, const uint8_t **out, struct errmsg *e)
{
    assert(n <= SOURCE_WINDOW);
    if (off > s->size || n > s->size - off)
        return errmsg_set(e, STATUS_CORRUPT, "the file ends within its header");
    if (off < s->window_off || off + n > s->window_off + s->window_len) {
        status st = look_at(s, off, e);
        if (st)
            return st;
        if (s->window_len < n) /* it shrank since the caller's fstat */
            return errmsg_set(e, STATUS_CORRUPT, "the file ends within its header");
    }
    *out = s->data ? s->data + off : s->window + (off - s->window_off);
    return STATUS_OK;
}
