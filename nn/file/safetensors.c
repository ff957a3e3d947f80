/*
 * safetensors, read.
 *
 *   byte 0        8   N, the header's length, little endian
 *   byte 8        N   header: one JSON object in UTF-8
 *                       name: {"dtype": "F32", "shape": [d, ...], "data_offsets": [begin, end]}
 *                       "__metadata__": {key: "string", ...}     (optional)
 *   byte 8+N      -   the tensors' bytes, little endian, rows first; offsets count from here
 *
 * Rules, all checked before any byte of a tensor is used: N <= HEADER_MAX and within the file; no
 * key twice; nothing in an entry but the three members; end - begin = elements * bytes of the
 * dtype; the tensors fill the rest of the file without hole or overlap. STATUS_CORRUPT when a rule
 * is broken; STATUS_UNSUPPORTED for what the format allows and we cannot hold: an unknown dtype,
 * more than NN_RANK_MAX dimensions, a dimension beyond an int.
 *
 * Data may stand at any address: nobody dereferences it as floats, nn_file_read_f32 copies. A file
 * that another process cuts short while it is mapped ends the reader with SIGBUS; weights are
 * replaced by rename (nn_file_save), never cut.
 */
#include "file/file.h"
#include "file/half.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are used as they lie in the file");

enum {
    HEADER_MAX = 64 << 20,
    MEMBERS_MAX = 4 << 20 /* JSON values in a header: 400 000 tensors */
};

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

/* ---- one entry of the header ---- */

static status bad(struct errmsg *e, const char *name, const char *why)
{
    return errmsg_set(e, STATUS_CORRUPT, "tensor \"%.200s\": %s", name, why);
}

static status unfit(struct errmsg *e, const char *name, const char *why)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "tensor \"%.200s\": %s", name, why);
}

/* Whether v is a whole number >= 0. */
static bool whole(const json_t *v, uint64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *out = (uint64_t)json_integer_value(v);
    return true;
}

static status read_shape(const char *name, const json_t *dims, struct nn_shape *out,
                         struct errmsg *e)
{
    if (!json_is_array(dims))
        return bad(e, name, "no shape");
    size_t rank = json_array_size(dims);
    struct nn_shape s = nn_shape1(1);
    if (rank > NN_RANK_MAX)
        return unfit(e, name, "more than 4 dimensions");
    if (rank > 0)
        s.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        uint64_t d;
        if (!whole(json_array_get(dims, i), &d))
            return bad(e, name, "a dimension is not a whole number");
        if (d > INT_MAX)
            return unfit(e, name, "a dimension is too large");
        s.dim[i] = (int)d;
    }
    *out = s;
    return STATUS_OK;
}

/* elements * size, or INT64_MAX when that is more than any file has. */
static uint64_t byte_count(struct nn_shape s, int size)
{
    int64_t n = size;
    for (int i = 0; i < s.rank; i++)
        if (__builtin_mul_overflow(n, (int64_t)s.dim[i], &n))
            return INT64_MAX;
    return (uint64_t)n;
}

static status read_tensor(const char *name, const json_t *v, uint64_t data_len,
                          struct file_tensor *out, struct errmsg *e)
{
    const json_t *dtype = json_object_get(v, "dtype"), *dims = json_object_get(v, "shape");
    const json_t *span = json_object_get(v, "data_offsets");
    if (!json_is_string(dtype) || !dims || json_object_size(v) != 3)
        return bad(e, name, "its entry is not {dtype, shape, data_offsets}");
    struct file_tensor q = {.t = {.name = name, .dtype = json_string_value(dtype)}};
    status st = read_shape(name, dims, &q.t.shape, e);
    if (st)
        return st;
    if (json_array_size(span) != 2 || !whole(json_array_get(span, 0), &q.begin) ||
        !whole(json_array_get(span, 1), &q.end) || q.begin > q.end || q.end > data_len)
        return bad(e, name, "its bytes are not inside the file");
    int size = file_dtype_bytes(q.t.dtype);
    if (!size)
        return unfit(e, name, "unknown dtype");
    if (q.end - q.begin != byte_count(q.t.shape, size))
        return bad(e, name, "its byte count does not fit its shape and dtype");
    q.t.bytes = (size_t)(q.end - q.begin);
    *out = q;
    return STATUS_OK;
}

