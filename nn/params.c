/*
 * Entries stand in an array of pointers in the order of creation, and in an open-addressed hash
 * table of indices (linear probing, at most half full, a power of two slots; 0 marks an empty
 * slot).
 */
#include "plan/packs.h"

#include <string.h>

struct entry {
    struct nn_param_entry entry; /* first: an entry's address is its param's */
    enum nn_init init;
    char name[NN_NAME_MAX];
};

struct nn_params {
    struct entry **at;
    int *slot; /* index + 1 */
    int count, cap, slots;
    struct nn_packs packs;
};

status nn_params_new(struct nn_params **out)
{
    struct nn_params *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    nn_packs_init(&p->packs);
    *out = p;
    return STATUS_OK;
}

static void param_free(struct entry *q)
{
    mem_free(q->entry.value);
    mem_free(q->entry.grad);
    mem_free(q);
}
DEFINE_FREEP(struct entry *, param_free)

void nn_params_free(struct nn_params *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->count; i++)
        param_free(p->at[i]);
    mem_free(p->at);
    mem_free(p->slot);
    nn_packs_done(&p->packs);
    mem_free(p);
}

struct nn_packs *nn_params_packs(struct nn_params *p)
{
    return &p->packs;
}

int nn_params_count(const struct nn_params *p)
{
    return p->count;
}

struct nn_param_entry *nn_params_at(struct nn_params *p, int i)
{
    return i >= 0 && i < p->count ? &p->at[i]->entry : NULL;
}

static uint64_t name_hash(const char *name)
{
    return checksum64(name, strlen(name));
}

/* The slot of `name`, or the empty one where it belongs. */
static int slot_of(const struct nn_params *p, const char *name)
{
    int mask = p->slots - 1, i = (int)(name_hash(name) & (uint64_t)mask);
    while (p->slot[i] && strcmp(p->at[p->slot[i] - 1]->name, name) != 0)
        i = (i + 1) & mask;
    return i;
}

struct nn_param_entry *nn_params_find(struct nn_params *p, const char *name)
{
    int i = p->slots ? p->slot[slot_of(p, name)] : 0;
    return i ? &p->at[i - 1]->entry : NULL;
}

int64_t nn_params_elements(const struct nn_params *p, bool trainable_only)
{
    int64_t n = 0;
    for (int i = 0; i < p->count; i++)
        if (p->at[i]->entry.trainable || !trainable_only)
            n += nn_shape_count(p->at[i]->entry.shape);
    return n;
}

/* Makes space for one more entry. */
static status grow(struct nn_params *p)
{
    if (p->count < p->cap)
        return STATUS_OK;
    int cap = p->cap ? 2 * p->cap : 64, slots = 2 * cap;
    struct entry **at = mem_realloc(p->at, (size_t)cap * sizeof *at);
    if (!at)
        return STATUS_NOMEM;
    p->at = at;
    int *slot = mem_zalloc((size_t)slots, sizeof *slot);
    if (!slot)
        return STATUS_NOMEM;
    mem_free(p->slot);
    p->slot = slot;
    p->cap = cap;
    p->slots = slots;
    for (int i = 0; i < p->count; i++)
        p->slot[slot_of(p, p->at[i]->name)] = i + 1;
    return STATUS_OK;
}

static status param_new(const char *name, struct nn_shape s, struct entry **out)
{
    AUTO(param_free) struct entry *q = mem_zalloc(1, sizeof *q);
    if (!q)
        return STATUS_NOMEM;
    size_t bytes = (size_t)nn_shape_count(s) * sizeof(float);
    q->entry.value = mem_alloc_aligned(bytes);
    if (!q->entry.value)
        return STATUS_NOMEM;
    memset(q->entry.value, 0, bytes);
    memcpy(q->name, name, strlen(name) + 1);
    q->entry.name = q->name;
    q->entry.shape = s;
    q->entry.lr_scale = 1;
    q->entry.decay = true;
    *out = TAKE(q);
    return STATUS_OK;
}

static bool shape_sane(struct nn_shape s)
{
    int64_t n = s.rank >= 1 && s.rank <= NN_RANK_MAX;
    for (int i = 0; n > 0 && i < s.rank; i++)
        n = s.dim[i] > 0 && n <= INT32_MAX / s.dim[i] ? n * s.dim[i] : 0;
    return n > 0;
}

static status check_found(const struct nn_param_entry *found, struct nn_shape s, bool trainable,
                          struct errmsg *e)
{
    if (!nn_shape_equal(found->shape, s))
        return errmsg_set(e, STATUS_INVALID, "parameter %s is used with two shapes", found->name);
    if (found->trainable != trainable)
        return errmsg_set(e, STATUS_INVALID, "%s is both a parameter and a buffer", found->name);
    return STATUS_OK;
}

status nn_params_get(struct nn_params *p, const char *name, struct nn_shape s, enum nn_init init,
                     bool trainable, struct nn_param_entry **out, struct errmsg *e)
{
    size_t len = strlen(name);
    if (len == 0 || len >= NN_NAME_MAX)
        return errmsg_set(e, STATUS_INVALID, "parameter name \"%s\" is empty or too long", name);
    struct nn_param_entry *found = nn_params_find(p, name);
    if (found) {
        status st = check_found(found, s, trainable, e);
        if (!st)
            *out = found;
        return st;
    }
    if (!shape_sane(s) || (unsigned)init >= NN_INIT_COUNT)
        return errmsg_set(e, STATUS_INVALID, "parameter %s has an impossible shape or init", name);
    struct entry *q = NULL;
    status st = grow(p);
    if (!st)
        st = param_new(name, s, &q);
    if (st)
        return errmsg_set(e, st, "parameter %s: %s", name, status_text(st));
    q->init = init;
    q->entry.trainable = trainable;
    p->at[p->count] = q;
    p->slot[slot_of(p, name)] = ++p->count;
    *out = &q->entry;
    return STATUS_OK;
}

enum nn_init nn_params_rule(const struct nn_param_entry *e)
{
    return ((const struct entry *)e)->init;
}

status nn_params_need_grad(struct nn_param_entry *e)
{
    if (e->grad)
        return STATUS_OK;
    size_t bytes = (size_t)nn_shape_count(e->shape) * sizeof(float);
    e->grad = mem_alloc_aligned(bytes);
    if (!e->grad)
        return STATUS_NOMEM;
    memset(e->grad, 0, bytes);
    return STATUS_OK;
}

status nn_params_copy(struct nn_params *to, const struct nn_params *from)
{
    if (to->count != from->count)
        return STATUS_INVALID;
    for (int i = 0; i < from->count; i++) {
        const struct nn_param_entry *t = nn_params_find(to, from->at[i]->name);
        if (!t || !nn_shape_equal(t->shape, from->at[i]->entry.shape))
            return STATUS_INVALID;
    }
    for (int i = 0; i < from->count; i++) {
        const struct nn_param_entry *f = &from->at[i]->entry;
        memcpy(nn_params_find(to, f->name)->value, f->value,
               (size_t)nn_shape_count(f->shape) * sizeof(float));
    }
    return STATUS_OK;
}
