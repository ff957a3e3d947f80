/* config.json: what a run was asked and what it found. Resuming compares it, or takes its options
   from it. */
#include "run.h"

#include "machine.h"
#include "origin.h"
#include "param_json.h"

#include <string.h>

/* What is asked of the data; resuming takes it from here. */
static json_t *data_json(const struct run *r)
{
    const struct train_options *o = r->opt;
    return json_pack("{s:i, s:i, s:i, s:i, s:b}", "limit", o->limit, "test_limit", o->test_limit,
                     "size", o->size, "channels", o->channels, "skip_bad", o->skip_bad);
}

/* Everything that decides the bits of a run; resuming compares it. */
static json_t *options_json(const struct run *r)
{
    const struct train_options *o = r->opt;
    struct train_set_info info = train_set_info(r->set);
    json_t *j = json_pack(
        "{s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:i, s:i, s:b, s:I, s:i, s:i, s:i, s:s, s:b, "
        "s:i}",
        "arch", r->model->net->name, "recipe", r->recipe->is.name, "epochs", o->epochs, "batch",
        r->batch, "lr", (double)r->lr, "momentum", (double)o->momentum, "weight_decay",
        (double)o->weight_decay, "clip", (double)o->clip, "warmup", o->warmup, "pad", o->pad,
        "flip", o->flip, "seed", (json_int_t)o->seed, "samples", info.samples, "classes",
        info.classes, "threads", r->threads, "precision", nn_precision_names[o->precision], "acm",
        r->probe != NULL, "test_every", o->test_every);
    json_t *shape = json_pack("{s:i, s:i, s:i}", "width", info.width, "height", info.height,
                              "channels", info.channels);
    if (j && shape)
        json_object_update(j, shape);
    json_decref(shape);
    if (j)
        json_object_set_new(j, "augment", json_string(o->augment ? o->augment : ""));
    if (j)
        json_object_set_new(j, "init", json_string(r->init_digest));
    if (j && r->probe)
        json_object_set_new(j, "probe", json_integer(r->probe_images));
    if (j)
        json_object_set_new(j, "sal", json_boolean(r->sal != NULL));
    if (j && r->sal)
        json_object_set_new(j, "sal_images", json_integer(r->sal_images));
    if (j && r->recipe->is.params.n)
        json_object_set_new(j, r->recipe->is.name,
                            train_param_json(&r->recipe->is.params, r->params));
    return j;
}

static json_t *config_json(const struct run *r, const char *digest)
{
    const struct train_options *o = r->opt;
    struct train_set_info info = train_set_info(r->set);
    char *data = realpath(o->data_dir, NULL);
    char *test = o->test_dir ? realpath(o->test_dir, NULL) : NULL;
    char *init = o->init_file ? realpath(o->init_file, NULL) : NULL;
    json_t *j =
        json_pack("{s:s, s:s?, s:s?, s:i, s:o, s:o}", "data", data ? data : o->data_dir, "test",
                  test ? test : o->test_dir, "init", init ? init : o->init_file, "bad_files",
                  info.bad, "options", options_json(r), "data_options", data_json(r));
    free(data);
    free(test);
    free(init);
    json_t *names = json_array();
    for (int k = 0; k < info.classes; k++)
        json_array_append_new(names, json_string(train_set_class(r->set, k)));
    if (j) {
        json_object_set(j, "class_names", names);
        json_object_set_new(j, "parameters",
                            json_integer(nn_params_elements(r->model->params, true)));
        json_object_set_new(j, "version", json_string(RELEARN_VERSION));
        AUTO(mem_free) char *machine = train_machine();
        if (machine)
            json_object_set_new(j, "machine", json_string(machine));
        json_t *origin = train_origin(o->data_dir);
        json_t *protection = train_origin_protection(o->data_dir);
        if (origin)
            json_object_set_new(j, "purified_by", origin);
        if (protection)
            json_object_set_new(j, "protected_by", protection);
        if (digest)
            json_object_set_new(j, "data_digest", json_string(digest));
    }
    json_decref(names);
    return j;
}

status train_run_write_config(const struct run *r, const char *digest, struct errmsg *e)
{
    AUTO(mem_free) char *path = mem_printf("%s/config.json", r->opt->out_dir);
    json_t *j = config_json(r, digest);
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    status st = path && text ? io_write_file(path, text, strlen(text), e)
                             : errmsg_set(e, STATUS_NOMEM, "cannot write config.json");
    free(text);
    return st;
}

static status refuse(const struct run *r, const char *key, const json_t *then, const json_t *now,
                     struct errmsg *e)
{
    const size_t how = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6);
    char *a = json_dumps(then, how), *b = json_dumps(now, how);
    status st = errmsg_set(e, STATUS_INVALID,
                           "the run in %s was started with \"%s\" %s; it cannot be resumed with %s",
                           r->opt->out_dir, key, a ? a : "absent", b ? b : "another");
    free(a);
    free(b);
    return st;
}

/* A key that the run's file does not have is newer than it: nothing contradicts. Of an object, such
   as a recipe's parameters, each key is compared. */
static status compare(const struct run *r, const json_t *then, json_t *now, struct errmsg *e)
{
    json_t *value;
    const char *key;
    json_object_foreach(now, key, value)
    {
        const json_t *old = json_object_get(then, key);
        status st = STATUS_OK;
        if (json_is_object(value) && json_is_object(old))
            st = compare(r, old, value, e);
        else if (old && !json_equal(value, old))
            st = refuse(r, key, old, value, e);
        if (st)
            return st;
    }
    return STATUS_OK;
}

status train_run_read_config(const char *dir, json_t **out, struct errmsg *e)
{
    enum { CONFIG_BYTES_MAX = 1 << 24 };
    AUTO(mem_free) char *path = mem_printf("%s/config.json", dir);
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    status st = path ? io_read_file(path, CONFIG_BYTES_MAX, &text, &len, e) : STATUS_NOMEM;
    if (st)
        return errmsg_prefix(e, st, "nothing to resume in %s", dir);
    json_t *config = json_loadb(text, len, 0, NULL), *then = json_object_get(config, "options");
    if (!json_is_object(then)) {
        json_decref(config);
        return errmsg_set(e, STATUS_CORRUPT, "%s is no configuration of a run", path);
    }
    if (!json_object_get(then, "precision"))
        json_object_set_new(then, "precision",
                            json_string(nn_precision_names[TRAIN_PRECISION_UNNAMED]));
    if (!json_object_get(then, "augment"))
        json_object_set_new(then, "augment", json_string(""));
    if (!json_object_get(then, "init"))
        json_object_set_new(then, "init", json_string(""));
    *out = config;
    return STATUS_OK;
}

status train_run_compare_config(const struct run *r, struct errmsg *e)
{
    json_t *config;
    status st = train_run_read_config(r->opt->out_dir, &config, e);
    if (st)
        return st;
    json_t *options = options_json(r), *data = data_json(r);
    st =
        options && data ? compare(r, json_object_get(config, "options"), options, e) : STATUS_NOMEM;
    if (!st)
        st = compare(r, json_object_get(config, "data_options"), data, e);
    json_decref(options);
    json_decref(data);
    json_decref(config);
    return st;
}