/* ---- the whole header ---- */

int file_by_name(const void *a, const void *b)
{
    return strcmp(((const struct file_tensor *)a)->t.name, ((const struct file_tensor *)b)->t.name);
}

static int by_place(const void *a, const void *b)
{
    const struct file_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return file_by_name(a, b);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct nn_meta *)a)->key, ((const struct nn_meta *)b)->key);
}

static status read_meta(struct nn_file *f, json_t *meta, struct errmsg *e)
{
    const char *key;
    json_t *v;
    if (!json_is_object(meta))
        return errmsg_set(e, STATUS_CORRUPT, "__metadata__ is not an object");
    f->meta = mem_zalloc(json_object_size(meta), sizeof *f->meta);
    if (!f->meta)
        return STATUS_NOMEM;
    json_object_foreach(meta, key, v)
    {
        if (!json_is_string(v))
            return errmsg_set(e, STATUS_CORRUPT, "metadata \"%.200s\" is not a string", key);
        f->meta[f->n_meta++] = (struct nn_meta){key, json_string_value(v)};
    }
    qsort(f->meta, (size_t)f->n_meta, sizeof *f->meta, by_key);
    return STATUS_OK;
}

/* Neither hole nor overlap, from the first byte to the last. */
static status check_layout(struct nn_file *f, uint64_t data_len, struct errmsg *e)
{
    uint64_t at = 0;
    qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, by_place);
    for (int i = 0; i < f->count; i++) {
        if (f->tensors[i].begin != at)
            return bad(e, f->tensors[i].t.name,
                       f->tensors[i].begin < at ? "its bytes overlap another's"
                                                : "there are unused bytes before it");
        at = f->tensors[i].end;
    }
    if (at != data_len)
        return errmsg_set(e, STATUS_CORRUPT, "the file ends with unused bytes");
    return STATUS_OK;
}

static status read_header(struct nn_file *f, size_t data_at, struct errmsg *e)
{
    const char *name;
    json_t *v;
    uint64_t data_len = f->len - data_at;
    f->tensors = mem_zalloc(json_object_size(f->header), sizeof *f->tensors);
    if (!f->tensors)
        return STATUS_NOMEM;
    json_object_foreach(f->header, name, v)
    {
        status st;
        if (strcmp(name, "__metadata__") == 0)
            st = read_meta(f, v, e);
        else
            st = read_tensor(name, v, data_len, &f->tensors[f->count++], e);
        if (st)
            return st;
    }
    status st = check_layout(f, data_len, e);
    if (st)
        return st;
    for (int i = 0; i < f->count; i++)
        f->tensors[i].t.data = (const char *)f->map + data_at + f->tensors[i].begin;
    qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, file_by_name);
    return STATUS_OK;
}

/* Jansson builds a tree of everything; this bounds it, whatever the 64 MiB hold. */
static bool few_members(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    return n <= MEMBERS_MAX;
}

status file_parse_safetensors(struct nn_file *f, struct errmsg *e)
{
    const unsigned char *b = f->map;
    uint64_t n = 0;
    if (f->len < 8)
        return errmsg_set(e, STATUS_CORRUPT, "shorter than a safetensors file can be");
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)b[i] << (8 * i);
    if (n > f->len - 8 || n > HEADER_MAX)
        return errmsg_set(e, STATUS_CORRUPT, "not a safetensors file, or cut off in its header");
    const char *text = (const char *)b + 8;
    if (n == 0 || text[0] != '{' || !few_members(text, (size_t)n))
        return errmsg_set(e, STATUS_CORRUPT, "the header is not a JSON object of tensors");
    json_error_t err;
    f->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &err);
    if (!f->header && json_error_code(&err) == json_error_out_of_memory)
        return STATUS_NOMEM;
    if (!f->header)
        return errmsg_set(e, STATUS_CORRUPT, "the header is not valid JSON: %s", err.text);
    return read_header(f, (size_t)n + 8, e);
}

/* ---- opening ---- */

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

status nn_file_open(const char *path, struct nn_file **out, struct errmsg *e)
{
    return file_open(path, file_parse_safetensors, out, e);
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
