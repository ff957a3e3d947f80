#include "protect/surrogate.h"

static const float sgd_momentum = .9f;

const char *const surrogate_precisions[NN_PREC_COUNT + 1] = {
    [NN_PREC_F32] = "f32", [NN_PREC_BF16] = "bf16"};

static struct nn_plan_options plan_options(const struct surrogate *s)
{
    return (struct nn_plan_options){.threads = s->job->threads, .precision = s->param->precision};
}

static status make_surrogate(struct surrogate *s, float decay, struct errmsg *e)
{
    const struct protect_job *j = s->job;
    const struct nn_plan_options po = plan_options(s);
    const char *arch = s->param->surrogate;
    const struct train_net *net = train_net_find(arch);
    if (!net)
        return train_net_unknown(arch, e);
    struct train_net_shape in = {j->info.width, j->info.height, j->info.channels, j->info.classes};
    status st = train_model_new(net, in, j->set, &s->model);
    if (!st)
        st = nn_params_init(s->model->params, j->opt->seed);
    if (!st)
        st = train_class_step_new(s->model, s->batch, &po, &s->learning, e);
    if (!st)
        st = train_attack_new(s->model, ATTACK_RUNNING, s->batch, &po, &s->attack, e);
    if (!st)
        st = train_forward_new(s->model, s->batch, &po, false, &s->forward, e);
    struct nn_optim_options o = {
        .kind = NN_SGD, .momentum = sgd_momentum, .weight_decay = decay, .threads = j->threads};
    return st ? st : nn_optim_new(s->model->params, &o, &s->optim);
}

status surrogate_new(const struct protect_job *j, const struct surrogate_param *p, float decay,
                     surrogate_delta_fn *delta, const void *arg, struct surrogate **out,
                     struct errmsg *e)
{
    struct surrogate *s = *out = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->job = j;
    s->param = p;
    s->delta = delta;
    s->arg = arg;
    s->batch = p->batch < j->info.samples ? p->batch : j->info.samples;
    s->row = (size_t)j->info.width * (size_t)j->info.height * (size_t)j->info.channels;
    s->x = mem_zalloc((size_t)s->batch * s->row, sizeof *s->x);
    s->label = mem_zalloc((size_t)s->batch, sizeof *s->label);
    status st = s->x && s->label ? train_precision_check(p->precision, e) : STATUS_NOMEM;
    if (!st)
        st = make_surrogate(s, decay, e);
    struct train_loader_options lo = {.batch = s->batch,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .seed = j->opt->seed,
                                      .threads = j->threads};
    if (!st)
        st = train_loader_new(j->set, &lo, &s->loader, e);
    return st;
}

void surrogate_free(struct surrogate *s)
{
    if (!s)
        return;
    train_loader_free(s->loader);
    nn_optim_free(s->optim);
    train_forward_free(s->forward);
    train_attack_free(s->attack);
    train_class_step_done(&s->learning);
    train_model_free(s->model);
    mem_free(s->x);
    mem_free(s->label);
    mem_free(s);
}
