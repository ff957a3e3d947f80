/* The driver of all protections: their table, what they are given, and the course of a run. Nothing
 * is written before everything is known. */
#include "protect/protect.h"

#include "set.h"

#include <string.h>

#define ROW(name) &protect_##name,
static const struct protect_method *const methods[] = {PROTECT_METHODS(ROW)};
#undef ROW

static const char *const quantise_names[TRAIN_QUANTISE_COUNT] = {
    [TRAIN_ROUND] = "round",
    [TRAIN_TRUNCATE] = "truncate",
    [TRAIN_POSITIVE_HALF] = "positive-half",
};

const char *train_protect_method(int i, const char **out_summary)
{
    if (i < 0 || (size_t)i >= ARRAY_LEN(methods))
        return NULL;
    if (out_summary)
        *out_summary = methods[i]->summary;
    return methods[i]->name;
}

const struct param_table *train_protect_params(int i)
{
    return i < 0 || (size_t)i >= ARRAY_LEN(methods) ? NULL : &methods[i]->params;
}

const char *train_quantise_name(enum train_quantise q)
{
    return (unsigned)q < TRAIN_QUANTISE_COUNT ? quantise_names[q] : "?";
}

status train_quantise_parse(const char *name, enum train_quantise *out)
{
    for (int q = 0; q < TRAIN_QUANTISE_COUNT; q++)
        if (strcmp(name, quantise_names[q]) == 0) {
            *out = (enum train_quantise)q;
            return STATUS_OK;
        }
    return STATUS_NOT_FOUND;
}

/* ---- sizes ---- */

static status size_of_one(void *arg, int i, struct errmsg *e)
{
    struct protect_job *j = arg;
    return train_set_size(j->set, i, &j->width[i], &j->height[i], e);
}

static status measure_sizes(struct protect_job *j, struct errmsg *e)
{
    size_t n = (size_t)j->info.samples;
    j->width = mem_zalloc(n, sizeof *j->width);
    j->height = mem_zalloc(n, sizeof *j->height);
    if (!j->width || !j->height)
        return STATUS_NOMEM;
    status st = train_set_for_each(j->set, size_of_one, j, e);
    if (st)
        return st;
    int w = j->width[0], h = j->height[0];
    j->least_width = j->info.width = w;
    j->least_height = j->info.height = h;
    for (size_t i = 0; i < n; i++) {
        if (!j->method->any_size && (j->width[i] != w || j->height[i] != h))
            return errmsg_set(e, STATUS_INVALID,
                              "%s/%s is %dx%d pixels, the first image is %dx%d: %s needs one size "
                              "for all (use --size to resize)",
                              j->opt->src_dir, train_set_path(j->set, (int)i), j->width[i],
                              j->height[i], w, h, j->method->name);
        j->info.width = j->width[i] > j->info.width ? j->width[i] : j->info.width;
        j->info.height = j->height[i] > j->info.height ? j->height[i] : j->info.height;
        j->least_width = j->width[i] < j->least_width ? j->width[i] : j->least_width;
        j->least_height = j->height[i] < j->least_height ? j->height[i] : j->least_height;
        j->pixels += (uint64_t)j->width[i] * (uint64_t)j->height[i];
    }
    return STATUS_OK;
}

struct protect_shape protect_sample_shape(const struct protect_job *j)
{
    return (struct protect_shape){
        .shape = nn_shape4(j->info.samples, j->info.height, j->info.width, j->info.channels),
        .patch = 1};
}

/* ---- run ---- */

static const char *name_at(int i)
{
    return train_protect_method(i, NULL);
}

status protect_unknown(const char *name, struct errmsg *e)
{
    return errmsg_unknown(e, "protection", name, name_at);
}

static status choose_method(struct protect_job *j, struct errmsg *e)
{
    const struct train_protect_options *o = j->opt;
    if (!o->method || !o->src_dir || !o->dst_dir)
        return errmsg_set(e, STATUS_INVALID, "method, source and destination must be given");
    for (size_t i = 0; i < ARRAY_LEN(methods) && !j->method; i++)
        if (strcmp(methods[i]->name, o->method) == 0)
            j->method = methods[i];
    if (!j->method)
        return protect_unknown(o->method, e);
    if (!(o->eps >= 0) || o->eps > 255 || o->quantise >= TRAIN_QUANTISE_COUNT)
        return errmsg_set(e, STATUS_INVALID, "eps must be 0..255");
    if (o->eps > 0 && !(j->method->eps > 0))
        return errmsg_set(e, STATUS_INVALID, "%s has no strength to choose (leave out --eps)",
                          j->method->name);
    if (o->quantise == TRAIN_POSITIVE_HALF && !j->method->row)
        return errmsg_set(e, STATUS_INVALID,
                          "%s adds nothing that has a positive half (use --quantise round or "
                          "truncate)",
                          j->method->name);
    j->eps = o->eps > 0 ? o->eps : j->method->eps;
    j->quantise = o->quantise >= 0 ? (enum train_quantise)o->quantise : j->method->quantise;
    j->threads = o->threads ? o->threads : cpu_count();
    return STATUS_OK;
}

static status read_params(struct protect_job *j, struct errmsg *e)
{
    const struct param_table *t = &j->method->params;
    j->param = mem_zalloc(1, t->size + 1);
    if (!j->param)
        return STATUS_NOMEM;
    status st = param_set_all(t, j->param, j->opt->param, j->opt->n_params, e);
    return st ? errmsg_prefix(e, st, "%s", j->method->name) : STATUS_OK;
}

static status run(struct protect_job *j, struct errmsg *e)
{
    struct train_data_options data = {.dir = j->opt->src_dir,
                                      .limit = j->opt->limit,
                                      .size = j->opt->size,
                                      .channels = j->opt->channels,
                                      .any_size = true,
                                      .skip_bad = j->opt->skip_bad,
                                      .threads = j->threads};
    status st = protect_check_target(j, e);
    if (!st)
        st = train_set_open(&data, &j->set, e);
    if (st)
        return st;
    j->info = train_set_info(j->set);
    if (j->info.bad)
        log_warn("%d files were left out because they do not decode; the first: %s", j->info.bad,
                 j->info.first_bad);
    st = protect_check_collisions(j, e);
    if (!st)
        st = measure_sizes(j, e);
    if (!st)
        st = protect_choose(j, e);
    if (!st)
        st = j->method->prepare(j, e);
    return st ? st : protect_write(j, e);
}

status train_protect(const struct train_protect_options *opt, struct train_protect_result *out,
                     struct errmsg *e)
{
    struct protect_job j = {.opt = opt};
    status st = choose_method(&j, e);
    if (!st)
        st = read_params(&j, e);
    if (!st)
        st = run(&j, e);
    if (st == STATUS_CANCELLED)
        st = errmsg_set(e, st, "stopped; %s is as it was", opt->dst_dir);
    if (j.method && j.method->done)
        j.method->done(&j);
    mem_free(j.param);
    mem_free(j.width);
    mem_free(j.height);
    mem_free(j.chosen);
    train_set_free(j.set);
    if (!st)
        *out = j.result;
    return st;
}
