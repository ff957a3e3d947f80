/*
 * Parameters, optimiser and average as tensors of one file:
 *
 *   <entry>            weights and buffers, under their own names: a checkpoint is a weights file, too
 *   ema.<entry>        the average, so that nn_params_load(p, f, "ema.") reads it
 *   optim.0.<entry>    velocity (SGD) or first moment (Adam, AdamW) of a trainable entry
 *   optim.1.<entry>    second moment (Adam, AdamW)
 *
 * and as metadata: nn.optim "sgd", "adam" or "adamw", nn.optim.step, nn.ema.step.
 * Loading checks everything before it changes anything.
 */
#include "file/file.h"
#include "optim/optim.h"

#include <errno.h>
#include <string.h>

#define EMA_PREFIX "ema."
#define KEY_OPTIM "nn.optim"
#define KEY_OPTIM_STEP "nn.optim.step"
#define KEY_EMA_STEP "nn.ema.step"

static const char *const optim_names[] = {
    [NN_SGD] = "sgd", [NN_ADAM] = "adam", [NN_ADAMW] = "adamw"};
_Static_assert(ARRAY_LEN(optim_names) == NN_OPTIM_COUNT, "a name for every optimiser");
static const char *const optim_prefix[NN_OPTIM_SLOTS] = {"optim.0.", "optim.1."};

enum { PREFIX_MAX = 64, NAME_MAX_FULL = NN_NAME_MAX + PREFIX_MAX, STEP_TEXT = 24, META_OWN = 3 };

/* ---- saving ---- */

/* A list of tensors that owns their names. */
struct list {
    struct nn_save_tensor *at;
    char (*name)[NAME_MAX_FULL];
    int n, cap;
};

static void list_donep(struct list *l)
{
    mem_free(l->at);
    mem_free(l->name);
}

static status list_init(struct list *l, int cap)
{
    l->cap = cap;
    l->at = mem_zalloc((size_t)cap, sizeof *l->at);
    l->name = mem_zalloc((size_t)cap, sizeof *l->name);
    return l->at && l->name ? STATUS_OK : STATUS_NOMEM;
}

static void list_add(struct list *l, const char *prefix, const struct nn_param_entry *e,
                     const float *data, bool half)
{
    CHECK(l->n < l->cap);
    snprintf(l->name[l->n], NAME_MAX_FULL, "%s%s", prefix, e->name);
    l->at[l->n] = (struct nn_save_tensor){l->name[l->n], e->shape, data, half};
    l->n++;
}

static void list_add_params(struct list *l, const struct nn_params *p, bool half)
{
    for (int i = 0; i < nn_params_count(p); i++) {
        const struct nn_param_entry *e = nn_params_at((struct nn_params *)p, i);
        list_add(l, "", e, e->value, half);
    }
}

static void list_add_optim(struct list *l, const struct nn_optim *o)
{
    for (int i = 0; i < o->count; i++)
        for (int k = 0; k < NN_OPTIM_SLOTS; k++)
            if (o->state[i].slot[k])
                list_add(l, optim_prefix[k], nn_params_at(o->params, i), o->state[i].slot[k],
                         false);
}

static void list_add_ema(struct list *l, const struct nn_ema *ema)
{
    for (int i = 0; i < ema->count; i++)
        list_add(l, EMA_PREFIX, nn_params_at(ema->params, i), ema->value[i], false);
}

status nn_params_save(const struct nn_params *p, const char *path, const struct nn_meta *meta,
                      int n_meta, bool half, struct errmsg *e)
{
    __attribute__((cleanup(list_donep))) struct list l = {0};
    status st = list_init(&l, nn_params_count(p));
    if (st)
        return errmsg_set(e, st, "cannot write %s: %s", path, status_text(st));
    list_add_params(&l, p, half);
    return nn_file_save(path, l.at, l.n, meta, n_meta, e);
}

status nn_checkpoint_save(const char *path, const struct nn_params *p, const struct nn_optim *o,
                          const struct nn_ema *ema, const struct nn_meta *meta, int n_meta,
                          struct errmsg *e)
{
    __attribute__((cleanup(list_donep))) struct list l = {0};
    AUTO(mem_free) struct nn_meta *all = mem_zalloc((size_t)n_meta + META_OWN, sizeof *all);
    status st = list_init(&l, (2 + NN_OPTIM_SLOTS) * nn_params_count(p));
    if (st || !all)
        return errmsg_set(e, STATUS_NOMEM, "cannot write %s: out of memory", path);
    char optim_step[STEP_TEXT], ema_step[STEP_TEXT];
    int n = n_meta;
    if (n_meta > 0)
        memcpy(all, meta, (size_t)n_meta * sizeof *all);
    list_add_params(&l, p, false);
    if (o) {
        snprintf(optim_step, sizeof optim_step, "%lld", (long long)o->step);
        all[n++] = (struct nn_meta){KEY_OPTIM, optim_names[o->opt.kind]};
        all[n++] = (struct nn_meta){KEY_OPTIM_STEP, optim_step};
        list_add_optim(&l, o);
    }
    if (ema) {
        snprintf(ema_step, sizeof ema_step, "%lld", (long long)ema->step);
        all[n++] = (struct nn_meta){KEY_EMA_STEP, ema_step};
        list_add_ema(&l, ema);
    }
    return nn_file_save(path, l.at, l.n, all, n, e);
}

