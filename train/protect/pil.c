/*
 * PIL, perturbation-induced linearization ("Perturbation-Induced Linearization: Constructing
 * Unlearnable Data with Solely Linear Classifiers", ICLR 2026). The surrogate f is linear and has no
 * bias (two layers, as the authors'), trained on the images as they are: learning rate .003 by a
 * cosine, no weight decay. Then noise of each image starts as U(-eps,eps) and takes signed
 * descent steps of eps/10, kept within eps, on
 *
 *     balance * CE(f(noise), y) + (1 - balance) * KL(uniform || softmax f(x - noise)).
 *
 * What is added is -noise: by itself it says the class to a linear model, and with it the image says
 * none. The image is clipped only when it is written.
 *
 * An image's noise depends on nothing but the surrogate and its own number: it is made when it is
 * written. Images are drawn in a random order in training: class folders are sorted, the authors'
 * data was not.
 */
#include "protect/pil.h"

#include "clamp.h"
#include "protect/clean_surrogate.h"

#include "set.h"
#include "stream.h"

#include <math.h>
#include <string.h>

struct pil_param {
    int epochs, batch, steps;
    double balance;
};
static const struct param params[] = {
    {"epochs", PARAM_INT, offsetof(struct pil_param, epochs), .lo = 1, .hi = 100000,
     .standard = "30", .about = "of training the linear classifier"},
    {"batch", PARAM_INT, offsetof(struct pil_param, batch), .lo = 1, .hi = 1 << 16,
     .standard = "512", .about = "images a step of that"},
    {"steps", PARAM_INT, offsetof(struct pil_param, steps), .lo = 1, .hi = 1000, .standard = "30",
     .about = "of descent on an image"},
    {"balance", PARAM_DOUBLE, offsetof(struct pil_param, balance), .lo = 0, .hi = 1,
     .standard = "0.9", .about = "part of saying the class; the rest: of hiding the image's"},
};

struct pil {
    struct pil_model model;
    float *a, *b;
};

/* ---- the surrogate ---- */

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    int values = s.width * s.height * s.channels, k = s.classes;
    struct nn_val a = nn_param(g, "a.weight", nn_shape2(k, values), NN_INIT_UNIFORM_FANIN);
    struct nn_val b = nn_param(g, "b.weight", nn_shape2(k, k), NN_INIT_UNIFORM_FANIN);
    (void)training;
    (void)out_stage;
    x = nn_reshape(g, x, nn_shape2(nn_val_shape(g, x).dim[0], values));
    return nn_linear(g, nn_linear(g, x, a, NN_NONE), b, NN_NONE);
}

static const struct train_net linear = {
    .name = "linear", .summary = "two linear layers", .std = 1, .lr = .003f, .build = build};

static float cosine(double part)
{
    return (float)(.5 * (1 + cos(part * acos(-1))));
}

static status keep(struct pil *s, struct train_model *m)
{
    const float *a = nn_params_find(m->params, "a.weight")->value;
    const float *b = nn_params_find(m->params, "b.weight")->value;
    size_t k = (size_t)m->shape.classes;
    size_t n = (size_t)m->shape.width * (size_t)m->shape.height * (size_t)m->shape.channels;
    s->a = mem_alloc(n * k * sizeof *s->a);
    s->b = mem_alloc(k * k * sizeof *s->b);
    if (!s->a || !s->b)
        return STATUS_NOMEM;
    for (size_t p = 0; p < n; p++)
        for (size_t i = 0; i < k; i++)
            s->a[p * k + i] = a[i * n + p];
    memcpy(s->b, b, k * k * sizeof *b);
    s->model = (struct pil_model){m->shape.classes, n, s->a, s->b};
    return STATUS_OK;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct pil_param *p = j->param;
    struct pil *s = j->state = mem_zalloc(1, sizeof *s);
    const struct clean_recipe recipe = {
        .net = &linear, .epochs = p->epochs, .batch = p->batch, .rate = cosine};
    AUTO(train_model_free) struct train_model *m = NULL;
    status st = s ? clean_surrogate_train(j, &recipe, &m, e) : STATUS_NOMEM;
    return st ? st : keep(s, m);
}

/* ---- the loss ---- */

void protect_pil_logits(const struct pil_model *m, const float *v, float *hidden, float *logits)
{
    size_t k = (size_t)m->classes;
    memset(hidden, 0, k * sizeof *hidden);
    for (size_t p = 0; p < m->values; p++)
        for (size_t i = 0; i < k; i++)
            hidden[i] += m->a[p * k + i] * v[p];
    for (size_t i = 0; i < k; i++) {
        logits[i] = 0;
        for (size_t h = 0; h < k; h++)
            logits[i] += m->b[i * k + h] * hidden[h];
    }
}

