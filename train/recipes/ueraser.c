/*
 * UEraser (Qin et al. 2023): of several augmented views of each image the network learns from the
 * one whose loss is greatest. The losses are computed with the batch's statistics, and the running
 * ones do not move; the step that follows is an ordinary one. After the part `until` of the epochs,
 * a single view is drawn. (Their defaults: 5 views; all epochs for "Max", the first 60 of 200
 * otherwise; one view, no choice, for "Lite".)
 */
#include "recipes/views.h"
#include "run.h"

#include <math.h>
#include <string.h>

struct options {
    int draws;
    double until;
    char augment[PARAM_TEXT_MAX];
};
static const struct param rows[] = {
    {"draws", PARAM_INT, offsetof(struct options, draws), .lo = 1, .hi = 100, .standard = "5",
     .about = "views, the worst of which is learned"},
    {"until", PARAM_DOUBLE, offsetof(struct options, until), .lo = 0, .hi = 1, .standard = "1",
     .about = "part of the epochs in which that is done; one view after it"},
    {"augment", PARAM_TEXT, offsetof(struct options, augment),
     .standard = "plasma-brightness,plasma-contrast,shuffle,trivial",
     .about = "what makes a view, as in --augment"},
};

struct state {
    struct recipe_views views;
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *in;         /* (batch,H,W,C) */
    int32_t *label;    /* (batch) */
    const float *loss; /* (batch) */
    size_t row;        /* floats of an image */
    float *clean;      /* (batch,H,W,C) as it was loaded */
    float *worst;      /* (batch) greatest loss so far */
};

static status make_plan(struct run *r, struct state *s, struct errmsg *e)
{
    const struct nn_plan_options po = {.threads = r->threads, .precision = r->opt->precision};
    struct train_net_shape shape = r->model->shape;
    status st = nn_graph_new(r->model->params, &s->graph);
    if (st)
        return st;
    struct nn_graph *g = s->graph;
    nn_hold_statistics(g);
    struct nn_val x =
        nn_input(g, "x", NN_F32, nn_shape4(r->batch, shape.height, shape.width, shape.channels));
    struct nn_val label = nn_input(g, "label", NN_I32, nn_shape1(r->batch));
    struct nn_val loss = nn_softmax_xent(g, r->model->net->build(g, shape, x, true, NULL), label);
    nn_output(g, loss, "loss");
    st = nn_plan_new(g, &po, &s->plan, e);
    if (st)
        return st;
    s->in = nn_plan_data(s->plan, x);
    s->label = nn_plan_data(s->plan, label);
    s->loss = nn_plan_data(s->plan, loss);
    return STATUS_OK;
}

static status open_views(struct run *r, struct errmsg *e)
{
    struct state *s = r->state;
    s->row = recipe_views_row(r);
    s->clean = mem_zalloc((size_t)r->batch * s->row, sizeof *s->clean);
    s->worst = mem_zalloc((size_t)r->batch, sizeof *s->worst);
    if (!s->clean || !s->worst)
        return STATUS_NOMEM;
    status st = recipe_views_open(&s->views, r, ((const struct options *)r->params)->augment, e);
    return st ? st : make_plan(r, s, e);
}

static void close_views(struct run *r)
{
    struct state *s = r->state;
    recipe_views_done(&s->views);
    nn_plan_free(s->plan);
    nn_graph_free(s->graph);
    mem_free(s->clean);
    mem_free(s->worst);
}

/* Image i of the batch as it was loaded, in view number `draw`. */
static status view(const struct run *r, int draw, int i, float *out)
{
    const struct state *s = r->state;
    return recipe_view(&s->views, r, draw, i, s->clean + (size_t)i * s->row, out);
}

/* Views of all images into the plan; where the loss is greater than it was, into the batch. */
static status draw_views(struct run *r, int draw)
{
    struct state *s = r->state;
    status st = stop_requested() ? STATUS_CANCELLED : STATUS_OK;
    for (int i = 0; i < r->batch && !st; i++)
        st = view(r, draw, i, s->in + (size_t)i * s->row);
    if (!st)
        st = nn_plan_run(s->plan);
    for (int i = 0; i < r->batch && !st; i++)
        if (!(s->loss[i] <= s->worst[i])) {
            s->worst[i] = s->loss[i];
            memcpy(r->in + (size_t)i * s->row, s->in + (size_t)i * s->row, s->row * sizeof *r->in);
        }
    return st;
}

static status batch(struct run *r)
{
    const struct options *o = r->params;
    struct state *s = r->state;
    memcpy(s->clean, r->in, (size_t)r->batch * s->row * sizeof *r->in);
    status st = STATUS_OK;
    if (r->at.epoch >= o->until * r->opt->epochs) {
        for (int i = 0; i < r->batch && !st; i++)
            st = view(r, 0, i, r->in + (size_t)i * s->row);
        return st;
    }
    memcpy(s->label, r->label, (size_t)r->batch * sizeof *s->label);
    for (int i = 0; i < r->batch; i++)
        s->worst[i] = -INFINITY;
    st = nn_plan_refresh(s->plan);
    for (int draw = 0; draw < o->draws && !st; draw++)
        st = draw_views(r, draw);
    return st;
}

static status check(const void *params, struct errmsg *e)
{
    return recipe_views_check(((const struct options *)params)->augment, e);
}

const struct recipe_ops recipe_ueraser = {
    .is = {.name = "ueraser",
           .summary = "of 5 strongly augmented views of each image, the one with the greatest loss",
           .params = PARAM_TABLE(rows, struct options)},
    .check = check,
    .state_size = sizeof(struct state),
    .open = open_views,
    .close = close_views,
    .batch = batch,
};
