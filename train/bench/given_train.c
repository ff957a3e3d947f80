/* Options of `relearn train`. */
#include "bench/given.h"

#include "augment.h"
#include "recipe.h"

#include <stddef.h>
#include <string.h>

/* ---- the tables ---- */

/* Only their kinds and limits are asked for: the commands have the defaults. */
struct training {
    int epochs, batch, warmup, pad, staged_probe, test_every, test_limit, precision;
    double lr, momentum, weight_decay, clip;
    bool flip, acm;
    char recipe[PARAM_TEXT_MAX], augment[PARAM_TEXT_MAX], init[PARAM_TEXT_MAX];
};
#define ROW(key, kind, least, most)                                                                \
    {                                                                                              \
#key, kind, offsetof(struct training, key), .lo = least, .hi = most, .standard = "",       \
                                                    .about = ""                                    \
    }
static const struct param train_rows[] = {
    ROW(acm, PARAM_BOOL, 0, 0),
    ROW(augment, PARAM_TEXT, 0, 0),
    ROW(batch, PARAM_INT, 1, 1 << 20),
    ROW(clip, PARAM_DOUBLE, 0, 1e9),
    ROW(epochs, PARAM_INT, 1, 1000000),
    ROW(flip, PARAM_BOOL, 0, 0),
    ROW(init, PARAM_TEXT, 0, 0),
    ROW(lr, PARAM_DOUBLE, 0, 1e3),
    ROW(momentum, PARAM_DOUBLE, 0, 1),
    ROW(pad, PARAM_INT, 0, 1 << 16),
    {"precision", PARAM_ENUM, offsetof(struct training, precision), .names = nn_precision_names,
     .standard = "f32", .about = ""},
    ROW(recipe, PARAM_TEXT, 0, 0),
    ROW(staged_probe, PARAM_INT, 1, 1 << 24),
    ROW(test_every, PARAM_INT, 0, 1000000),
    ROW(test_limit, PARAM_INT, 0, 1 << 30),
    ROW(warmup, PARAM_INT, 0, 1 << 30),
    ROW(weight_decay, PARAM_DOUBLE, 0, 1e3),
};
#undef ROW
static const struct param_table train_table = PARAM_TABLE(train_rows, struct training);

/* ---- training ---- */

/* The recipe whose name and '-' the key begins with, the longest; NULL: none. */
static const struct train_recipe *recipe_of(const char *key)
{
    const struct train_recipe *r, *best = NULL;
    for (int i = 0; (r = train_recipe_at(i)); i++) {
        size_t n = strlen(r->name);
        if (strncmp(key, r->name, n) == 0 && (key[n] == '-' || key[n] == '_') &&
            (!best || n > strlen(best->name)))
            best = r;
    }
    return best;
}

/* What no table can check. */
static status check_names(const char *key, const char *value, struct errmsg *e)
{
    if (strcmp(key, "augment") == 0) {
        struct augment_list list = {.n = 0};
        status st = augment_list_parse(value, &list, e);
        augment_list_done(&list);
        return st;
    }
    if (strcmp(key, "recipe") != 0)
        return STATUS_OK;
    return recipe_find(value) ? STATUS_OK : recipe_unknown(value, e);
}

status given_train(struct given *g, const char *key, const char *value, int line, struct errmsg *e)
{
    const struct param *row = param_find(&train_table, key);
    if (row) {
        status st = check_names(row->key, value, e);
        return st ? st : given_row(g, "", row, row->kind == PARAM_BOOL, value, line, e);
    }
    const struct train_recipe *r = recipe_of(key);
    AUTO(buf_done) struct buf names = BUF_INIT(400);
    if (!r) {
        given_keys(&train_table, "", &names);
        return errmsg_set(e, STATUS_INVALID,
                          "training has no '%.48s'; it has %s, and RECIPE-KEY of the recipes", key,
                          names.data);
    }
    char prefix[GIVEN_KEY_MAX];
    snprintf(prefix, sizeof prefix, "%s-", r->name);
    row = param_find(&r->params, key + strlen(prefix));
    if (row)
        return given_row(g, prefix, row, false, value, line, e);
    given_keys(&r->params, prefix, &names);
    return errmsg_set(e, STATUS_INVALID, "recipe %s has no '%.48s'; it has %s", r->name, key,
                      names.data ? names.data : "nothing of its own");
}

bool given_is_path(const struct given_item *item)
{
    return strcmp(item->key, "init") == 0;
}

status given_check_recipe(const struct given *g, int *out_line, struct errmsg *e)
{
    const char *chosen = given_value(g, "recipe");
    chosen = chosen ? chosen : train_options_default().recipe;
    for (int i = 0; i < g->n; i++) {
        const char *key = g->item[i].key;
        const struct train_recipe *r = param_find(&train_table, key) ? NULL : recipe_of(key);
        if (!r || strcmp(r->name, chosen) == 0)
            continue;
        *out_line = g->item[i].line;
        return errmsg_set(e, STATUS_INVALID, "%s belongs to recipe %s, and the recipe is %s", key,
                          r->name, chosen);
    }
    return STATUS_OK;
}
