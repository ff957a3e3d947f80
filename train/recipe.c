#include "recipe.h"

#include "recipes/losses.h"

#include <string.h>

/* One line each: a file of recipes/ defines recipe_NAME. In this order they are listed. */
#define RECIPES(X)                                                                                 \
    X(standard)                                                                                    \
    X(staged)                                                                                      \
    X(detect)                                                                                      \
    X(cutout)                                                                                      \
    X(mixup)                                                                                       \
    X(cutmix)                                                                                      \
    X(adversarial)                                                                                 \
    X(ueraser)                                                                                     \
    X(projection)                                                                                  \
    X(disentangle)

#define X(name) extern const struct recipe_ops recipe_##name;
RECIPES(X)
#undef X
#define X(name) &recipe_##name,
static const struct recipe_ops *const recipes[] = {RECIPES(X)};
#undef X

const struct recipe_ops *recipe_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++)
        if (strcmp(recipes[i]->is.name, name) == 0)
            return recipes[i];
    return NULL;
}

const struct train_recipe *train_recipe_at(int i)
{
    return i < 0 || (size_t)i >= ARRAY_LEN(recipes) ? NULL : &recipes[i]->is;
}

const struct recipe_loss *recipe_loss_of(const struct recipe_ops *ops)
{
    return ops->loss ? ops->loss : &recipe_label_loss;
}

static const char *name_at(int i)
{
    const struct train_recipe *is = train_recipe_at(i);
    return is ? is->name : NULL;
}

status recipe_unknown(const char *name, struct errmsg *e)
{
    return errmsg_unknown(e, "recipe", name, name_at);
}

status recipe_params_new(const struct recipe_ops *ops, const struct param_arg *arg, int n,
                         void **out, struct errmsg *e)
{
    const struct param_table *t = &ops->is.params;
    AUTO(mem_free) void *params = t->size ? mem_zalloc(1, t->size) : NULL;
    if (t->size && !params)
        return STATUS_NOMEM;
    status st = param_set_all(t, params, arg, n, e);
    if (!st && ops->check)
        st = ops->check(params, e);
    if (st)
        return errmsg_prefix(e, st, "recipe %s", ops->is.name);
    *out = TAKE(params);
    return STATUS_OK;
}
