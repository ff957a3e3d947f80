/*
 * EMN, error-minimising noise, class-wise (Huang et al., "Unlearnable Examples", ICLR 2021).
 * Surrogate and perturbation are trained in turns to make the loss small:
 *   1. 10 SGD steps of the surrogate on x + delta_y (lr .1, momentum .9, weight decay 5e-4, norm
 * 5);
 *   2. over a stratified fifth of the images, surrogate in evaluation mode: one signed descent step
 * of eps/10 for each image from its class's delta, kept within eps and the image within [0,1]; a
 *      class's delta becomes the mean over its images in the batch;
 *   3. the error on x + delta_y; done when it is at most stop_error.
 * The error is measured on that fifth, not on all images: the authors' full pass costs more than
 * the rest of a round and the two differ little, as delta is one per class.
 */
#include "protect/protect.h"

#include "gradients.h"
#include "model.h"
#include "set.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { SGD_STEPS = 10, SUBSET_PART = 5 };
static const float sgd_lr = .1f, sgd_momentum = .9f, sgd_decay = 5e-4f, sgd_clip = 5;

struct emn_param {
    char surrogate[PARAM_TEXT_MAX];
    int batch, rounds;
    double stop_error;
    enum nn_precision precision;
};
static const char *const precisions[NN_PREC_COUNT + 1] = {
    [NN_PREC_F32] = "f32", [NN_PREC_BF16] = "bf16"};
static const struct param params[] = {
    {"surrogate", PARAM_TEXT, offsetof(struct emn_param, surrogate), .standard = "resnet18",
     .about = "network"},
    {"batch", PARAM_INT, offsetof(struct emn_param, batch), .lo = 1, .hi = 1 << 16,
     .standard = "128", .about = "images a step"},
    {"stop_error", PARAM_DOUBLE, offsetof(struct emn_param, stop_error), .lo = 0, .hi = 1,
     .standard = "0.1", .about = "done at this error of the surrogate"},
    {"rounds", PARAM_INT, offsetof(struct emn_param, rounds), .lo = 1, .hi = 1000000,
     .standard = "100", .about = "rounds of training and crafting at most"},
    {"precision", PARAM_ENUM, offsetof(struct emn_param, precision), .names = precisions,
     .standard = "f32", .about = "see relearn train --help"},
};

/* A plan over batches of x + delta. */
struct pass {
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *x;
    int32_t *label;
    const float *loss, *grad; /* grad: of the noise pass only */
};

struct emn {
    struct train_model *model;
    struct pass learn, noise;
    struct forward *forward; /* measures the error */
    struct train_loader *loader;
    struct nn_optim *optim;
    int batch, batches; /* of an epoch */
    size_t row;
    float *delta; /* (K,H,W,C) */
    float *sum;   /* (K,H,W,C) of the batch's etas */
    int *count;   /* (K) images in the batch */
    int *subset;  /* (subset_n) sample numbers */
    int subset_n, threads;
    int64_t step;
};

/* ---- setting up ---- */

static struct nn_plan_options plan_options(const struct protect_job *j)
{
    const struct emn_param *p = j->param;
    return (struct nn_plan_options){.threads = j->threads, .precision = p->precision};
}

static status make_pass(const struct protect_job *j, struct emn *m, bool learn, struct pass *out,
                        struct errmsg *e)
{
    const struct nn_plan_options po = plan_options(j);
    struct train_net_shape s = m->model->shape;
    status st = nn_graph_new(m->model->params, &out->graph);
    if (st)
        return st;
    struct nn_graph *g = out->graph;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(m->batch, s.height, s.width, s.channels));
    struct nn_val label = nn_input(g, "label", NN_I32, nn_shape1(m->batch)), grad = NN_NONE;
    struct nn_val logits = m->model->net->build(g, s, x, learn, NULL);
    struct nn_val each = nn_softmax_xent(g, logits, label), loss = nn_mean(g, each);
    if (learn) {
        nn_param_gradients(g, loss, NULL, 0, NULL);
    } else {
        nn_gradients(g, each, &x, 1, &grad);
        nn_output(g, grad, "grad");
    }
    nn_output(g, loss, "loss");
    st = nn_plan_new(g, &po, &out->plan, e);
    if (st)
        return st;
    out->x = nn_plan_data(out->plan, x);
    out->label = nn_plan_data(out->plan, label);
    out->loss = nn_plan_data(out->plan, loss);
    out->grad = learn ? NULL : nn_plan_data(out->plan, grad);
    return STATUS_OK;
}

