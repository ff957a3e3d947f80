#include "array_input.h"

#include <fcntl.h>

enum { STEP = 1 << 16 };

status array_input_open(struct array_input *in, const char *path, struct errmsg *e)
{
    int fd = -1;
    status st = io_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, &fd);
    if (st)
        return errmsg_set(e, st, "%s: %s", path, status_text(st));
    *in = (struct array_input){.gz = gzdopen(fd, "rb")};
    if (in->gz)
        return STATUS_OK;
    close(fd);
    return errmsg_set(e, STATUS_NOMEM, "%s: %s", path, status_text(STATUS_NOMEM));
}

void array_input_close(struct array_input *in)
{
    if (in->gz)
        gzclose_r(in->gz); /* closes the descriptor; what it could say has been said by gzerror */
    in->gz = NULL;
}

static status failed(struct array_input *in, struct errmsg *e)
{
    int err = Z_OK;
    const char *text = gzerror(in->gz, &err);
    if (err == Z_ERRNO)
        return errmsg_set(e, STATUS_IO, "%s", text);
    if (err == Z_MEM_ERROR)
        return errmsg_set(e, STATUS_NOMEM, "%s", text);
    return err == Z_OK ? STATUS_OK : errmsg_set(e, STATUS_CORRUPT, "damaged gzip data");
}

static status too_long(struct errmsg *e)
{
    return errmsg_set(e, STATUS_LIMIT, "more than %zu MiB", ARRAY_BYTES_MAX >> 20);
}

/* At most STEP bytes into `to`; *out 0 at the end. */
static status read_some(struct array_input *in, char *to, size_t n, size_t *out, struct errmsg *e)
{
    if (stop_requested())
        return STATUS_CANCELLED;
    int got = gzread(in->gz, to, (unsigned)n);
    status st = got == (int)n ? STATUS_OK : failed(in, e);
    if (st)
        return st;
    *out = got > 0 ? (size_t)got : 0;
    in->taken += *out;
    return in->taken > ARRAY_BYTES_MAX ? too_long(e) : STATUS_OK;
}

status array_input_read(struct array_input *in, size_t n, struct buf *out, struct errmsg *e)
{
    while (n > 0) {
        size_t want = n < STEP ? n : STEP, got = 0;
        status st = buf_reserve(out, want);
        if (st)
            return st == STATUS_LIMIT ? too_long(e) : errmsg_set(e, st, "%s", status_text(st));
        st = read_some(in, out->data + out->len, want, &got, e);
        if (st)
            return st;
        out->len += got;
        n -= got;
        if (got < want)
            break;
    }
    return STATUS_OK;
}

status array_input_skip(struct array_input *in, uint64_t n, struct errmsg *e)
{
    char unused[4096];
    while (n > 0) {
        size_t want = n < sizeof unused ? (size_t)n : sizeof unused, got = 0;
        status st = read_some(in, unused, want, &got, e);
        if (st)
            return st;
        if (got < want)
            return errmsg_set(e, STATUS_CORRUPT, "cut off");
        n -= got;
    }
    return STATUS_OK;
}
