#include "plan/packs.h"

#include <assert.h>
#include <string.h>

struct nn_pack {
    struct nn_step of; /* the first step that it was made for, as far as `same` compares it */
    void *data;
    int users;
    bool filled;
    struct nn_pack *next;
};

void nn_packs_init(struct nn_packs *l)
{
    l->first = NULL;
    pthread_mutex_init(&l->lock, NULL);
}

void nn_packs_done(struct nn_packs *l)
{
    assert(!l->first); /* plans are freed before the parameters */
    pthread_mutex_destroy(&l->lock);
}

/* any_n: apart from the number of samples */
static bool same_tensor(const struct nn_tensor *a, const struct nn_tensor *b, bool any_n)
{
    struct nn_shape shape = a->shape;
    if (any_n && !a->constant)
        shape.dim[0] = b->shape.dim[0];
    return nn_shape_equal(shape, b->shape) && a->store == b->store && a->constant == b->constant &&
           (!a->constant || a->data == b->data);
}

static bool same(const struct nn_step *a, const struct nn_step *b)
{
    if (a->kernel != b->kernel || a->threads != b->threads || a->apart != b->apart ||
        a->precision != b->precision || a->packed_bytes != b->packed_bytes || a->n_in != b->n_in ||
        a->n_out != b->n_out || memcmp(&a->attr.conv, &b->attr.conv, sizeof a->attr.conv) != 0 ||
        a->attr.post != b->attr.post || a->attr.tokens != b->attr.tokens || !a->in[1].constant)
        return false; /* weights that are computed belong to their plan */
    for (int i = 0; i < a->n_in; i++)
        if (!same_tensor(&a->in[i], &b->in[i], a->apart))
            return false;
    for (int i = 0; i < a->n_out; i++)
        if (!same_tensor(&a->out[i], &b->out[i], a->apart))
            return false;
    return true;
}

static status add(struct nn_packs *l, const struct nn_step *s, struct nn_pack **out)
{
    struct nn_pack *k = mem_zalloc(1, sizeof *k);
    void *data = mem_alloc_aligned(s->packed_bytes);
    if (!k || !data) {
        mem_free(k);
        mem_free(data);
        return STATUS_NOMEM;
    }
    k->of = *s;
    k->data = data;
    k->next = l->first;
    *out = l->first = k;
    return STATUS_OK;
}

status nn_pack_ref(struct nn_packs *l, const struct nn_step *s, struct nn_pack **out)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&l->lock);
    struct nn_pack *k = l->first;
    while (k && !same(&k->of, s))
        k = k->next;
    if (!k)
        st = add(l, s, &k);
    if (!st) {
        k->users++;
        *out = k;
    }
    pthread_mutex_unlock(&l->lock);
    return st;
}

void *nn_pack_data(struct nn_pack *k)
{
    return k->data;
}

status nn_pack_fill(struct nn_packs *l, struct nn_pack *k, struct nn_step *s)
{
    pthread_mutex_lock(&l->lock);
    status st = k->filled ? STATUS_OK : s->kernel->pack(s);
    k->filled = !st;
    pthread_mutex_unlock(&l->lock);
    return st;
}

void nn_pack_unref(struct nn_packs *l, struct nn_pack *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&l->lock);
    if (!--k->users) {
        struct nn_pack **at = &l->first;
        while (*at != k)
            at = &(*at)->next;
        *at = k->next;
        mem_free(k->data);
        mem_free(k);
    }
    pthread_mutex_unlock(&l->lock);
}
