/*
 * What torch.save wrote, read (nn.h).
 *
 *   since 1.6   a ZIP archive, all members stored:  NAME/data.pkl  the object;  NAME/data/KEY  the
 *               bytes of a storage;  NAME/byteorder  (since 2.1)
 *   before      pickles one after the other: a magic number, a version, facts about the machine,
 *               the object, the keys of its storages in the order in which they follow: 8 bytes
 *               with their number of elements, and the bytes
 *
 * A tensor is a storage, an offset, sizes and strides. Where the strides are those of rows in order
 * the tensor's bytes are used as they lie in the file, otherwise they are copied into that order.
 *
 * A pickle may name one storage, one tensor or one dictionary any number of times, so a small file
 * can describe any number of tensors. Their total size, names included, is bounded by the file's
 * length (SHARED_MOST), and so is the cost of copying or reading all of them.
 * A storage's checksum is computed once (zip.h).
 */
#include "file/numpy_file.h"
#include "file/torch_values.h"
#include "file/zip.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum {
    DEPTH_MAX = 16,       /* of dictionaries in dictionaries */
    VISITS_MAX = 1 << 20, /* values walked: shared ones are walked again */
    SHARED_MOST = 4,      /* times the file's length: tied weights, averages that are the weights */
    SMALL_BYTES = 1 << 20, /* more than that: short names of many small tensors */
    LEGACY_VERSION = 1001,
    LEGACY_MAGIC_BYTES = 10
};
static const unsigned char legacy_magic[] = {
    0x8a, LEGACY_MAGIC_BYTES, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

/* Where storages are. */
struct storages {
    const struct nn_zip *zip; /* NULL: the old format */
    const char *top;          /* NAME/ */
    size_t top_len;
    struct storage {
        const struct pickle_value *key;
        const unsigned char *data; /* NULL: not in the list */
        uint64_t elements;
        int size; /* bytes of an element */
    } * old;      /* sorted by key */
    size_t n_old;
};

struct reader {
    struct nn_file *f;
    struct storages storages;
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

/* ---- storages ---- */

static const unsigned char *zip_storage(const struct storages *s, const struct pickle_value *key,
                                        uint64_t bytes)
{
    char name[256];
    int n = snprintf(name, sizeof name, "%.*sdata/%.*s", (int)s->top_len, s->top,
                     (int)(key->text.len < 100 ? key->text.len : 100), key->text.at);
    if (n < 0 || (size_t)n >= sizeof name || key->text.len > 100)
        return NULL;
    struct nn_zip_member *m = nn_zip_find(s->zip, name, (size_t)n);
    return m && m->bytes >= bytes && nn_zip_intact(m) ? m->data : NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct pickle_value *x = ((const struct storage *)a)->key;
    const struct pickle_value *y = ((const struct storage *)b)->key;
    size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    int order = memcmp(x->text.at, y->text.at, n);
    return order ? order : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static struct storage *old_storage(const struct storages *s, const struct pickle_value *key)
{
    struct storage want = {.key = key};
    return bsearch(&want, s->old, s->n_old, sizeof *s->old, by_key);
}

/* At least `elements` of `size` bytes; NULL: missing, too short or damaged. */
static const unsigned char *find_storage(const struct storages *s, const struct torch_storage *v,
                                         int size)
{
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)v->elements, (uint64_t)size, &bytes))
        return NULL;
    if (s->zip)
        return zip_storage(s, v->key, bytes);
    const struct storage *q = old_storage(s, v->key);
    return q && q->size == size && q->elements == (uint64_t)v->elements ? q->data : NULL;
}

/* ---- a tensor ---- */

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
    const unsigned char *data = find_storage(&r->storages, storage, (int)size);
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

static status read_object(struct nn_file *f, const struct storages *s,
                          const struct pickle_value *root, struct errmsg *e)
{
    struct reader r = {
        .f = f, .storages = *s, .budget = SMALL_BYTES + SHARED_MOST * (uint64_t)f->len, .e = e};
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

/* ---- since 1.6 ---- */

static bool ends_with(const struct nn_zip_member *m, const char *end)
{
    size_t n = strlen(end);
    return m->name_len >= n && memcmp(m->name + m->name_len - n, end, n) == 0;
}

static status read_zip(struct nn_file *f, const struct nn_zip *zip, struct errmsg *e)
{
    struct nn_zip_member *object = NULL;
    status st = nn_zip_all_stored(zip, e);
    if (st)
        return st;
    for (size_t i = 0; i < zip->count; i++) {
        if (!object && ends_with(&zip->member[i], "/data.pkl"))
            object = &zip->member[i];
        if (ends_with(&zip->member[i], "/byteorder") &&
            (zip->member[i].bytes != 6 || memcmp(zip->member[i].data, "little", 6) != 0))
            return errmsg_set(e, STATUS_UNSUPPORTED, "its numbers are not little-endian");
    }
    if (!object)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "a ZIP archive without data.pkl: not torch.save's");
    if (!nn_zip_intact(object))
        return errmsg_set(e, STATUS_CORRUPT, "the checksum of data.pkl is wrong");
    AUTO(pickle_free) struct pickle *p = NULL;
    size_t len;
    st = pickle_read(object->data, object->bytes, &torch_rules, &p, &len, e);
    struct storages s = {
        .zip = zip, .top = object->name, .top_len = object->name_len - strlen("data.pkl")};
    return st ? st : read_object(f, &s, pickle_root(p), e);
}

