/*
 * safetensors, written. The same tensors and metadata give the same bytes, in whatever order they
 * come: names and keys sorted in the header, F32 data before F16 (so that each stays aligned), each
 * by name. The header is padded with spaces to a multiple of 8, as other writers do, so that data
 * is aligned.
 */
#include "file/half.h"
#include "nn/nn.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

enum { CHUNK = 1 << 14 }; /* halves converted at a time */

struct item {
    const struct nn_save_tensor *t;
    uint64_t begin, end;
};

struct out_file {
    json_t *header;
    char *text; /* from Jansson's malloc */
    struct item *items;
};

static void out_file_donep(struct out_file *f)
{
    json_decref(f->header);
    free(f->text);
    mem_free(f->items);
}

static int by_place(const void *a, const void *b)
{
    const struct nn_save_tensor *x = ((const struct item *)a)->t, *y = ((const struct item *)b)->t;
    return x->half != y->half ? x->half - y->half : strcmp(x->name, y->name);
}

/* Adds key: v to o and owns v, whatever happens. */
static status put(json_t *o, const char *key, json_t *v, struct errmsg *e)
{
    if (!v)
        return errmsg_set(e, STATUS_INVALID, "\"%.200s\" is not UTF-8, or memory is short", key);
    if (json_object_get(o, key)) {
        json_decref(v);
        return errmsg_set(e, STATUS_INVALID, "\"%.200s\" is given twice", key);
    }
    if (json_object_set_new(o, key, v) < 0)
        return errmsg_set(e, STATUS_INVALID, "\"%.200s\" is not UTF-8, or memory is short", key);
    return STATUS_OK;
}

static json_t *describe(const struct item *item)
{
    json_t *dims = json_array();
    for (int i = 0; i < item->t->shape.rank; i++)
        if (json_array_append_new(dims, json_integer(item->t->shape.dim[i])) < 0) {
            json_decref(dims);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", item->t->half ? "F16" : "F32", "shape", dims,
                     "data_offsets", (json_int_t)item->begin, (json_int_t)item->end);
}

static status describe_meta(json_t *header, const struct nn_meta *meta, int n, struct errmsg *e)
{
    if (n == 0)
        return STATUS_OK;
    json_t *o = json_object();
    status st = put(header, "__metadata__", o, e);
    for (int i = 0; !st && i < n; i++)
        st = put(o, meta[i].key, json_string(meta[i].value), e);
    return st;
}

/* Places the tensors and makes the header's text. */
static status lay_out(struct out_file *f, const struct nn_save_tensor *tensors, int n,
                      const struct nn_meta *meta, int n_meta, struct errmsg *e)
{
    f->items = mem_zalloc((size_t)n, sizeof *f->items);
    f->header = json_object();
    if (!f->items || !f->header)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        f->items[i].t = &tensors[i];
    qsort(f->items, (size_t)n, sizeof *f->items, by_place);
    status st = describe_meta(f->header, meta, n_meta, e);
    uint64_t at = 0;
    for (int i = 0; !st && i < n; i++) {
        struct item *item = &f->items[i];
        if (item->t->shape.rank < 1 || strcmp(item->t->name, "__metadata__") == 0)
            return errmsg_set(e, STATUS_INVALID, "\"%.200s\" cannot be stored", item->t->name);
        item->begin = at;
        at += (uint64_t)nn_shape_count(item->t->shape) * (item->t->half ? 2 : 4);
        item->end = at;
        st = put(f->header, item->t->name, describe(item), e);
    }
    if (st)
        return st;
    f->text = json_dumps(f->header, JSON_COMPACT | JSON_SORT_KEYS);
    return f->text ? STATUS_OK : STATUS_NOMEM;
}

/* ---- bytes ---- */

static status write_header(int fd, const char *text)
{
    size_t len = strlen(text), padded = (len + 7) & ~(size_t)7;
    unsigned char size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    status st = io_write(fd, size, sizeof size);
    if (!st)
        st = io_write(fd, text, len);
    return st ? st : io_write(fd, "       ", padded - len);
}

