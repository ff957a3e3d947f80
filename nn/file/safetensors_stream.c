/* A safetensors file of one tensor that comes in parts. */
#include "file/safetensors_write.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct nn_file_stream {
    char *path, *dir;
    char *tmp; /* NULL: there is no file to remove */
    int fd;
    off_t data; /* where the tensor begins */
    uint64_t count;
};

static status stream_start(struct nn_file_stream *s, const struct safetensors_out *f)
{
    AUTO(mem_free) char *tmp = safetensors_temporary(s->path);
    if (!tmp)
        return STATUS_NOMEM;
    status st = io_open(AT_FDCWD, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666, &s->fd);
    if (st)
        return st;
    s->tmp = TAKE(tmp);
    s->data = (off_t)(8 + ((strlen(f->text) + 7) & ~(size_t)7));
    st = safetensors_write_header(s->fd, f->text);
    if (!st && ftruncate(s->fd, s->data + (off_t)(s->count * sizeof(float))) < 0)
        st = status_from_errno(errno);
    return st;
}

status nn_file_stream_new(const char *path, const char *name, struct nn_shape shape,
                          const struct nn_meta *meta, int n_meta, struct nn_file_stream **out,
                          struct errmsg *e)
{
    __attribute__((cleanup(safetensors_out_donep))) struct safetensors_out f = {NULL, NULL, NULL};
    const struct nn_save_tensor t = {name, shape, NULL, false};
    struct errmsg why = {""};
    AUTO(nn_file_stream_free) struct nn_file_stream *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->fd = -1;
    s->count = (uint64_t)nn_shape_count(shape);
    s->path = mem_strdup(path);
    s->dir = safetensors_folder(path);
    status st =
        s->path && s->dir ? safetensors_lay_out(&f, &t, 1, meta, n_meta, &why) : STATUS_NOMEM;
    if (!st)
        st = stream_start(s, &f);
    if (st)
        return errmsg_set(e, st, "cannot write %s: %s", path, errmsg_text(&why, st));
    *out = TAKE(s);
    return STATUS_OK;
}

status nn_file_stream_put(struct nn_file_stream *s, uint64_t at, const float *v, size_t count,
                          struct errmsg *e)
{
    CHECK(at <= s->count && count <= s->count - at);
    status st = io_pwrite(s->fd, v, count * sizeof *v, s->data + (off_t)(at * sizeof *v));
    return st ? errmsg_set(e, st, "cannot write %s: %s", s->path, status_text(st)) : STATUS_OK;
}

status nn_file_stream_finish(struct nn_file_stream *s, struct errmsg *e)
{
    status st = io_sync(s->fd);
    if (!st)
        st = io_rename(AT_FDCWD, s->tmp, s->path);
    if (!st) {
        mem_free(TAKE(s->tmp));
        st = io_sync_dir(s->dir);
    }
    return st ? errmsg_set(e, st, "cannot write %s: %s", s->path, status_text(st)) : STATUS_OK;
}

void nn_file_stream_free(struct nn_file_stream *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    if (s->tmp)
        unlink(s->tmp);
    mem_free(s->tmp);
    mem_free(s->path);
    mem_free(s->dir);
    mem_free(s);
}
