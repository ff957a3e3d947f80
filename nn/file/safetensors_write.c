/*
 * safetensors, written. The same tensors and metadata give the same bytes, in whatever order they
 * come: names and keys sorted in the header, F32 data before F16 (so that each stays aligned), each
 * by name. The header is padded with spaces to a multiple of 8, as other writers do, so that data
 * is aligned.
 */
#include "file/safetensors_write.h"
#include "file/half.h"

#include <fcntl.h>
#include <string.h>

enum { CHUNK = 1 << 14 }; /* halves converted at a time */

void safetensors_out_donep(struct safetensors_out *f)
{
    json_decref(f->header);
    free(f->text);
    mem_free(f->items);
}

static int by_place(const void *a, const void *b)
{
    const struct nn_save_tensor *x = ((const struct safetensors_item *)a)->t,
                                *y = ((const struct safetensors_item *)b)->t;
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

static json_t *describe(const struct safetensors_item *item)
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

status safetensors_lay_out(struct safetensors_out *f, const struct nn_save_tensor *tensors, int n,
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
        struct safetensors_item *item = &f->items[i];
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

status safetensors_write_header(int fd, const char *text)
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

static status write_temporary(const struct safetensors_out *f, int n, const char *tmp,
                              const char *path)
{
    AUTO(fd_close) int fd = -1;
    status st = io_open(AT_FDCWD, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd);
    if (!st)
        st = safetensors_write_header(fd, f->text);
    for (int i = 0; !st && i < n; i++)
        st = write_tensor(fd, f->items[i].t);
    if (!st)
        st = io_sync(fd);
    return st ? st : io_rename(AT_FDCWD, tmp, path);
}

char *safetensors_temporary(const char *path)
{
    return mem_printf("%s.tmp.%ld", path, (long)getpid());
}

/* The folder of path; made before anything is written, so that only the disk can fail after. */
char *safetensors_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_printf("%.*s", (int)(slash - path), path);
}

static status save(struct safetensors_out *f, int n, const char *path)
{
    AUTO(mem_free) char *tmp = safetensors_temporary(path);
    AUTO(mem_free) char *dir = safetensors_folder(path);
    if (!tmp || !dir)
        return STATUS_NOMEM;
    status st = write_temporary(f, n, tmp, path);
    if (st) {
        unlink(tmp);
        return st;
    }
    return io_sync_dir(dir);
}

status nn_file_save(const char *path, const struct nn_save_tensor *tensors, int n,
                    const struct nn_meta *meta, int n_meta, struct errmsg *e)
{
    __attribute__((cleanup(safetensors_out_donep))) struct safetensors_out f = {NULL, NULL, NULL};
    struct errmsg why = {""};
    status st = safetensors_lay_out(&f, tensors, n, meta, n_meta, &why);
    if (!st)
        st = save(&f, n, path);
    return st ? errmsg_set(e, st, "cannot write %s: %s", path, errmsg_text(&why, st)) : STATUS_OK;
}