/* Adds weight * (softmax(logits) - target), the gradient of a cross entropy, to out; target is
   `other` but for the label's, which is `own`. Returns weight * (that entropy). */
static double entropy(const float *logits, int k, int label, float own, float other, float weight,
                      float *out)
{
    double most = (double)logits[0], sum = 0, loss = 0;
    for (int i = 1; i < k; i++)
        most = fmax(most, (double)logits[i]);
    for (int i = 0; i < k; i++)
        sum += exp((double)logits[i] - most);
    for (int i = 0; i < k; i++) {
        double target = (double)(i == label ? own : other),
               log_p = (double)logits[i] - most - log(sum);
        loss -= target * log_p;
        out[i] += weight * (float)(exp(log_p) - target);
    }
    return (double)weight * loss;
}

double protect_pil_loss(const struct pil_model *m, float balance, int label, const float *clean,
                        const float *noise, float *scratch, float *grad)
{
    size_t k = (size_t)m->classes;
    float *logits = scratch, *rest = scratch + k, *up = scratch + 2 * k, same = 1 / (float)k;
    protect_pil_logits(m, noise, rest, logits);
    for (size_t i = 0; i < k; i++) {
        rest[i] = clean[i] - logits[i];
        up[i] = 0;
    }
    /* f(x - noise) falls where f(noise) rises. */
    double loss = entropy(rest, m->classes, label, same, same, balance - 1, up);
    loss = entropy(logits, m->classes, label, 1, 0, balance, up) - loss;
    for (size_t h = 0; h < k; h++) {
        rest[h] = 0;
        for (size_t i = 0; i < k; i++)
            rest[h] += m->b[i * k + h] * up[i];
    }
    for (size_t p = 0; p < m->values; p++) {
        grad[p] = 0;
        for (size_t h = 0; h < k; h++)
            grad[p] += m->a[p * k + h] * rest[h];
    }
    return loss + (double)(1 - balance) * log((double)same);
}

/* ---- the perturbation ---- */

/* noise holds the image at first; clean, scratch: (K), (3 K) */
static status descend(const struct protect_job *j, int i, float *noise, float *grad, float *clean,
                      float *scratch)
{
    const struct pil *s = j->state;
    const struct pil_param *param = j->param;
    const struct nn_rng r = stream(j->opt->seed, STREAM_START, (uint64_t)i);
    float eps = (float)(j->eps / 255), step = eps / 10;
    protect_pil_logits(&s->model, noise, scratch, clean);
    for (size_t p = 0; p < s->model.values; p++)
        noise[p] = stream_uniform(r, p, -eps, eps);
    for (int at = 0; at < param->steps; at++) {
        if (stop_requested())
            return STATUS_CANCELLED;
        (void)protect_pil_loss(&s->model, (float)param->balance, train_set_label(j->set, i), clean,
                               noise, scratch, grad);
        for (size_t p = 0; p < s->model.values; p++)
            noise[p] = clamp(noise[p] - step * (float)((grad[p] > 0) - (grad[p] < 0)), -eps, eps);
    }
    return STATUS_OK;
}

static status row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct pil *s = j->state;
    size_t n = s->model.values, k = (size_t)s->model.classes;
    AUTO(mem_free) float *grad = mem_alloc((n + 4 * k) * sizeof *grad);
    struct set_view v;
    if (!grad)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    status st = train_set_view(j->set, i, &v, e);
    if (st)
        return st;
    for (size_t p = 0; p < n; p++)
        out[p] = (float)v.pixels[p] / 255;
    train_set_view_done(&v);
    st = descend(j, i, out, grad, grad + n, grad + n + k);
    for (size_t p = 0; p < n; p++)
        out[p] = -out[p];
    return st;
}

static void describe(const struct protect_job *j, json_t *out)
{
    clean_surrogate_describe(j, ((const struct pil_param *)j->param)->batch, out);
}

static void done(struct protect_job *j)
{
    struct pil *s = j->state;
    if (!s)
        return;
    mem_free(s->a);
    mem_free(s->b);
    mem_free(s);
}

const struct protect_method protect_pil = {
    .name = "pil",
    .summary =
        "noise that a linear classifier reads the class of; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct pil_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = row,
    .describe = describe,
    .done = done,
};
