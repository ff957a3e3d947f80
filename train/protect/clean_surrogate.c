#include "protect/clean_surrogate.h"

#include "class_step.h"
#include "loop.h"
#include "protect/strong.h"

#include <string.h>

enum { BORDER_PART = 8 };
static const float momentum = .9f;

struct lessons {
    const struct clean_recipe *recipe;
    struct train_model *model;
    struct class_step learning;
    struct train_loader *loader;
    struct nn_optim *optim;
    size_t count; /* floats of a batch */
    int batch, threads;
    uint64_t done; /* steps */
    struct progress progress;
};

static void end(struct lessons *l)
{
    train_loader_free(l->loader);
    nn_optim_free(l->optim);
    train_class_step_done(&l->learning);
}

int clean_surrogate_batch(const struct protect_job *j, int batch)
{
    return batch < j->info.samples ? batch : j->info.samples;
}

static struct nn_plan_options plan_options(const struct lessons *l)
{
    return (struct nn_plan_options){.threads = l->threads, .precision = l->recipe->precision};
}

static status begin(struct protect_job *j, struct lessons *l, struct errmsg *e)
{
    const struct clean_recipe *r = l->recipe;
    const struct nn_plan_options po = plan_options(l);
    int side = j->info.width < j->info.height ? j->info.width : j->info.height;
    struct train_loader_options lo = train_forward_loader(l->model, l->batch, l->threads);
    lo.shuffle = lo.drop_last = true;
    lo.pad = r->sight == SIGHT_SHIFTED ? side / BORDER_PART : 0;
    lo.flip = r->sight != SIGHT_PLAIN;
    char strong[STRONG_TEXT_MAX];
    strong_text(r->strength, strong);
    lo.augment = r->sight == SIGHT_STRONG ? strong : NULL;
    lo.seed = j->opt->seed;
    struct nn_optim_options o = {
        .kind = NN_SGD, .momentum = momentum, .weight_decay = r->decay, .threads = l->threads};
    status st = nn_params_init(l->model->params, j->opt->seed);
    if (!st)
        st = train_class_step_new(l->model, l->batch, &po, &l->learning, e);
    if (!st)
        st = train_loader_new(j->set, &lo, &l->loader, e);
    return st ? st : nn_optim_new(l->model->params, &o, &l->optim);
}

/* ---- a step ---- */

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct lessons *l = arg;
    (void)e;
    memcpy(l->learning.x, b->x, l->count * sizeof *b->x);
    memcpy(l->learning.label, b->label, (size_t)l->batch * sizeof *b->label);
    return STATUS_OK;
}

static float rate(const void *arg, int64_t step)
{
    const struct lessons *l = arg;
    int64_t epoch = step / train_loader_batches(l->loader);
    return l->model->net->lr * l->recipe->rate((double)epoch / l->recipe->epochs);
}

static status after(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct lessons *l = arg;
    char extra[32];
    (void)b;
    (void)e;
    snprintf(extra, sizeof extra, "loss %.3f", loss);
    progress_update(&l->progress, ++l->done, extra);
    return STATUS_OK;
}

static status learn(struct protect_job *j, struct lessons *l, struct errmsg *e)
{
    int64_t steps = (int64_t)l->recipe->epochs * train_loader_batches(l->loader);
    struct train_loop loop = {.loader = l->loader,
                              .params = l->model->params,
                              .plan = l->learning.plan,
                              .loss = l->learning.loss,
                              .optim = l->optim,
                              .threads = l->threads,
                              .arg = l,
                              .load = load,
                              .rate = rate,
                              .after = after};
    progress_init(&l->progress, "training a surrogate", 0, (uint64_t)steps, j->opt->quiet);
    status st = train_loop_run(&loop, steps, e);
    if (!st)
        progress_done(&l->progress, (uint64_t)steps, NULL);
    return st;
}

/* ---- all of it ---- */

static status measure(struct protect_job *j, struct lessons *l, struct errmsg *e)
{
    AUTO(train_loader_free) struct train_loader *loader = NULL;
    AUTO(train_forward_free) struct forward *f = NULL;
    const struct nn_plan_options po = plan_options(l);
    struct train_loader_options lo = train_forward_loader(l->model, l->batch, l->threads);
    status st = train_loader_new(j->set, &lo, &loader, e);
    if (!st)
        st = train_forward_new(l->model, l->batch, &po, false, &f, e);
    if (st)
        return st;
    struct train_eval ev;
    st = train_eval_init(&ev, j->info.classes);
    if (st)
        return st;
    st = train_forward_evaluate(f, loader, NULL, &ev, e);
    if (!st)
        j->result.surrogate_error = 1 - train_eval_accuracy(&ev);
    train_eval_done(&ev);
    return st;
}

status clean_surrogate_train(struct protect_job *j, const struct clean_recipe *r,
                             struct train_model **out, struct errmsg *e)
{
    struct train_net_shape in = {j->info.width, j->info.height, j->info.channels, j->info.classes};
    AUTO(train_model_free) struct train_model *model = NULL;
    status st = train_precision_check(r->precision, e);
    if (!st)
        st = train_model_new(r->net, in, j->set, &model);
    if (st)
        return st;
    struct lessons l = {.recipe = r,
                        .model = model,
                        .batch = clean_surrogate_batch(j, r->batch),
                        .threads = j->threads};
    l.count = (size_t)l.batch * (size_t)in.width * (size_t)in.height * (size_t)in.channels;
    st = begin(j, &l, e);
    if (!st)
        st = learn(j, &l, e);
    if (!st)
        st = measure(j, &l, e);
    end(&l);
    if (st)
        return st;
    j->result.rounds = r->epochs;
    j->result.precision = r->precision;
    *out = TAKE(model);
    return STATUS_OK;
}

void clean_surrogate_describe(const struct protect_job *j, int batch, json_t *out)
{
    json_object_set_new(out, "batch", json_integer(clean_surrogate_batch(j, batch)));
    json_object_set_new(out, "precision", json_string(nn_precision_names[j->result.precision]));
    json_object_set_new(out, "surrogate_error", json_real(j->result.surrogate_error));
}