static status write_half(int fd, const float *v, size_t n)
{
    uint16_t chunk[CHUNK];
    status st = STATUS_OK;
    for (size_t at = 0; !st && at < n; at += CHUNK) {
        size_t count = n - at < CHUNK ? n - at : CHUNK;
        for (size_t i = 0; i < count; i++)
            chunk[i] = nn_to_f16(v[at + i]);
        st = io_write(fd, chunk, count * sizeof *chunk);
    }
    return st;
}

static status write_tensor(int fd, const struct nn_save_tensor *t)
{
    size_t n = (size_t)nn_shape_count(t->shape);
    return t->half ? write_half(fd, t->data, n) : io_write(fd, t->data, n * sizeof(float));
}

static status write_aside(const struct out_file *f, int n, const char *tmp, const char *path)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(AT_FDCWD, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd);
    if (!st)
        st = write_header(fd, f->text);
    for (int i = 0; !st && i < n; i++)
        st = write_tensor(fd, f->items[i].t);
    if (!st)
        st = io_sync(fd);
    return st ? st : io_rename(AT_FDCWD, tmp, path);
}

static char *aside(const char *path)
{
    return mem_printf("%s.tmp.%ld", path, (long)getpid());
}

/* The folder of path; made before anything is written, so that only the disk can fail after. */
static char *folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_printf("%.*s", (int)(slash - path), path);
}

static status save(struct out_file *f, int n, const char *path)
{
    AUTO(mem_free) char *tmp = aside(path);
    AUTO(mem_free) char *dir = folder(path);
    if (!tmp || !dir)
        return STATUS_NOMEM;
    status st = write_aside(f, n, tmp, path);
    if (st) {
        unlink(tmp);
        return st;
    }
    return io_sync_dir(dir);
}

status nn_file_save(const char *path, const struct nn_save_tensor *tensors, int n,
                    const struct nn_meta *meta, int n_meta, struct errmsg *e)
{
    __attribute__((cleanup(out_file_donep))) struct out_file f = {NULL, NULL, NULL};
    struct errmsg why = {""};
    status st = lay_out(&f, tensors, n, meta, n_meta, &why);
    if (!st)
        st = save(&f, n, path);
    return st ? errmsg_set(e, st, "cannot write %s: %s", path, errmsg_text(&why, st)) : STATUS_OK;
}

/* ---- a tensor that comes in parts ---- */

struct nn_file_stream {
    char *path, *dir;
    char *tmp; /* NULL: there is no file to remove */
    int fd;
    off_t data; /* where the tensor begins */
    uint64_t count;
};

static status stream_start(struct nn_file_stream *s, const struct out_file *f)
{
    AUTO(mem_free) char *tmp = aside(s->path);
    if (!tmp)
        return STATUS_NOMEM;
    status st = io_open(AT_FDCWD, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666, &s->fd);
    if (st)
        return st;
    s->tmp = TAKE(tmp);
    s->data = (off_t)(8 + ((strlen(f->text) + 7) & ~(size_t)7));
    st = write_header(s->fd, f->text);
    if (!st && ftruncate(s->fd, s->data + (off_t)(s->count * sizeof(float))) < 0)
        st = status_from_errno(errno);
    return st;
}

status nn_file_stream_new(const char *path, const char *name, struct nn_shape shape,
                          const struct nn_meta *meta, int n_meta, struct nn_file_stream **out,
                          struct errmsg *e)
{
    __attribute__((cleanup(out_file_donep))) struct out_file f = {NULL, NULL, NULL};
    const struct nn_save_tensor t = {name, shape, NULL, false};
    struct errmsg why = {""};
    AUTO(nn_file_stream_free) struct nn_file_stream *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->fd = -1;
    s->count = (uint64_t)nn_shape_count(shape);
    s->path = mem_strdup(path);
    s->dir = folder(path);
    status st = s->path && s->dir ? lay_out(&f, &t, 1, meta, n_meta, &why) : STATUS_NOMEM;
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