/* ---- loading ---- */

static status find(const struct nn_file *f, const char *prefix, const struct nn_param_entry *e,
                   const struct nn_file_tensor **out, struct errmsg *err)
{
    char name[NAME_MAX_FULL];
    if (strlen(prefix) >= PREFIX_MAX)
        return errmsg_set(err, STATUS_INVALID, "the prefix \"%s\" is too long", prefix);
    snprintf(name, sizeof name, "%s%s", prefix, e->name);
    const struct nn_file_tensor *t = nn_file_find(f, name);
    if (!t)
        return errmsg_set(err, STATUS_NOT_FOUND, "the file has no tensor %s", name);
    if (!nn_shape_equal(t->shape, e->shape))
        return errmsg_set(err, STATUS_INVALID, "tensor %s has another shape than the network's",
                          name);
    if (!file_holds_floats(t))
        return errmsg_set(err, STATUS_UNSUPPORTED, "tensor %s holds %s, not floats", name,
                          t->dtype);
    if (!file_fits_f32(t))
        return errmsg_set(err, STATUS_LIMIT, "tensor %s holds a value beyond the range of f32",
                          name);
    *out = t;
    return STATUS_OK;
}

/* With out NULL only checks. */
static status load_one(const struct nn_file *f, const char *prefix, const struct nn_param_entry *p,
                       float *out, struct errmsg *e)
{
    const struct nn_file_tensor *t = NULL;
    status st = find(f, prefix, p, &t, e);
    if (st || !out)
        return st;
    return nn_file_read_f32(t, out, (size_t)nn_shape_count(p->shape));
}

static status load_params(struct nn_params *p, const struct nn_file *f, const char *prefix,
                          bool apply, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; !st && i < nn_params_count(p); i++) {
        const struct nn_param_entry *q = nn_params_at(p, i);
        st = load_one(f, prefix, q, apply ? q->value : NULL, e);
    }
    return st;
}

static status load_optim(struct nn_optim *o, const struct nn_file *f, bool apply, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; !st && i < o->count; i++)
        for (int k = 0; !st && k < NN_OPTIM_SLOTS; k++) {
            float *slot = o->state[i].slot[k];
            if (slot)
                st = load_one(f, optim_prefix[k], nn_params_at(o->params, i), apply ? slot : NULL,
                              e);
        }
    return st;
}

static status load_ema(struct nn_ema *ema, const struct nn_file *f, bool apply, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; !st && i < ema->count; i++)
        st = load_one(f, EMA_PREFIX, nn_params_at(ema->params, i), apply ? ema->value[i] : NULL, e);
    return st;
}

status nn_params_load(struct nn_params *p, const struct nn_file *f, const char *prefix,
                      struct errmsg *e)
{
    const char *pre = prefix ? prefix : "";
    status st = load_params(p, f, pre, false, e);
    return st ? st : load_params(p, f, pre, true, e);
}

static status read_step(const struct nn_file *f, const char *key, int64_t *out, struct errmsg *e)
{
    const char *text = nn_file_meta(f, key);
    char *end = NULL;
    errno = 0;
    long long v = text ? strtoll(text, &end, 10) : -1;
    if (!text)
        return errmsg_set(e, STATUS_NOT_FOUND, "the file has no %s: it is no checkpoint of this",
                          key);
    if (end == text || *end || errno || v < 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s is not a step count", key);
    *out = v;
    return STATUS_OK;
}

static status check_optim(const struct nn_optim *o, const struct nn_file *f, int64_t *out_step,
                          struct errmsg *e)
{
    status st = read_step(f, KEY_OPTIM_STEP, out_step, e);
    if (st)
        return st;
    const char *kind = nn_file_meta(f, KEY_OPTIM);
    if (!kind || strcmp(kind, optim_names[o->opt.kind]) != 0)
        return errmsg_set(e, STATUS_INVALID, "the checkpoint's optimiser is %s, not %s",
                          kind ? kind : "not named", optim_names[o->opt.kind]);
    return load_optim((struct nn_optim *)o, f, false, e);
}

status nn_checkpoint_load(const struct nn_file *f, struct nn_params *p, struct nn_optim *o,
                          struct nn_ema *ema, struct errmsg *e)
{
    int64_t optim_step = 0, ema_step = 0;
    status st = load_params(p, f, "", false, e);
    if (!st && o)
        st = check_optim(o, f, &optim_step, e);
    if (!st && ema)
        st = read_step(f, KEY_EMA_STEP, &ema_step, e);
    if (!st && ema)
        st = load_ema(ema, f, false, e);
    if (!st)
        st = load_params(p, f, "", true, e);
    if (!st && o) {
        o->step = optim_step;
        st = load_optim(o, f, true, e);
    }
    if (!st && ema) {
        ema->step = ema_step;
        st = load_ema(ema, f, true, e);
    }
    return st;
}
