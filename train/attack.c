#include "attack.h"

#include "clamp.h"

#include <string.h>

struct attack {
    struct nn_graph *graph;
    struct nn_plan *plan;
    size_t count, row; /* floats of a batch, of an image */
    int batch, channels;
    float *in;                     /* (batch,H,W,C) */
    int32_t *label;                /* (batch) */
    const float *grad;             /* (batch,H,W,C) */
    float *clean;                  /* (batch,H,W,C): where an attack began */
    float std[TRAIN_CHANNELS_MAX]; /* a grey level is 1/255/std */
    float low[TRAIN_CHANNELS_MAX], high[TRAIN_CHANNELS_MAX]; /* black and white */
};

static status build(struct attack *a, const struct train_model *m, enum attack_norm norm,
                    const struct nn_plan_options *po, struct errmsg *e)
{
    struct train_net_shape s = m->shape;
    status st = nn_graph_new(m->params, &a->graph);
    if (st)
        return st;
    struct nn_graph *g = a->graph;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(a->batch, s.height, s.width, s.channels));
    struct nn_val label = nn_input(g, "label", NN_I32, nn_shape1(a->batch)), grad = NN_NONE;
    nn_hold_statistics(g);
    struct nn_val logits = m->net->build(g, s, x, norm == ATTACK_BATCH, NULL);
    nn_gradients(g, nn_softmax_xent(g, logits, label), &x, 1, &grad);
    nn_output(g, grad, "grad");
    st = nn_plan_new(g, po, &a->plan, e);
    if (st)
        return st;
    a->in = nn_plan_data(a->plan, x);
    a->label = nn_plan_data(a->plan, label);
    a->grad = nn_plan_data(a->plan, grad);
    return STATUS_OK;
}

status train_attack_new(const struct train_model *m, enum attack_norm norm, int batch,
                        const struct nn_plan_options *po, struct attack **out, struct errmsg *e)
{
    AUTO(train_attack_free) struct attack *a = mem_zalloc(1, sizeof *a);
    if (!a)
        return STATUS_NOMEM;
    a->batch = batch;
    a->channels = m->shape.channels;
    a->row = (size_t)m->shape.width * (size_t)m->shape.height * (size_t)a->channels;
    a->count = (size_t)batch * a->row;
    for (int k = 0; k < a->channels; k++) {
        a->std[k] = m->std[k] != 0 ? m->std[k] : 1;
        a->low[k] = (0 - m->mean[k]) / a->std[k];
        a->high[k] = (1 - m->mean[k]) / a->std[k];
    }
    a->clean = mem_zalloc(a->count, sizeof *a->clean);
    status st = a->clean ? build(a, m, norm, po, e) : STATUS_NOMEM;
    if (!st)
        *out = TAKE(a);
    return st;
}

void train_attack_free(struct attack *a)
{
    if (!a)
        return;
    nn_plan_free(a->plan);
    nn_graph_free(a->graph);
    mem_free(a->clean);
    mem_free(a);
}

status train_attack_refresh(struct attack *a)
{
    return nn_plan_refresh(a->plan);
}

status train_attack_gradient(struct attack *a, const float *x, const int32_t *label,
                             const float **out_grad)
{
    memcpy(a->in, x, a->count * sizeof *x);
    memcpy(a->label, label, (size_t)a->batch * sizeof *label);
    status st = nn_plan_run(a->plan);
    if (!st)
        *out_grad = a->grad;
    return st;
}

/* Within eps of where it began, and an image. */
static float project(const struct attack *a, size_t i, float eps, float v)
{
    size_t k = i % (size_t)a->channels;
    float far = eps / 255 / a->std[k];
    return clamp(clamp(v, a->clean[i] - far, a->clean[i] + far), a->low[k], a->high[k]);
}

status train_attack_pgd(struct attack *a, const struct attack_options *o, struct nn_rng r,
                        const int32_t *label, float *x)
{
    memcpy(a->clean, x, a->count * sizeof *x);
    for (size_t i = 0; o->random_start && i < a->count; i++) {
        float far = (2 * nn_rng_uniform(r, i) - 1) * o->eps / 255;
        x[i] = project(a, i, o->eps, x[i] + far / a->std[i % (size_t)a->channels]);
    }
    float step = (o->descend ? -o->step : o->step) / 255;
    status st = STATUS_OK;
    for (int s = 0; s < o->steps && !st; s++) {
        const float *g;
        st = stop_requested() ? STATUS_CANCELLED : train_attack_gradient(a, x, label, &g);
        for (size_t i = 0; i < a->count && !st; i++) {
            float sign = (float)((g[i] > 0) - (g[i] < 0));
            x[i] = project(a, i, o->eps, x[i] + sign * step / a->std[i % (size_t)a->channels]);
        }
    }
    return st;
}
