/*
 * What all formats share: the mapping, the list of tensors, their numbers as floats.
 *
 * A tensor's data may be unaligned: it is never read as floats in place, nn_file_read_f32 copies. A
 * file that another process truncates while it is mapped kills the reader with SIGBUS; weights are
 * replaced by rename (nn_file_save), never truncated.
 */
#include "file/file.h"
#include "file/half.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are used as they lie in the file");

static const struct {
    const char *name;
    int bytes;
} dtypes[] = {
    {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},
    {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
    {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};

int file_dtype_bytes(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return dtypes[i].bytes;
    return 0;
}

int file_by_name(const void *a, const void *b)
{
    return strcmp(((const struct file_tensor *)a)->t.name, ((const struct file_tensor *)b)->t.name);
}

static status map_file(const char *path, struct nn_file *f)
{
    AUTO(fd_close) int fd = -1;
    struct stat sb;
    status st = io_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd);
    if (st)
        return st;
    if (fstat(fd, &sb) < 0)
        return status_from_errno(errno);
    if (!S_ISREG(sb.st_mode))
        return STATUS_INVALID;
    f->len = (size_t)sb.st_size;
    if (f->len == 0) /* cannot be mapped; the parser says what is wrong */
        return STATUS_OK;
    void *map = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return status_from_errno(errno);
    f->map = map;
    return STATUS_OK;
}

status file_open(const char *path, file_parse *parse, struct nn_file **out, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = mem_zalloc(1, sizeof *f);
    struct errmsg why = {""};
    if (!f)
        return errmsg_set(e, STATUS_NOMEM, "cannot read %s: out of memory", path);
    status st = map_file(path, f);
    if (!st)
        st = parse(f, &why);
    if (st)
        return errmsg_set(e, st, "cannot read %s: %s", path, errmsg_text(&why, st));
    *out = TAKE(f);
    return STATUS_OK;
}

void nn_file_close(struct nn_file *f)
{
    if (!f)
        return;
    if (f->map)
        munmap(f->map, f->len);
    json_decref(f->header);
    for (int i = 0; i < f->n_owned; i++)
        mem_free(f->owned[i]);
    mem_free(f->owned);
    mem_free(f->tensors);
    mem_free(f->meta);
    mem_free(f);
}

/* ---- asking ---- */

int nn_file_count(const struct nn_file *f)
{
    return f->count;
}

const struct nn_file_tensor *nn_file_at(const struct nn_file *f, int i)
{
    return i >= 0 && i < f->count ? &f->tensors[i].t : NULL;
}

const struct nn_file_tensor *nn_file_find(const struct nn_file *f, const char *name)
{
    struct file_tensor key = {.t.name = name};
    const struct file_tensor *q =
        bsearch(&key, f->tensors, (size_t)f->count, sizeof *f->tensors, file_by_name);
    return q ? &q->t : NULL;
}

const char *nn_file_meta(const struct nn_file *f, const char *key)
{
    for (int i = 0; i < f->n_meta; i++)
        if (strcmp(f->meta[i].key, key) == 0)
            return f->meta[i].value;
    return NULL;
}

int nn_file_meta_count(const struct nn_file *f)
{
    return f->n_meta;
}

struct nn_meta nn_file_meta_at(const struct nn_file *f, int i)
{
    return i >= 0 && i < f->n_meta ? f->meta[i] : (struct nn_meta){NULL, NULL};
}

status nn_file_digest(const struct nn_file *f, struct digest *out)
{
    return digest_sha256(&(struct digest_part){f->map, f->len}, 1, out);
}

bool file_holds_floats(const struct nn_file_tensor *t)
{
    static const char *const names[] = {"F32", "F16", "BF16", "F64"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(t->dtype, names[i]) == 0)
            return true;
    return false;
}

static double f64_at(const struct nn_file_tensor *t, size_t i)
{
    double v;
    memcpy(&v, (const char *)t->data + i * sizeof v, sizeof v);
    return v;
}

bool file_fits_f32(const struct nn_file_tensor *t)
{
    size_t n = strcmp(t->dtype, "F64") == 0 ? t->bytes / sizeof(double) : 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(f64_at(t, i)) && !isfinite((float)f64_at(t, i)))
            return false;
    return true;
}

static status read_f64(const struct nn_file_tensor *t, float *out, size_t count)
{
    if (!file_fits_f32(t))
        return STATUS_LIMIT;
    for (size_t i = 0; i < count; i++)
        out[i] = (float)f64_at(t, i);
    return STATUS_OK;
}

status nn_file_read_f32(const struct nn_file_tensor *t, float *out, size_t count)
{
    if ((uint64_t)nn_shape_count(t->shape) != count)
        return STATUS_INVALID;
    if (strcmp(t->dtype, "F64") == 0)
        return read_f64(t, out, count);
    if (strcmp(t->dtype, "F32") == 0) {
        memcpy(out, t->data, count * sizeof *out);
        return STATUS_OK;
    }
    bool brain = strcmp(t->dtype, "BF16") == 0;
    if (!brain && strcmp(t->dtype, "F16") != 0)
        return STATUS_UNSUPPORTED;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, (const char *)t->data + 2 * i, sizeof bits);
        out[i] = brain ? nn_from_bf16(bits) : nn_from_f16(bits);
    }
    return STATUS_OK;
}
