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
 */
#include "file/file.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>

enum {
    HEADER_MAX = 64 << 20,
    MEMBERS_MAX = 4 << 20 /* JSON values in a header: 400 000 tensors */
};

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

status nn_file_open(const char *path, struct nn_file **out, struct errmsg *e)
{
    return file_open(path, file_parse_safetensors, out, e);
}
