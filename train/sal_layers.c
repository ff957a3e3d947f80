/* Of which layers a network consists, and the loss that their weights are moved on. The plan with a
   layer's gradient is made when its turn comes: all of them together would take the memory of as
   many training steps. */
#include "sal.h"

#include <string.h>

enum {
    GRADIENT_BATCH = 64, /* small, so that few images make as many steps as they can */
    FORWARD_BATCH = 256
};
static const char suffix[] = ".weight";

struct sal {
    const struct train_model *model;
    struct sal_images images;
    struct nn_plan_options plan;
    struct forward *forward;
    struct train_eval counted;
    size_t row;    /* floats of an image */
    int layers;    /* how many */
    int *entry;    /* (layers), of the model's parameters */
    double *value; /* (layers) */
};

/* ---- layers ---- */

static bool is_layer(const struct nn_param_entry *p)
{
    size_t n = strlen(p->name), end = strlen(suffix);
    return p->trainable && p->shape.rank >= 2 && n > end && strcmp(p->name + n - end, suffix) == 0;
}

static status find_layers(struct sal *s)
{
    int n = nn_params_count(s->model->params);
    s->entry = mem_zalloc((size_t)n + 1, sizeof *s->entry);
    s->value = mem_zalloc((size_t)n + 1, sizeof *s->value);
    if (!s->entry || !s->value)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        if (is_layer(nn_params_at(s->model->params, i)))
            s->entry[s->layers++] = i;
    return STATUS_OK;
}

status train_sal_new(const struct train_model *m, const struct sal_images *images,
                     const struct nn_plan_options *po, struct sal **out, struct errmsg *e)
{
    AUTO(train_sal_free) struct sal *s = mem_zalloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    s->model = m;
    s->images = *images;
    s->plan = *po;
    s->row = (size_t)m->shape.width * (size_t)m->shape.height * (size_t)m->shape.channels;
    int batch = images->n < FORWARD_BATCH ? images->n : FORWARD_BATCH;
    status st = train_forward_new(m, batch, po, false, &s->forward, e);
    if (!st)
        st = find_layers(s);
    if (!st)
        st = train_eval_init(&s->counted, m->shape.classes);
    if (!st)
        *out = TAKE(s);
    return st;
}

void train_sal_free(struct sal *s)
{
    if (!s)
        return;
    train_eval_done(&s->counted);
    train_forward_free(s->forward);
    mem_free(s->entry);
    mem_free(s->value);
    mem_free(s);
}

int train_sal_layers(const struct sal *s)
{
    return s->layers;
}

const char *train_sal_layer(const struct sal *s, int i, char out[NN_NAME_MAX])
{
    snprintf(out, NN_NAME_MAX, "%s", nn_params_at(s->model->params, s->entry[i])->name);
    out[strlen(out) - strlen(suffix)] = 0;
    return out;
}

double train_sal_value(const struct sal *s, int i)
{
    return s->value[i];
}

/* ---- one layer's plan ---- */

struct layer {
    struct sal *s;
    struct nn_graph *graph;
    struct nn_plan *plan;
    int batch, batches; /* images of a step at most, steps of a pass */
    float *in;          /* (batch,H,W,C) */
    int32_t *label;     /* (batch) */
    float *grad;        /* of the sum of the batch's losses; as large as the weights */
    size_t n;
};

static status build(struct layer *l, const struct nn_param_entry *entry, struct errmsg *e)
{
    const struct train_model *m = l->s->model;
    struct train_net_shape s = m->shape;
    status st = nn_graph_new(m->params, &l->graph);
    if (st)
        return st;
    struct nn_graph *g = l->graph;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(l->batch, s.height, s.width, s.channels));
    struct nn_val label = nn_input(g, "label", NN_I32, nn_shape1(l->batch)), grad = NN_NONE;
    struct nn_val logits = m->net->build(g, s, x, false, NULL);
    struct nn_val w =
        nn_param(g, entry->name, entry->shape, NN_INIT_ZERO); /* the one that is there */
    nn_gradients(g, nn_softmax_xent(g, logits, label), &w, 1, &grad);
    nn_output(g, grad, "grad");
    st = nn_plan_new(g, &l->s->plan, &l->plan, e);
    if (st)
        return st;
    l->in = nn_plan_data(l->plan, x);
    l->label = nn_plan_data(l->plan, label);
    l->grad = nn_plan_data(l->plan, grad);
    return STATUS_OK;
}

/* Batches are as equal as can be: a last one of few images would count as much as the others. */
static status gradient(void *arg, int batch, const float **out)
{
    struct layer *l = arg;
    const struct sal_images *all = &l->s->images;
    size_t row = l->s->row;
    int at = (int)((int64_t)all->n * batch / l->batches);
    int n = (int)((int64_t)all->n * (batch + 1) / l->batches) - at;
    memcpy(l->in, all->x + (size_t)at * row, (size_t)n * row * sizeof *l->in);
    for (int i = 0; i < l->batch; i++)
        l->label[i] = i < n ? all->label[at + i] : -1; /* adds nothing to loss or gradient */
    status st = nn_plan_refresh(l->plan);
    if (!st)
        st = nn_plan_run(l->plan);
    for (size_t i = 0; i < l->n && !st; i++)
        l->grad[i] /= (float)n;
    if (!st)
        *out = l->grad;
    return st;
}

static status measure(struct sal *s, double *out)
{
    struct forward *f = s->forward;
    struct train_eval *ev = &s->counted;
    ev->samples = ev->correct = 0;
    ev->loss = 0;
    status st = nn_plan_refresh(f->plan);
    for (int at = 0; at < s->images.n && !st; at += f->batch) {
        int n = s->images.n - at < f->batch ? s->images.n - at : f->batch;
        if (stop_requested())
            return STATUS_CANCELLED;
        memcpy(f->in, s->images.x + (size_t)at * s->row, (size_t)n * s->row * sizeof *f->in);
        st = nn_plan_run(f->plan);
        if (!st)
            train_eval_add(ev, f->out, s->images.label + at, n);
    }
    if (!st)
        *out = ev->loss;
    return st;
}

static status measure_layer(void *arg, double *out)
{
    return measure(((struct layer *)arg)->s, out);
}

static status search(struct sal *s, int i, double loss, struct errmsg *e)
{
    struct nn_param_entry *entry = nn_params_at(s->model->params, s->entry[i]);
    struct layer l = {.s = s, .n = (size_t)nn_shape_count(entry->shape)};
    l.batches = (s->images.n + GRADIENT_BATCH - 1) / GRADIENT_BATCH;
    l.batch = (s->images.n + l.batches - 1) / l.batches;
    status st = build(&l, entry, e);
    const struct sal_problem p = {entry->value, l.n, l.batches, loss, gradient, measure_layer, &l};
    if (!st)
        st = train_sal_search(&p, &s->value[i]);
    nn_plan_free(l.plan);
    nn_graph_free(l.graph);
    return st;
}

status train_sal_measure(struct sal *s, struct errmsg *e)
{
    double loss;
    status st = measure(s, &loss);
    for (int i = 0; i < s->layers && !st; i++)
        st = search(s, i, loss, e);
    return st;
}