/* ---- before ---- */

struct legacy {
    struct pickle *version, *machine, *object, *keys;
    struct storages storages;
};

static void legacy_donep(struct legacy *l)
{
    pickle_free(l->version);
    pickle_free(l->machine);
    pickle_free(l->object);
    pickle_free(l->keys);
    mem_free(l->storages.old);
}

static status next_pickle(const struct nn_file *f, size_t *at, struct pickle **out,
                          struct errmsg *e)
{
    size_t len;
    status st =
        pickle_read((const unsigned char *)f->map + *at, f->len - *at, &torch_rules, out, &len, e);
    if (!st)
        *at += len;
    return st;
}

/* One of each key, from the object's pickle. */
static status list_storages(struct legacy *l, struct errmsg *e)
{
    const struct pickle_list *all = pickle_persistent(l->object);
    struct storages *s = &l->storages;
    s->old = mem_zalloc(all->n + 1, sizeof *s->old);
    if (!s->old)
        return STATUS_NOMEM;
    for (size_t i = 0; i < all->n; i++) {
        struct torch_storage storage;
        status st = torch_storage_read(all->at[i], &storage, e);
        if (st)
            return st;
        s->old[i] = (struct storage){.key = storage.key, .size = file_dtype_bytes(storage.dtype)};
    }
    qsort(s->old, all->n, sizeof *s->old, by_key);
    for (size_t i = 0; i < all->n; i++) {
        struct storage *last = s->n_old ? &s->old[s->n_old - 1] : NULL;
        if (!last || by_key(last, &s->old[i]) != 0)
            s->old[s->n_old++] = s->old[i];
        else if (last->size != s->old[i].size)
            return errmsg_set(e, STATUS_CORRUPT, "one storage has two types");
    }
    return STATUS_OK;
}

static status place_storages(const struct nn_file *f, size_t at, struct legacy *l, struct errmsg *e)
{
    const struct pickle_value *keys = pickle_root(l->keys);
    const unsigned char *data = f->map;
    if (keys->kind != PICKLE_LIST)
        return errmsg_set(e, STATUS_CORRUPT, "the list of storages is damaged");
    for (size_t i = 0; i < keys->list.n; i++) {
        const struct pickle_value *key = keys->list.at[i];
        struct storage *q = key->kind == PICKLE_TEXT ? old_storage(&l->storages, key) : NULL;
        uint64_t bytes;
        if (!q || q->data || f->len - at < 8)
            return errmsg_set(e, STATUS_CORRUPT, "the list of storages is damaged or cut off");
        memcpy(&q->elements, data + at, 8);
        at += 8;
        if (__builtin_mul_overflow(q->elements, (uint64_t)q->size, &bytes) || bytes > f->len - at)
            return errmsg_set(e, STATUS_CORRUPT, "the file is cut off in storage %zu of %zu", i + 1,
                              keys->list.n);
        q->data = data + at;
        at += (size_t)bytes;
    }
    return STATUS_OK;
}

static status read_legacy(struct nn_file *f, struct errmsg *e)
{
    __attribute__((cleanup(legacy_donep))) struct legacy l = {.version = NULL};
    size_t at = 2 + sizeof legacy_magic;
    status st = next_pickle(f, &at, &l.version, e);
    if (!st && (pickle_root(l.version)->kind != PICKLE_INT ||
                pickle_root(l.version)->whole != LEGACY_VERSION))
        st = errmsg_set(e, STATUS_UNSUPPORTED, "an unknown version of PyTorch's old format");
    if (!st)
        st = next_pickle(f, &at, &l.machine, e);
    if (!st)
        st = next_pickle(f, &at, &l.object, e);
    if (!st)
        st = next_pickle(f, &at, &l.keys, e);
    if (!st)
        st = list_storages(&l, e);
    if (!st)
        st = place_storages(f, at, &l, e);
    return st ? st : read_object(f, &l.storages, pickle_root(l.object), e);
}

/* ---- opening ---- */

static bool starts_with(const struct nn_file *f, const void *bytes, size_t n, size_t at)
{
    return f->len >= at + n && memcmp((const char *)f->map + at, bytes, n) == 0;
}

static status parse_zip(struct nn_file *f, struct errmsg *e)
{
    struct nn_zip z;
    status st = nn_zip_open(f->map, f->len, &z, e);
    if (st)
        return st;
    st = numpy_in_zip(&z) ? file_parse_npz(f, &z, e) : read_zip(f, &z, e);
    nn_zip_done(&z);
    return st;
}

static status parse_any(struct nn_file *f, struct errmsg *e)
{
    if (starts_with(f, "PK\3\4", 4, 0))
        return parse_zip(f, e);
    if (starts_with(f, legacy_magic, sizeof legacy_magic, 2))
        return read_legacy(f, e);
    if (starts_with(f, numpy_magic, sizeof numpy_magic, 0))
        return file_parse_npy(f, e);
    return file_parse_safetensors(f, e);
}

status nn_file_open_any(const char *path, struct nn_file **out, struct errmsg *e)
{
    return file_open(path, parse_any, out, e);
}
