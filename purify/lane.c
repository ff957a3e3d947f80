/*
 * Randomness: an image's key names the generator; the stream packs sample, round, step and purpose;
 * the position in the stream is the position on the canvas.
 */
#include "lane.h"

#include "jcdp.h"

#include <string.h>

/* ---- networks ---- */

static void net_done(struct lane_net *n)
{
    nn_plan_free(n->plan);
    nn_graph_free(n->graph);
}

static status net_plan(struct lane_net *n, struct nn_val in, struct nn_val in2, struct nn_val out,
                       enum nn_precision precision, struct errmsg *e)
{
    const struct nn_plan_options opt = {.threads = 1, .precision = precision, .shared = true};
    nn_output(n->graph, out, "out");
    status st = nn_plan_new(n->graph, &opt, &n->plan, e);
    if (st)
        return st;
    n->in = nn_plan_data(n->plan, in);
    n->in2 = nn_plan_data(n->plan, in2);
    n->out = nn_plan_data(n->plan, out);
    return STATUS_OK;
}

static status plan_unet(struct lane *l, struct errmsg *e)
{
    const struct purify_unet *u = &l->model->unet;
    status st = nn_graph_new(l->model->unet_params, &l->unet.graph);
    if (st)
        return st;
    struct nn_graph *g = l->unet.graph;
    struct nn_val x =
        nn_input(g, "x", NN_F32, nn_shape4(l->batch, u->size, u->size, u->in_channels));
    struct nn_val t = nn_input(g, "t", NN_F32, nn_shape1(l->batch));
    return net_plan(&l->unet, x, t, purify_unet_build(g, u, x, t, false),
                    l->model->values.precision, e);
}

static status plan_percept(struct lane *l, struct errmsg *e)
{
    const struct purify_unet *u = &l->model->unet;
    status st = nn_graph_new(l->model->percept_params, &l->percept.graph);
    if (st)
        return st;
    struct nn_graph *g = l->percept.graph;
    struct nn_shape s = nn_shape4(l->batch, u->size, u->size, u->in_channels);
    struct nn_val a = nn_input(g, "a", NN_F32, s), b = nn_input(g, "b", NN_F32, s), grad = NN_NONE;
    nn_gradients(g, purify_percept_distance(g, &l->model->percept, a, b), &a, 1, &grad);
    return net_plan(&l->percept, a, b, grad, NN_PREC_F32, e);
}

/* ---- life ---- */

status lane_init(struct lane *l, const struct diffusion *m, int batch, struct errmsg *e)
{
    size_t row = (size_t)m->unet.size * (size_t)m->unet.in_channels;
    *l = (struct lane){.model = m, .batch = batch, .elements = row * (size_t)m->unet.size};
    l->slot = mem_zalloc((size_t)batch, sizeof *l->slot);
    l->z = mem_alloc_aligned((size_t)batch * l->elements * sizeof *l->z);
    l->scratch = mem_alloc_aligned((row + 2) * sizeof *l->scratch);
    if (!l->slot || !l->z || !l->scratch)
        return STATUS_NOMEM;
    status st = jcdp_new(&m->values, &m->unet, batch, l->elements, &l->jcdp);
    if (!st)
        st = plan_unet(l, e);
    if (!st && m->guided_by_percept)
        st = plan_percept(l, e);
    return st;
}

void lane_done(struct lane *l)
{
    net_done(&l->unet);
    net_done(&l->percept);
    jcdp_free(l->jcdp);
    mem_free(l->slot);
    mem_free(l->z);
    mem_free(l->scratch);
}

/* ---- what the sampler asks for ---- */

static status env_eps(void *ctx, const float *x, int t, const float **out_eps)
{
    struct lane *l = ctx;
    memcpy(l->unet.in, x, (size_t)l->batch * l->elements * sizeof *x);
    for (int k = 0; k < l->batch; k++) {
        l->unet.in2[k] = (float)t;
        l->slot[k].image->evaluations += !l->slot[k].image->stopped;
    }
    *out_eps = l->unet.out;
    return nn_plan_run(l->unet.plan);
}

static status env_percept_gradient(void *ctx, const float *x, const float *y,
                                   const float **out_grad)
{
    struct lane *l = ctx;
    size_t bytes = (size_t)l->batch * l->elements * sizeof *x;
    memcpy(l->percept.in, x, bytes);
    memcpy(l->percept.in2, y, bytes);
    *out_grad = l->percept.out;
    return nn_plan_run(l->percept.plan);
}

/* 8 bits of sample, 8 of round, 16 of step, then the purpose: as wide as a profile's ranges. */
static uint64_t stream_of(enum jcdp_purpose purpose, int sample, int round, int step)
{
    return (uint64_t)sample | (uint64_t)round << 8 | (uint64_t)step << 16 | (uint64_t)purpose << 32;
}

static void env_noise(void *ctx, enum jcdp_purpose purpose, int round, int step, float *out)
{
    struct lane *l = ctx;
    for (int k = 0; k < l->batch; k++, out += l->elements) {
        const struct lane_slot *s = &l->slot[k];
        struct nn_rng rng = nn_rng(s->image->key, stream_of(purpose, s->sample, round, step));
        tiling_noise(&s->image->tiling, s->i, s->j, rng, l->scratch, out);
    }
}

static bool has_stopped(struct lane_image *m)
{
    if (!m->stopped && m->stop)
        m->stopped = m->stop(m->stop_arg);
    return m->stopped;
}

/* One image may have several slots next to each other, and is asked once. */
static int env_stop(void *ctx)
{
    struct lane *l = ctx;
    bool all = true;
    for (int k = 0; k < l->batch; k++)
        if (k == 0 || l->slot[k].image != l->slot[k - 1].image)
            all &= has_stopped(l->slot[k].image);
    return all;
}

status lane_run(struct lane *l)
{
    const struct jcdp_env env = {l, env_eps, env_percept_gradient, env_noise, env_stop};
    for (int k = 0; k < l->batch; k++) {
        const struct lane_slot *s = &l->slot[k];
        tiling_load(&s->image->tiling, s->i, s->j, s->image->img, l->z + (size_t)k * l->elements);
    }
    return jcdp_run(l->jcdp, &env, l->z);
}
