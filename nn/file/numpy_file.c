/* Arrays that numpy wrote as tensors: the header is base/npy.h's. */
#include "file/numpy_file.h"

#include <limits.h>
#include <string.h>

static const uint64_t INFLATED_MAX = (uint64_t)2 << 30;

static const struct {
    const char *numpy, *dtype;
} types[] = {{"<f4", "F32"}, {"<f8", "F64"}, {"<f2", "F16"}, {"|u1", "U8"},  {"|i1", "I8"},
             {"<i2", "I16"}, {"<i4", "I32"}, {"<i8", "I64"}, {"<u2", "U16"}, {"|b1", "BOOL"}};

/* NULL: none that is read. */
static const char *dtype_of(const char *numpy)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].numpy, numpy) == 0)
            return types[i].dtype;
    return NULL;
}

/* False: it has too many axes, or too long ones. A single number has one. */
static bool shape_of(const struct npy_header *h, struct nn_shape *out)
{
    if (h->rank > NN_RANK_MAX)
        return false;
    *out = nn_shape1(1);
    out->rank = h->rank ? h->rank : 1;
    for (int i = 0; i < h->rank; i++) {
        if (h->dim[i] > INT_MAX)
            return false;
        out->dim[i] = (int)h->dim[i];
    }
    return true;
}

static status read_array(const unsigned char *data, size_t len, struct nn_file_tensor *out,
                         struct errmsg *e)
{
    struct npy_header h;
    struct errmsg why = {""};
    status st = npy_parse(data, len, &h, &why);
    if (st)
        return errmsg_set(e, st, "array \"%.200s\": %s", out->name, errmsg_text(&why, st));
    const char *dtype = dtype_of(h.type);
    bool fits = shape_of(&h, &out->shape);
    if (!dtype || !fits || h.fortran)
        return errmsg_set(e, STATUS_UNSUPPORTED, "array \"%.200s\": %s", out->name,
                          !dtype ? "its numbers are of a type that is not read"
                          : h.fortran
                              ? "its columns come first (save numpy.ascontiguousarray of it)"
                              : "it has more than 4 dimensions, or one is too large");
    uint64_t bytes = npy_count(&h), held = len - h.data_at;
    if (__builtin_mul_overflow(bytes, (uint64_t)file_dtype_bytes(dtype), &bytes))
        bytes = UINT64_MAX;
    if (bytes != held)
        return errmsg_set(e, STATUS_CORRUPT,
                          "array \"%.200s\" has %llu bytes where its shape says %llu", out->name,
                          (unsigned long long)held, (unsigned long long)bytes);
    out->dtype = dtype;
    out->data = data + h.data_at;
    out->bytes = (size_t)bytes;
    return STATUS_OK;
}

/* Reserves memory for n tensors and their names. */
static status reserve(struct nn_file *f, size_t n)
{
    f->owned = mem_zalloc(2 * n + 1, sizeof *f->owned); /* a name, and bytes that were deflated */
    f->tensors = mem_zalloc(n + 1, sizeof *f->tensors);
    f->cap_owned = (int)(2 * n + 1);
    return f->owned && f->tensors ? STATUS_OK : STATUS_NOMEM;
}

static status add_array(struct nn_file *f, const char *name, size_t name_len,
                        const unsigned char *data, size_t len, struct errmsg *e)
{
    char *copy = mem_printf("%.*s", (int)name_len, name);
    if (!copy)
        return STATUS_NOMEM;
    f->owned[f->n_owned++] = copy;
    struct file_tensor *t = &f->tensors[f->count];
    t->t.name = copy;
    status st = read_array(data, len, &t->t, e);
    if (!st)
        f->count++;
    return st;
}

status file_parse_npy(struct nn_file *f, struct errmsg *e)
{
    status st = reserve(f, 1);
    return st ? st : add_array(f, "array", strlen("array"), f->map, f->len, e);
}

static bool is_npy(const struct nn_zip_member *m)
{
    return m->name_len > 4 && m->name_len < 1000 &&
           memcmp(m->name + m->name_len - 4, ".npy", 4) == 0;
}

bool numpy_in_zip(const struct nn_zip *zip)
{
    for (size_t i = 0; i < zip->count; i++)
        if (is_npy(&zip->member[i]))
            return true;
    return false;
}

static status add_member(struct nn_file *f, struct nn_zip_member *m, struct errmsg *e)
{
    if (!m->deflated && !nn_zip_intact(m))
        return errmsg_set(e, STATUS_CORRUPT, "the checksum of %.*s is wrong", (int)m->name_len,
                          m->name);
    const void *data = m->data;
    if (m->deflated) {
        void **own = &f->owned[f->n_owned];
        status st = nn_zip_inflate(m, own, e);
        if (st)
            return st;
        f->n_owned++;
        data = *own;
    }
    return add_array(f, m->name, m->name_len - 4, data, m->bytes, e);
}

/* A small file may hold many zeros: what it may become is bounded all the same. */
static status count_members(const struct nn_zip *zip, size_t *out, struct errmsg *e)
{
    uint64_t bytes = 0;
    size_t n = 0;
    for (size_t i = 0; i < zip->count; i++) {
        if (!is_npy(&zip->member[i]))
            continue;
        n++;
        bytes += zip->member[i].deflated ? zip->member[i].bytes : 0;
        if (bytes > INFLATED_MAX || n >= INT_MAX / 2)
            return errmsg_set(e, STATUS_LIMIT,
                              "its arrays take more than %llu MiB when they are decompressed (use "
                              "numpy.savez, which does not compress)",
                              (unsigned long long)INFLATED_MAX >> 20);
    }
    *out = n;
    return STATUS_OK;
}

status file_parse_npz(struct nn_file *f, const struct nn_zip *zip, struct errmsg *e)
{
    size_t n = 0;
    status st = count_members(zip, &n, e);
    if (!st)
        st = reserve(f, n);
    for (size_t i = 0; i < zip->count && !st; i++)
        if (is_npy(&zip->member[i]))
            st = add_member(f, &zip->member[i], e);
    if (st)
        return st;
    qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, file_by_name);
    for (int i = 1; i < f->count; i++)
        if (file_by_name(&f->tensors[i - 1], &f->tensors[i]) == 0)
            return errmsg_set(e, STATUS_UNSUPPORTED, "two arrays are called \"%.200s\"",
                              f->tensors[i].t.name);
    return STATUS_OK;
}
