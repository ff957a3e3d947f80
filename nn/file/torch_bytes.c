#include "file/torch_bytes.h"

#include <stdio.h>
#include <string.h>

static const unsigned char *zip_storage(const struct torch_bytes *s, const struct pickle_value *key,
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
    const struct pickle_value *x = ((const struct torch_listed *)a)->key;
    const struct pickle_value *y = ((const struct torch_listed *)b)->key;
    size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    int order = memcmp(x->text.at, y->text.at, n);
    return order ? order : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static struct torch_listed *listed(const struct torch_bytes *s, const struct pickle_value *key)
{
    struct torch_listed want = {.key = key};
    return bsearch(&want, s->list, s->n, sizeof *s->list, by_key);
}

const unsigned char *torch_bytes_find(const struct torch_bytes *s, const struct torch_storage *v,
                                      int size)
{
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)v->elements, (uint64_t)size, &bytes))
        return NULL;
    if (s->zip)
        return zip_storage(s, v->key, bytes);
    const struct torch_listed *q = listed(s, v->key);
    return q && q->size == size && q->elements == (uint64_t)v->elements ? q->data : NULL;
}

status torch_bytes_list(struct torch_bytes *s, const struct pickle *object, struct errmsg *e)
{
    const struct pickle_list *all = pickle_persistent(object);
    s->list = mem_zalloc(all->n + 1, sizeof *s->list);
    if (!s->list)
        return STATUS_NOMEM;
    for (size_t i = 0; i < all->n; i++) {
        struct torch_storage storage;
        status st = torch_storage_read(all->at[i], &storage, e);
        if (st)
            return st;
        s->list[i] =
            (struct torch_listed){.key = storage.key, .size = file_dtype_bytes(storage.dtype)};
    }
    qsort(s->list, all->n, sizeof *s->list, by_key);
    for (size_t i = 0; i < all->n; i++) {
        struct torch_listed *last = s->n ? &s->list[s->n - 1] : NULL;
        if (!last || by_key(last, &s->list[i]) != 0)
            s->list[s->n++] = s->list[i];
        else if (last->size != s->list[i].size)
            return errmsg_set(e, STATUS_CORRUPT, "one storage has two types");
    }
    return STATUS_OK;
}

status torch_bytes_place(struct torch_bytes *s, const struct nn_file *f, size_t at,
                         const struct pickle_value *keys, struct errmsg *e)
{
    const unsigned char *data = f->map;
    if (keys->kind != PICKLE_LIST)
        return errmsg_set(e, STATUS_CORRUPT, "the list of storages is damaged");
    for (size_t i = 0; i < keys->list.n; i++) {
        const struct pickle_value *key = keys->list.at[i];
        struct torch_listed *q = key->kind == PICKLE_TEXT ? listed(s, key) : NULL;
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
