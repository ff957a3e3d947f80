/*
 * Orthogonal projection (Sandoval-Segura et al. 2023, "What can we learn from unlearnable
 * datasets?"): a perturbation that is the same for all images of a class, or nearly so, is what a
 * linear classifier of the pixels reads first. So one is trained on the training images, and what
 * its weight rows span is taken out of each of them, whole, before anything is cropped. The rest is
 * the standard recipe, with whatever augmentations are asked for. Test images stay as they are.
 *
 * As published: softmax regression without a bias on pixels in [0,1], SGD with rate 0.1, which falls
 * to a tenth after half and three quarters of 20 epochs; the results are not rounded to 8 bits.
 * Ours: the weights begin at zero, not at random (of what was not learned, nothing is taken), and
 * a step has 128 images, not 1024 (of 50,000), so that smaller sets have enough of them.
 */
#include "recipes/projection.h"

#include "class_step.h"
#include "loop.h"
#include "recipe.h"
#include "run.h"

#include <math.h>
#include <string.h>

static const struct param rows[] = {
    {"epochs", PARAM_INT, offsetof(struct projection_options, epochs), .lo = 1, .hi = 10000,
     .standard = "20", .about = "of the linear classifier"},
    {"batch", PARAM_INT, offsetof(struct projection_options, batch), .lo = 1, .hi = 1 << 20,
     .standard = "128", .unit = "images", .about = "of a step of it"},
    {"lr", PARAM_FLOAT, offsetof(struct projection_options, lr), .lo = 1e-6, .hi = 100,
     .standard = "0.1", .about = "its learning rate at the start"},
};

/* ---- the linear classifier ---- */

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    int size = s.width * s.height * s.channels;
    struct nn_val w = nn_param(g, "weight", nn_shape2(s.classes, size), NN_INIT_ZERO);
    (void)training;
    (void)out_stage;
    x = nn_reshape(g, x, nn_shape2(nn_val_shape(g, x).dim[0], size));
    return nn_linear(g, x, w, NN_NONE);
}
static const struct train_net linear = {.std = 1, .build = build};

struct lessons {
    const struct projection_options *opt;
    struct train_model *model;
    struct class_step learning;
    struct train_loader *loader;
    struct nn_optim *optim;
    size_t row;
};

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct lessons *l = arg;
    (void)e;
    memcpy(l->learning.x, b->x, (size_t)b->n * l->row * sizeof *b->x);
    memcpy(l->learning.label, b->label, (size_t)b->n * sizeof *b->label);
    return STATUS_OK;
}

static float rate(const void *arg, int64_t step)
{
    const struct lessons *l = arg;
    int64_t epoch = step / train_loader_batches(l->loader);
    return l->opt->lr * (2 * epoch < l->opt->epochs       ? 1
                         : 4 * epoch < 3 * l->opt->epochs ? .1f
                                                          : .01f);
}

static status begin(struct lessons *l, struct train_set *set, uint64_t seed, int threads,
                    struct errmsg *e)
{
    struct train_set_info info = train_set_info(set);
    const struct nn_plan_options po = {.threads = threads};
    const struct nn_optim_options oo = {.kind = NN_SGD, .threads = threads};
    int batch = l->opt->batch < info.samples ? l->opt->batch : info.samples;
    struct train_net_shape shape = {info.width, info.height, info.channels, info.classes};
    l->row = (size_t)info.width * (size_t)info.height * (size_t)info.channels;
    status st = model_alloc(&linear, shape, &l->model);
    if (!st)
        st = model_create_params(l->model, e);
    if (!st)
        st = nn_params_init(l->model->params, 0);
    if (st)
        return st;
    struct train_loader_options lo = train_forward_loader(l->model, batch, threads);
    lo.shuffle = lo.drop_last = true;
    lo.seed = seed;
    st = train_class_step_new(l->model, batch, &po, &l->learning, e);
    if (!st)
        st = train_loader_new(set, &lo, &l->loader, e);
    return st ? st : nn_optim_new(l->model->params, &oo, &l->optim);
}

static status learn(struct lessons *l, int threads, struct errmsg *e)
{
    struct train_loop loop = {.loader = l->loader,
                              .params = l->model->params,
                              .plan = l->learning.plan,
                              .loss = l->learning.loss,
                              .optim = l->optim,
                              .threads = threads,
                              .arg = l,
                              .load = load,
                              .rate = rate};
    return train_loop_run(&loop, (int64_t)l->opt->epochs * train_loader_batches(l->loader), e);
}

static void end(struct lessons *l)
{
    train_loader_free(l->loader);
    nn_optim_free(l->optim);
    train_class_step_done(&l->learning);
    train_model_free(l->model);
}

/* ---- directions ---- */

static double dot(const float *a, const float *b, size_t size)
{
    double sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void take_out(const float *q, size_t size, float *x)
{
    float part = (float)dot(q, x, size);
    for (size_t i = 0; i < size; i++)
        x[i] -= part * q[i];
}

/* Gram-Schmidt, each row twice: once leaves what rounding made of a row that is nearly spanned. */
int projection_orthonormalise(float *row, int n, size_t size)
{
    const double spanned = 1e-4; /* of a row's length: what is left is rounding */
    int kept = 0;
    for (int i = 0; i < n; i++) {
        float *to = row + (size_t)kept * size;
        double before = sqrt(dot(row + (size_t)i * size, row + (size_t)i * size, size));
        memmove(to, row + (size_t)i * size, size * sizeof *to);
        for (int k = 0; k < 2 * kept; k++)
            take_out(row + (size_t)(k % kept) * size, size, to);
        double left = sqrt(dot(to, to, size));
        if (!(left > spanned * before))
            continue;
        for (size_t p = 0; p < size; p++)
            to[p] = (float)(to[p] / left);
        kept++;
    }
    return kept;
}

status projection_find(struct train_set *set, const struct projection_options *opt, uint64_t seed,
                       int threads, struct projection *out, struct errmsg *e)
{
    struct lessons l = {.opt = opt};
    status st = begin(&l, set, seed, threads, e);
    if (!st)
        st = learn(&l, threads, e);
    int classes = train_set_info(set).classes;
    size_t floats = (size_t)classes * l.row;
    float *q = st ? NULL : mem_alloc(floats * sizeof *q);
    if (!st && !q)
        st = STATUS_NOMEM;
    if (!st) {
        memcpy(q, nn_params_at(l.model->params, 0)->value, floats * sizeof *q);
        *out = (struct projection){q, projection_orthonormalise(q, classes, l.row), l.row};
    }
    end(&l);
    return st;
}

void projection_remove(const struct projection *p, float *x)
{
    for (int k = 0; k < p->n; k++)
        take_out(p->q + (size_t)k * p->size, p->size, x);
}

void projection_done(struct projection *p)
{
    mem_free(p->q);
    *p = (struct projection){.n = 0};
}

/* ---- hooks ---- */

static status open_projection(struct run *r, struct errmsg *e)
{
    return projection_find(r->set, r->params, r->opt->seed, r->threads, r->state, e);
}

static void close_projection(struct run *r)
{
    projection_done(r->state);
}

static void image(const struct run *r, int sample, float *x)
{
    (void)sample;
    projection_remove(r->state, x);
}

const struct recipe_ops recipe_projection = {
    .is = {.name = "projection",
           .summary = "standard, with what a linear classifier reads taken out of all images first",
           .params = PARAM_TABLE(rows, struct projection_options)},
    .state_size = sizeof(struct projection),
    .open = open_projection,
    .close = close_projection,
    .image = image,
};
