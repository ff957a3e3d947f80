#include "protect/surrogate.h"

#include "loop.h"
#include "model.h"
#include "set.h"

#include <string.h>

enum { SGD_STEPS = 10 };
static const float sgd_lr = .1f, sgd_momentum = .9f, sgd_decay = 5e-4f, sgd_clip = 5;

const char *const surrogate_precisions[NN_PREC_COUNT + 1] = {
    [NN_PREC_F32] = "f32", [NN_PREC_BF16] = "bf16"};

/* ---- setting up ---- */

static struct nn_plan_options plan_options(const struct surrogate *s)
{
    return (struct nn_plan_options){.threads = s->job->threads, .precision = s->param->precision};
}

static status make_step(struct surrogate *s, struct errmsg *e)
{
    const struct nn_plan_options po = plan_options(s);
    struct train_net_shape in = s->model->shape;
    status st = nn_graph_new(s->model->params, &s->graph);
    if (st)
        return st;
    struct nn_graph *g = s->graph;
    struct nn_val x =
        nn_input(g, "x", NN_F32, nn_shape4(s->batch, in.height, in.width, in.channels));
    struct nn_val label = nn_input(g, "label", NN_I32, nn_shape1(s->batch));
    struct nn_val logits = s->model->net->build(g, in, x, true, NULL);
    struct nn_val loss = nn_mean(g, nn_softmax_xent(g, logits, label));
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    st = nn_plan_new(g, &po, &s->plan, e);
    if (st)
        return st;
    s->step_x = nn_plan_data(s->plan, x);
    s->step_label = nn_plan_data(s->plan, label);
    s->loss = nn_plan_data(s->plan, loss);
    return STATUS_OK;
}

static status make_surrogate(struct surrogate *s, struct errmsg *e)
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
        st = make_step(s, e);
    if (!st)
        st = train_attack_new(s->model, ATTACK_RUNNING, s->batch, &po, &s->attack, e);
    if (!st)
        st = train_forward_new(s->model, s->batch, &po, false, &s->forward, e);
    struct nn_optim_options o = {
        .kind = NN_SGD, .momentum = sgd_momentum, .weight_decay = sgd_decay, .threads = j->threads};
    return st ? st : nn_optim_new(s->model->params, &o, &s->optim);
}

status surrogate_new(const struct protect_job *j, const struct surrogate_param *p,
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
        st = make_surrogate(s, e);
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
    nn_plan_free(s->plan);
    nn_graph_free(s->graph);
    train_model_free(s->model);
    mem_free(s->x);
    mem_free(s->label);
    mem_free(s);
}

/* ---- the parts of a round ---- */

/* in [0,1] -> what the network sees */
void surrogate_scale(const struct surrogate *s, float *x, size_t n)
{
    float mean = s->model->net->mean, std = s->model->net->std;
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - mean) / std;
}

static status load_perturbed(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct surrogate *s = arg;
    (void)e;
    for (int i = 0; i < s->batch; i++) {
        const float *d = s->delta(s->arg, b->index[i], b->label[i]), *x = b->x + (size_t)i * s->row;
        for (size_t p = 0; p < s->row; p++)
            s->step_x[(size_t)i * s->row + p] = x[p] + d[p];
        s->step_label[i] = b->label[i];
    }
    surrogate_scale(s, s->step_x, (size_t)s->batch * s->row);
    return STATUS_OK;
}

static float constant_rate(const void *arg, int64_t step)
{
    (void)arg;
    (void)step;
    return sgd_lr;
}

static status count_step(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct surrogate *s = arg;
    (void)b;
    (void)loss;
    (void)e;
    s->step++;
    return STATUS_OK;
}

static status learn(struct surrogate *s, struct errmsg *e)
{
    struct train_loop l = {.loader = s->loader,
                           .params = s->model->params,
                           .plan = s->plan,
                           .loss = s->loss,
                           .optim = s->optim,
                           .clip = sgd_clip,
                           .threads = s->job->threads,
                           .step = s->step,
                           .arg = s,
                           .load = load_perturbed,
                           .rate = constant_rate,
                           .after = count_step};
    return train_loop_run(&l, s->step + SGD_STEPS, e);
}

