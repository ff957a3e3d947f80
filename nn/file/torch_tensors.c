/*
 * A tensor is a storage, an offset, sizes and strides. Where the strides are those of rows in order
 * the tensor's bytes are used as they lie in the file, otherwise they are copied into that order.
 *
 * A pickle may name one storage, one tensor or one dictionary any number of times, so a small file
 * can describe any number of tensors. Their total size, names included, is bounded by the file's
 * length (SHARED_MAX), and so is the cost of copying or reading all of them.
 * A storage's checksum is computed once (zip.h).
 */
#include "file/torch_tensors.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum {
    DEPTH_MAX = 16,       /* of dictionaries in dictionaries */
    VISITS_MAX = 1 << 20, /* values walked: shared ones are walked again */
    SHARED_MAX = 4,       /* times the file's length: tied weights, averages that are the weights */
    SMALL_BYTES = 1 << 20, /* more than that: short names of many small tensors */
};

struct reader {
    struct nn_file *f;
    struct torch_bytes bytes;
    const struct pickle_value *path[DEPTH_MAX]; /* keys; NULL: the number beside it */
    size_t index[DEPTH_MAX];
    int depth;
    int cap_tensors, visits;
    uint64_t budget; /* bytes that further tensors and names may take */
    struct errmsg *e;
};

static status own(struct nn_file *f, void *p)
{
    if (f->n_owned == f->cap_owned) {
        int cap = f->cap_owned ? 2 * f->cap_owned : 64;
        void **more = mem_realloc(f->owned, (size_t)cap * sizeof *more);
        if (!more) {
            mem_free(p);
            return STATUS_NOMEM;
        }
        f->owned = more, f->cap_owned = cap;
    }
    f->owned[f->n_owned++] = p;
    return p ? STATUS_OK : STATUS_NOMEM;
}

/* The keys on the way, joined with dots. */
static char *path_text(const struct reader *r)
{
    struct buf b = BUF_INIT(1 << 16);
    bool ok = true;
    for (int i = 0; ok && i < r->depth; i++) {
        const struct pickle_value *k = r->path[i];
        ok = i == 0 || buf_addf(&b, ".") == STATUS_OK;
        if (ok && k && k->kind == PICKLE_TEXT)
            ok = buf_addf(&b, "%.*s", (int)(k->text.len < 1000 ? k->text.len : 1000), k->text.at) ==
                 STATUS_OK;
        else if (ok)
            ok = buf_addf(&b, "%" PRId64, k ? k->whole : (int64_t)r->index[i]) == STATUS_OK;
    }
    char *text = ok ? mem_strdup(b.data ? b.data : "") : NULL;
    buf_done(&b);
    return text;
}

struct view {
    struct nn_shape shape;
    int64_t stride[NN_RANK_MAX];
    int64_t offset, elements;
    bool in_order;
};

static status unfit(struct reader *r, const char *name, status st, const char *why)
{
    return errmsg_set(r->e, st, "tensor \"%.200s\": %s", name, why);
}

static status read_view(struct reader *r, const char *name, const struct torch_tensor *t,
                        struct view *out)
{
    const struct pickle_list *size = t->size, *stride = t->stride;
    struct view v = {.shape = nn_shape1(1), .offset = t->offset, .elements = 1};
    if (size->n > NN_RANK_MAX)
        return unfit(r, name, STATUS_UNSUPPORTED, "more than 4 dimensions");
    if (size->n != stride->n || v.offset < 0)
        return unfit(r, name, STATUS_CORRUPT, "its sizes and strides do not fit");
    if (size->n)
        v.shape.rank = (int)size->n;
    for (size_t i = 0; i < size->n; i++) {
        const struct pickle_value *d = size->at[i], *s = stride->at[i];
        if (d->kind != PICKLE_INT || s->kind != PICKLE_INT || d->whole < 0 || s->whole < 0)
            return unfit(r, name, STATUS_CORRUPT, "a size or stride is no number");
        if (d->whole > INT_MAX || __builtin_mul_overflow(v.elements, d->whole, &v.elements))
            return unfit(r, name, STATUS_UNSUPPORTED, "too large");
        v.shape.dim[i] = (int)d->whole;
        v.stride[i] = s->whole;
    }
    int64_t next = 1;
    v.in_order = true;
    for (size_t i = size->n; i-- > 0; next *= v.shape.dim[i])
        v.in_order &= v.shape.dim[i] == 1 || v.stride[i] == next;
    v.in_order |= v.elements == 0;
    *out = v;
    return STATUS_OK;
}

/* Whether the view's last element is inside the storage, and no more are seen than there are (an
   expanded view would let a small file ask for any amount of memory). */
static bool inside(const struct view *v, int64_t elements)
{
    int64_t last = v->offset, way;
    if (v->elements == 0)
        return true;
    for (int i = 0; i < v->shape.rank; i++)
        if (__builtin_mul_overflow((int64_t)v->shape.dim[i] - 1, v->stride[i], &way) ||
            __builtin_add_overflow(last, way, &last))
            return false;
    return last < elements && v->elements <= elements;
}