static status make_surrogate(const struct protect_job *j, struct emn *m, struct errmsg *e)
{
    const struct nn_plan_options po = plan_options(j);
    const char *arch = ((const struct emn_param *)j->param)->surrogate;
    const struct train_net *net = train_net_find(arch);
    if (!net)
        return train_net_unknown(arch, e);
    struct train_net_shape s = {j->info.width, j->info.height, j->info.channels, j->info.classes};
    status st = train_model_new(net, s, j->set, &m->model);
    if (!st)
        st = nn_params_init(m->model->params, j->opt->seed);
    if (!st)
        st = make_pass(j, m, true, &m->learn, e);
    if (!st)
        st = make_pass(j, m, false, &m->noise, e);
    if (!st)
        st = train_forward_new(m->model, m->batch, &po, false, &m->forward, e);
    struct nn_optim_options o = {
        .kind = NN_SGD, .momentum = sgd_momentum, .weight_decay = sgd_decay, .threads = j->threads};
    return st ? st : nn_optim_new(m->model->params, &o, &m->optim);
}

/* A fifth of each class, at least one image of each, in the order of the set. */
static status choose_subset(const struct protect_job *j, struct emn *m)
{
    int n = j->info.samples, classes = j->info.classes;
    AUTO(mem_free) int *order = mem_alloc((size_t)n * sizeof *order);
    AUTO(mem_free) int *want = mem_zalloc((size_t)classes, sizeof *want);
    AUTO(mem_free) bool *taken = mem_zalloc((size_t)n, sizeof *taken);
    m->subset = mem_alloc((size_t)n * sizeof *m->subset);
    if (!order || !want || !taken || !m->subset)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        want[train_set_label(j->set, i)]++;
    for (int k = 0; k < classes; k++)
        want[k] = (want[k] + SUBSET_PART - 1) / SUBSET_PART;
    nn_rng_shuffle(stream(j->opt->seed, STREAM_SUBSET, 0), order, n);
    for (int i = 0; i < n; i++)
        taken[order[i]] = want[train_set_label(j->set, order[i])]-- > 0;
    /* In a random order, so that a batch holds all classes. */
    for (int i = 0; i < n; i++)
        if (taken[order[i]])
            m->subset[m->subset_n++] = order[i];
    return STATUS_OK;
}

static status setup(struct protect_job *j, struct emn *m, struct errmsg *e)
{
    const struct emn_param *p = j->param;
    m->batch = p->batch < j->info.samples ? p->batch : j->info.samples;
    m->row = (size_t)j->info.width * (size_t)j->info.height * (size_t)j->info.channels;
    size_t k = (size_t)j->info.classes;
    m->delta = mem_zalloc(k * m->row, sizeof *m->delta);
    m->sum = mem_zalloc(k * m->row, sizeof *m->sum);
    m->count = mem_zalloc(k, sizeof *m->count);
    if (!m->delta || !m->sum || !m->count)
        return STATUS_NOMEM;
    status st = train_precision_check(p->precision, e);
    if (!st)
        st = make_surrogate(j, m, e);
    if (!st)
        st = choose_subset(j, m);
    struct train_loader_options lo = {.batch = m->batch,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .seed = j->opt->seed,
                                      .threads = j->threads};
    if (!st)
        st = train_loader_new(j->set, &lo, &m->loader, e);
    if (!st)
        m->batches = train_loader_batches(m->loader);
    return st;
}

