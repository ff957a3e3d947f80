#include "augment.h"

#include "stream.h"

#include <string.h>

static const struct augment_ops *const families[] = {augment_moves, augment_colours, augment_shapes,
                                                     augment_plasma, augment_trivial,
                                                     augment_filters};

static const struct augment_ops *row_at(int i)
{
    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        for (const struct augment_ops *row = families[f]; row->is.name; row++)
            if (i-- == 0)
                return row;
    return NULL;
}

const struct train_augment *train_augment_at(int i)
{
    const struct augment_ops *row = i < 0 ? NULL : row_at(i);
    return row ? &row->is : NULL;
}

static const char *name_at(int i)
{
    const struct train_augment *is = train_augment_at(i);
    return is ? is->name : NULL;
}

/* ---- lists ---- */

status augment_list_add(struct augment_list *l, const char *name, const struct param_arg *arg,
                        int n, struct errmsg *e)
{
    const struct augment_ops *row = NULL;
    for (int i = 0; (row = row_at(i)) && strcmp(row->is.name, name) != 0;)
        i++;
    if (!row)
        return errmsg_unknown(e, "augmentation", name, name_at);
    if (l->n == AUGMENT_LIST_MAX)
        return errmsg_set(e, STATUS_LIMIT, "more than %d augmentations", AUGMENT_LIST_MAX);
    AUTO(mem_free) void *params = mem_zalloc(1, row->is.params.size ? row->is.params.size : 1);
    if (!params)
        return STATUS_NOMEM;
    status st = param_set_all(&row->is.params, params, arg, n, e);
    if (st)
        return errmsg_prefix(e, st, "augmentation %s", name);
    l->entry[l->n++] = (struct augment_entry){row, TAKE(params)};
    l->pixels = l->pixels || row->apply;
    return STATUS_OK;
}

/* NAME[:KEY=VALUE...]; the text is cut into pieces. */
static status add_text(struct augment_list *l, char *text, struct errmsg *e)
{
    enum { ARGS_MAX = 16 };
    struct param_arg arg[ARGS_MAX];
    int n = 0;
    char *save = NULL, *name = strtok_r(text, ":", &save), *piece;
    if (!name)
        return errmsg_set(e, STATUS_INVALID, "an augmentation has no name");
    while ((piece = strtok_r(NULL, ":", &save))) {
        char *value = strchr(piece, '=');
        if (!value || n == ARGS_MAX)
            return errmsg_set(e, STATUS_INVALID, "augmentation %s: \"%s\" is not KEY=VALUE", name,
                              piece);
        *value = 0;
        arg[n++] = (struct param_arg){piece, value + 1};
    }
    return augment_list_add(l, name, arg, n, e);
}

status augment_list_parse(const char *text, struct augment_list *out, struct errmsg *e)
{
    struct augment_list l = {.n = 0};
    AUTO(mem_free) char *copy = mem_strdup(text ? text : "");
    char *save = NULL;
    status st = copy ? STATUS_OK : STATUS_NOMEM;
    for (char *one = copy; !st && (one = strtok_r(one, ",", &save)); one = NULL)
        st = add_text(&l, one, e);
    if (st)
        augment_list_done(&l);
    else
        *out = l;
    return st;
}

void augment_list_done(struct augment_list *l)
{
    for (int i = 0; i < l->n; i++)
        mem_free(l->entry[i].params);
    *l = (struct augment_list){.n = 0};
}

/* ---- one sample ---- */

struct augment_placing augment_place(const struct augment_list *l, struct augment_of of,
                                     struct augment_frame f)
{
    struct augment_placing p = {(f.width - f.crop_w) / 2, (f.height - f.crop_h) / 2, false};
    struct nn_rng r = stream(of.seed, STREAM_AUGMENT, of.epoch);
    for (int i = 0; i < l->n; i++)
        if (l->entry[i].ops->place)
            l->entry[i].ops->place(l->entry[i].params, r, (uint64_t)of.sample * 4, f, &p);
    return p;
}

/* A run has less than 2^16 epochs; of more, every 2^16th would draw the same. */
static struct nn_rng row_stream(const struct augment_ops *row, struct augment_of of)
{
    uint64_t number = (uint64_t)row->number << 48 | (of.epoch & 0xffff) << 32 | (uint32_t)of.sample;
    return stream(of.seed, STREAM_PIXELS, number);
}

status augment_apply(const struct augment_list *l, struct augment_of of, struct augment_pixels *p)
{
    status st = STATUS_OK;
    for (int i = 0; i < l->n && !st; i++) {
        const struct augment_ops *row = l->entry[i].ops;
        if (row->apply)
            st = row->apply(l->entry[i].params, row_stream(row, of), p);
    }
    return st;
}

float augment_uniform(struct nn_rng r, uint64_t at, float lo, float hi)
{
    return stream_uniform(r, at, lo, hi);
}

bool augment_acts(struct nn_rng r, float p)
{
    return nn_rng_uniform(r, 0) < p;
}