static void copy_in_order(const struct view *v, const unsigned char *from, size_t size,
                          unsigned char *to)
{
    int at[NN_RANK_MAX] = {0};
    for (int64_t n = 0; n < v->elements; n++, to += size) {
        int64_t place = v->offset;
        for (int i = 0; i < v->shape.rank; i++)
            place += at[i] * v->stride[i];
        memcpy(to, from + (size_t)place * size, size);
        for (int i = v->shape.rank - 1; i >= 0 && ++at[i] == v->shape.dim[i]; i--)
            at[i] = 0;
    }
}

/* Charges what one tensor holds to the file's budget. */
static status charge(struct reader *r, const char *name, uint64_t bytes)
{
    if (bytes > r->budget)
        return unfit(r, name, STATUS_LIMIT,
                     "the tensors up to this one hold far more than the file does");
    r->budget -= bytes;
    return STATUS_OK;
}

static status lay_out(struct reader *r, const struct pickle_value *t, struct nn_file_tensor *out)
{
    struct torch_tensor tensor;
    struct view v = {.in_order = true};
    status st = torch_tensor_read(t, &tensor, r->e);
    if (!st)
        st = read_view(r, out->name, &tensor, &v);
    if (st)
        return st;
    const struct torch_storage *storage = &tensor.storage;
    size_t size = (size_t)file_dtype_bytes(storage->dtype);
    const unsigned char *data = torch_bytes_find(&r->bytes, storage, (int)size);
    if (!data)
        return unfit(r, out->name, STATUS_CORRUPT, "its bytes are missing, cut off or damaged");
    if (!inside(&v, storage->elements))
        return unfit(r, out->name, STATUS_CORRUPT, "it reaches beyond its storage");
    out->dtype = storage->dtype;
    out->shape = v.shape;
    out->bytes = (size_t)v.elements * size;
    out->data = data + (v.elements ? (size_t)v.offset * size : 0);
    st = charge(r, out->name, out->bytes);
    if (st || v.in_order)
        return st;
    void *copy = mem_alloc(out->bytes);
    if (copy)
        copy_in_order(&v, data, size, copy);
    out->data = copy;
    return own(r->f, copy);
}

static status add_tensor(struct reader *r, const struct pickle_value *t)
{
    struct nn_file *f = r->f;
    if (f->count == r->cap_tensors) {
        int cap = r->cap_tensors ? 2 * r->cap_tensors : 256;
        void *more = mem_realloc(f->tensors, (size_t)cap * sizeof *f->tensors);
        if (!more)
            return STATUS_NOMEM;
        f->tensors = more, r->cap_tensors = cap;
    }
    char *name = path_text(r);
    status st = own(f, name);
    if (st)
        return st;
    struct file_tensor q = {.t = {.name = name}};
    st = charge(r, name, strlen(name) + sizeof q);
    if (!st)
        st = lay_out(r, t, &q.t);
    if (!st)
        f->tensors[f->count++] = q;
    return st;
}

/* ---- the object ---- */

static status walk(struct reader *r, const struct pickle_value *v);

static status walk_item(struct reader *r, const struct pickle_value *key, size_t index,
                        const struct pickle_value *v)
{
    if (r->depth == DEPTH_MAX)
        return errmsg_set(r->e, STATUS_UNSUPPORTED, "dictionaries are nested more than %d deep",
                          DEPTH_MAX);
    r->path[r->depth] = key;
    r->index[r->depth++] = index;
    status st = walk(r, v);
    r->depth--;
    return st;
}

/* Everything that is no tensor is passed over: numbers of epochs, learning rates. */
static status walk(struct reader *r, const struct pickle_value *v)
{
    status st = STATUS_OK;
    if (++r->visits > VISITS_MAX)
        return errmsg_set(r->e, STATUS_UNSUPPORTED, "more than %d values", VISITS_MAX);
    if (torch_is_tensor(v))
        return add_tensor(r, v);
    if (v->kind == PICKLE_DICT)
        for (size_t i = 0; !st && i + 1 < v->list.n; i += 2) {
            const struct pickle_value *k = v->list.at[i];
            if (k->kind == PICKLE_TEXT || k->kind == PICKLE_INT)
                st = walk_item(r, k, 0, v->list.at[i + 1]);
        }
    if (v->kind == PICKLE_LIST || v->kind == PICKLE_TUPLE)
        for (size_t i = 0; !st && i < v->list.n; i++)
            st = walk_item(r, NULL, i, v->list.at[i]);
    return st;
}

status torch_tensors_read(struct nn_file *f, const struct torch_bytes *s,
                          const struct pickle_value *root, struct errmsg *e)
{
    struct reader r = {
        .f = f, .bytes = *s, .budget = SMALL_BYTES + SHARED_MAX * (uint64_t)f->len, .e = e};
    status st = walk(&r, root);
    if (!st && f->count == 0)
        st = errmsg_set(e, STATUS_UNSUPPORTED, "it holds no tensors");
    if (st)
        return st;
    qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, file_by_name);
    for (int i = 1; i < f->count; i++)
        if (file_by_name(&f->tensors[i - 1], &f->tensors[i]) == 0)
            return unfit(&r, f->tensors[i].t.name, STATUS_UNSUPPORTED, "its name is there twice");
    return STATUS_OK;
}