/* ---- the three parts of a round ---- */

/* in [0,1] -> what the network sees */
static void scale_input(const struct emn *m, float *x, size_t n)
{
    float mean = m->model->net->mean, std = m->model->net->std;
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - mean) / std;
}

static status learn(struct emn *m, struct errmsg *e)
{
    const struct train_batch *b;
    status st = STATUS_OK;
    for (int s = 0; s < SGD_STEPS && !st; s++) {
        int64_t at = m->step % m->batches;
        if (at == 0 || s == 0)
            st = train_loader_start(m->loader, (uint64_t)(m->step / m->batches), (int)at);
        if (!st)
            st = train_loader_next(m->loader, &b, e);
        if (!st && stop_requested())
            st = STATUS_CANCELLED;
        if (st)
            break;
        for (int i = 0; i < m->batch; i++) {
            const float *d = m->delta + (size_t)b->label[i] * m->row,
                        *x = b->x + (size_t)i * m->row;
            for (size_t p = 0; p < m->row; p++)
                m->learn.x[(size_t)i * m->row + p] = x[p] + d[p];
            m->learn.label[i] = b->label[i];
        }
        scale_input(m, m->learn.x, (size_t)m->batch * m->row);
        st = nn_plan_run(m->learn.plan);
        if (!st)
            st = train_check_gradients(m->model->params, m->learn.loss[0], sgd_clip, m->threads,
                                       m->step, e);
        if (st)
            break;
        nn_optim_step(m->optim, sgd_lr);
        st = nn_plan_refresh(m->learn.plan);
        m->step++;
    }
    return st;
}

/* Images at.. of the subset, perturbed, as a network's input; rows past the end get label -1. */
static status load_subset(const struct protect_job *j, struct emn *m, int at, float *input,
                          struct errmsg *e)
{
    for (int i = 0; i < m->batch; i++) {
        float *x = input + (size_t)i * m->row;
        if (at + i >= m->subset_n) {
            memset(x, 0, m->row * sizeof *x);
            m->noise.label[i] = -1;
            continue;
        }
        struct set_view v;
        int sample = m->subset[at + i], label = train_set_label(j->set, sample);
        status st = train_set_view(j->set, sample, &v, e);
        if (st)
            return st;
        for (size_t p = 0; p < m->row; p++)
            x[p] = (float)v.pixels[p] / 255 + m->delta[(size_t)label * m->row + p];
        m->noise.label[i] = label;
        train_set_view_done(&v);
    }
    scale_input(m, input, (size_t)m->batch * m->row);
    return STATUS_OK;
}

