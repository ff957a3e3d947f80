/* The options of a run that is to be resumed, from its config.json. */
#include "run.h"

#include "param_json.h"

#include <string.h>

struct train_config {
    char *dir;
    json_t *json;
    struct param_list params; /* of the recipe */
};

/* The recipe's parameters, in an object called after it. */
static const json_t *recipe_json(const struct train_config *c, const char **out_name)
{
    const json_t *options = json_object_get(c->json, "options");
    *out_name = json_string_value(json_object_get(options, "recipe"));
    return *out_name ? json_object_get(options, *out_name) : NULL;
}

static status read_params(struct train_config *c)
{
    const char *name;
    const json_t *j = recipe_json(c, &name);
    const struct recipe_ops *ops = name ? recipe_find(name) : NULL;
    return ops ? train_param_list(&ops->is.params, j, &c->params) : STATUS_OK;
}

status train_config_open(const char *run_dir, struct train_config **out, struct errmsg *e)
{
    AUTO(train_config_free) struct train_config *c = mem_zalloc(1, sizeof *c);
    if (!c || !(c->dir = mem_strdup(run_dir)))
        return STATUS_NOMEM;
    status st = train_run_read_config(run_dir, &c->json, e);
    if (!st)
        st = read_params(c);
    if (!st)
        *out = TAKE(c);
    return st;
}

void train_config_free(struct train_config *c)
{
    if (!c)
        return;
    train_param_list_done(&c->params);
    json_decref(c->json);
    mem_free(c->dir);
    mem_free(c);
}

static void take_int(const json_t *j, const char *key, int *out)
{
    const json_t *v = json_object_get(j, key);
    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT32_MAX)
        *out = (int)json_integer_value(v);
}

static void take_bool(const json_t *j, const char *key, bool *out)
{
    const json_t *v = json_object_get(j, key);
    *out = json_is_boolean(v) ? json_is_true(v) : *out;
}

static void take_float(const json_t *j, const char *key, float *out)
{
    const json_t *v = json_object_get(j, key);
    *out = json_is_number(v) ? (float)json_number_value(v) : *out;
}

static void take_text(const json_t *j, const char *key, const char **out)
{
    const char *text = json_string_value(json_object_get(j, key));
    *out = text ? text : *out;
}

static void take_precision(const json_t *j, enum nn_precision *out)
{
    const char *name = json_string_value(json_object_get(j, "precision"));
    for (int p = 0; name && p < NN_PREC_COUNT; p++)
        if (strcmp(name, nn_precision_names[p]) == 0)
            *out = (enum nn_precision)p;
}

struct train_options train_config_options(const struct train_config *c)
{
    struct train_options o = train_options_default();
    const char *recipe;
    const json_t *j = json_object_get(c->json, "options"), *own = recipe_json(c, &recipe);
    const json_t *data = json_object_get(c->json, "data_options");
    o.out_dir = c->dir;
    o.resume = true;
    take_text(c->json, "data", &o.data_dir);
    take_text(c->json, "test", &o.test_dir);
    take_text(c->json, "init", &o.init_file);
    take_text(j, "arch", &o.arch);
    take_text(j, "recipe", &o.recipe);
    take_int(j, "epochs", &o.epochs);
    take_int(j, "batch", &o.batch);
    take_float(j, "lr", &o.lr);
    take_float(j, "momentum", &o.momentum);
    take_float(j, "weight_decay", &o.weight_decay);
    take_float(j, "clip", &o.clip);
    take_int(j, "warmup", &o.warmup);
    take_int(j, "pad", &o.pad);
    take_bool(j, "flip", &o.flip);
    take_text(j, "augment", &o.augment);
    o.seed = (uint64_t)json_integer_value(json_object_get(j, "seed"));
    take_int(j, "threads", &o.threads);
    take_precision(j, &o.precision);
    take_bool(j, "acm", &o.acm);
    take_int(j, "test_every", &o.test_every);
    take_int(own, "probe", &o.probe); /* where the oldest runs have it */
    take_int(j, "probe", &o.probe);
    take_bool(j, "sal", &o.sal);
    take_int(j, "sal_images", &o.sal_images);
    take_int(data, "limit", &o.limit);
    take_int(data, "test_limit", &o.test_limit);
    take_int(data, "size", &o.size);
    take_int(data, "channels", &o.channels);
    take_bool(data, "skip_bad", &o.skip_bad);
    o.recipe_arg = c->params.arg;
    o.n_recipe_args = c->params.n;
    return o;
}