status surrogate_load(struct surrogate *s, const int *sample, int n, float *input, struct errmsg *e)
{
    for (int i = 0; i < s->batch; i++) {
        float *x = input + (size_t)i * s->row;
        if (i >= n) {
            memset(x, 0, s->row * sizeof *x);
            s->label[i] = -1;
            continue;
        }
        struct set_view v;
        int label = train_set_label(s->job->set, sample[i]);
        const float *d = s->delta(s->arg, sample[i], label);
        status st = train_set_view(s->job->set, sample[i], &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < s->row; p++)
            x[p] = (float)v.pixels[p] / 255 + d[p];
        s->label[i] = label;
        train_set_view_done(&v);
    }
    surrogate_scale(s, input, (size_t)s->batch * s->row);
    return STATUS_OK;
}

static status measure(struct surrogate *s, const int *sample, int n, double *out, struct errmsg *e)
{
    struct train_eval ev;
    status st = train_eval_init(&ev, s->job->info.classes);
    if (st)
        return st;
    st = nn_plan_refresh(s->forward->plan);
    for (int at = 0; at < n && !st; at += s->batch) {
        st = stop_requested() ? STATUS_CANCELLED
                              : surrogate_load(s, sample + at, n - at, s->forward->in, e);
        if (!st)
            st = nn_plan_run(s->forward->plan);
        if (!st)
            train_eval_add(&ev, s->forward->out, s->label, s->batch);
    }
    if (!st)
        *out = 1 - train_eval_accuracy(&ev);
    train_eval_done(&ev);
    return st;
}

status surrogate_rounds(struct surrogate *s, struct protect_job *j, surrogate_noise_fn *make_noise,
                        const int *sample, int n, struct errmsg *e)
{
    const struct surrogate_param *param = s->param;
    double error = 1;
    struct progress p;
    progress_init(&p, "crafting", 0, (uint64_t)param->rounds, j->opt->quiet);
    int done = 0;
    status st = STATUS_OK;
    while (!st && done < param->rounds && error > param->stop_error) {
        st = learn(s, e);
        if (!st)
            st = train_attack_refresh(s->attack);
        if (!st)
            st = make_noise(j, e);
        if (!st)
            st = measure(s, sample, n, &error, e);
        char extra[48];
        snprintf(extra, sizeof extra, "surrogate error %.3f", error);
        progress_update(&p, (uint64_t)++done, extra);
    }
    if (st)
        return st;
    progress_done(&p, (uint64_t)done, NULL);
    j->result.rounds = done;
    j->result.surrogate_error = error;
    j->result.precision = param->precision;
    if (error > param->stop_error)
        log_warn(
            "the surrogate's error is still %.3f after %d rounds (wanted: %.3f); the protection "
            "may be weak",
            error, done, param->stop_error);
    return STATUS_OK;
}

/* ---- hooks ---- */

static const struct surrogate *surrogate_of(const struct protect_job *j)
{
    return *(struct surrogate *const *)j->state;
}

status surrogate_delta_row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct surrogate *s = surrogate_of(j);
    bool class_wise = j->method->shape(j).class_wise;
    (void)e;
    memcpy(out, s->delta(s->arg, class_wise ? 0 : i, class_wise ? i : 0), s->row * sizeof *out);
    return STATUS_OK;
}

void surrogate_describe(const struct protect_job *j, json_t *out)
{
    const struct surrogate *s = surrogate_of(j);
    const struct train_protect_result *r = &s->job->result;
    json_object_set_new(out, "surrogate", json_string(s->model->net->name));
    json_object_set_new(out, "batch", json_integer(s->batch));
    json_object_set_new(out, "precision", json_string(nn_precision_names[r->precision]));
    json_object_set_new(out, "rounds", json_integer(r->rounds));
    json_object_set_new(out, "surrogate_error", json_real(r->surrogate_error));
}