static float clamp(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* The eta of each image of the batch, summed per class; then the classes' new deltas. */
static status move_deltas(const struct protect_job *j, struct emn *m, int at, struct errmsg *e)
{
    float eps = (float)(j->eps / 255), step = eps / 10;
    size_t k = (size_t)j->info.classes;
    memset(m->sum, 0, k * m->row * sizeof *m->sum);
    memset(m->count, 0, k * sizeof *m->count);
    for (int i = 0; i < m->batch && at + i < m->subset_n; i++) {
        struct set_view v;
        size_t label = (size_t)m->noise.label[i];
        status st = train_set_view(j->set, m->subset[at + i], &v, e);
        if (st)
            return st;
        const float *g = m->noise.grad + (size_t)i * m->row, *d = m->delta + label * m->row;
        for (size_t p = 0; p < m->row; p++) {
            float x = (float)v.pixels[p] / 255;
            float eta = clamp(d[p] - step * (float)((g[p] > 0) - (g[p] < 0)), -eps, eps);
            m->sum[label * m->row + p] += clamp(x + eta, 0, 1) - x;
        }
        m->count[label]++;
        train_set_view_done(&v);
    }
    for (size_t c = 0; c < k; c++)
        for (size_t p = 0; p < m->row && m->count[c]; p++)
            m->delta[c * m->row + p] =
                clamp(m->sum[c * m->row + p] / (float)m->count[c], -eps, eps);
    return STATUS_OK;
}

static status make_noise(const struct protect_job *j, struct emn *m, struct errmsg *e)
{
    status st = nn_plan_refresh(m->noise.plan);
    for (int at = 0; at < m->subset_n && !st; at += m->batch) {
        st = stop_requested() ? STATUS_CANCELLED : load_subset(j, m, at, m->noise.x, e);
        if (!st)
            st = nn_plan_run(m->noise.plan);
        if (!st)
            st = move_deltas(j, m, at, e);
    }
    return st;
}

static status measure(const struct protect_job *j, struct emn *m, double *out, struct errmsg *e)
{
    struct train_eval ev;
    status st = train_eval_init(&ev, j->info.classes);
    if (st)
        return st;
    st = nn_plan_refresh(m->forward->plan);
    for (int at = 0; at < m->subset_n && !st; at += m->batch) {
        st = stop_requested() ? STATUS_CANCELLED : load_subset(j, m, at, m->forward->in, e);
        if (!st)
            st = nn_plan_run(m->forward->plan);
        if (!st)
            train_eval_add(&ev, m->forward->out, m->noise.label, m->batch);
    }
    if (!st)
        *out = 1 - train_eval_accuracy(&ev);
    train_eval_done(&ev);
    return st;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    struct emn *m = j->state = mem_zalloc(1, sizeof *m);
    if (m)
        m->threads = j->threads;
    if (!m)
        return STATUS_NOMEM;
    status st = setup(j, m, e);
    if (st)
        return st;
    const struct emn_param *param = j->param;
    int rounds = param->rounds;
    double stop = param->stop_error, error = 1;
    struct progress p;
    progress_init(&p, "crafting", 0, (uint64_t)rounds, j->opt->quiet);
    int done = 0;
    while (!st && done < rounds && error > stop) {
        st = learn(m, e);
        if (!st)
            st = make_noise(j, m, e);
        if (!st)
            st = measure(j, m, &error, e);
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
    if (error > stop)
        log_warn(
            "the surrogate's error is still %.3f after %d rounds (wanted: %.3f); the protection "
            "may be weak",
            error, done, stop);
    return STATUS_OK;
}

/* ---- results ---- */

static status row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct emn *m = j->state;
    (void)e;
    memcpy(out, m->delta + (size_t)i * m->row, m->row * sizeof *out);
    return STATUS_OK;
}

static struct protect_shape shape(const struct protect_job *j)
{
    return (struct protect_shape){
        .shape = nn_shape4(j->info.classes, j->info.height, j->info.width, j->info.channels),
        .class_wise = true,
        .patch = 1};
}

static void describe(const struct protect_job *j, json_t *out)
{
    const struct emn *m = j->state;
    json_object_set_new(out, "surrogate", json_string(m->model->net->name));
    json_object_set_new(out, "batch", json_integer(m->batch));
    json_object_set_new(out, "precision", json_string(nn_precision_names[j->result.precision]));
    json_object_set_new(out, "rounds", json_integer(j->result.rounds));
    json_object_set_new(out, "surrogate_error", json_real(j->result.surrogate_error));
}

static void pass_done(struct pass *p)
{
    nn_plan_free(p->plan);
    nn_graph_free(p->graph);
}

static void done(struct protect_job *j)
{
    struct emn *m = j->state;
    if (!m)
        return;
    train_loader_free(m->loader);
    nn_optim_free(m->optim);
    train_forward_free(m->forward);
    pass_done(&m->learn);
    pass_done(&m->noise);
    train_model_free(m->model);
    mem_free(m->delta);
    mem_free(m->sum);
    mem_free(m->count);
    mem_free(m->subset);
    mem_free(m);
}

const struct protect_method protect_emn_class = {
    .name = "emn-class",
    .summary = "error-minimising noise, one pattern a class; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct emn_param),
    .prepare = prepare,
    .shape = shape,
    .row = row,
    .describe = describe,
    .done = done,
};
