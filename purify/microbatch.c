/*
 * Randomness: an image's key names the generator; the stream packs sample, round, step and purpose;
 * the position in the stream is the position on the canvas.
 */
#include "microbatch.h"

#include "jcdp.h"

#include <string.h>

/* ---- networks ---- */

static void net_done(struct microbatch_net *n)
{
    nn_plan_free(n->plan);
    nn_graph_free(n->graph);
}

static status net_plan(struct microbatch_net *n, struct nn_val in, struct nn_val in2,
                       struct nn_val out, enum nn_precision precision, struct errmsg *e)
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

static status plan_unet(struct microbatch *b, struct errmsg *e)
{
    const struct purify_unet *u = &b->model->unet;
    status st = nn_graph_new(b->model->unet_params, &b->unet.graph);
    if (st)
        return st;
    struct nn_graph *g = b->unet.graph;
    struct nn_val x =
        nn_input(g, "x", NN_F32, nn_shape4(b->batch, u->size, u->size, u->in_channels));
    struct nn_val t = nn_input(g, "t", NN_F32, nn_shape1(b->batch));
    return net_plan(&b->unet, x, t, purify_unet_build(g, u, x, t, false),
                    b->model->values.precision, e);
}

static status plan_percept(struct microbatch *b, struct errmsg *e)
{
    const struct purify_unet *u = &b->model->unet;
    status st = nn_graph_new(b->model->percept_params, &b->percept.graph);
    if (st)
        return st;
    struct nn_graph *g = b->percept.graph;
    struct nn_shape s = nn_shape4(b->batch, u->size, u->size, u->in_channels);
    struct nn_val x = nn_input(g, "a", NN_F32, s), y = nn_input(g, "b", NN_F32, s), grad = NN_NONE;
    nn_gradients(g, purify_percept_distance(g, &b->model->percept, x, y), &x, 1, &grad);
    return net_plan(&b->percept, x, y, grad, NN_PREC_F32, e);
}

/* ---- life ---- */

status microbatch_init(struct microbatch *b, const struct diffusion *m, int batch, struct errmsg *e)
{
    size_t row = (size_t)m->unet.size * (size_t)m->unet.in_channels;
    *b = (struct microbatch){.model = m, .batch = batch, .elements = row * (size_t)m->unet.size};
    b->slot = mem_zalloc((size_t)batch, sizeof *b->slot);
    b->z = mem_alloc_aligned((size_t)batch * b->elements * sizeof *b->z);
    b->scratch = mem_alloc_aligned((row + 2) * sizeof *b->scratch);
    if (!b->slot || !b->z || !b->scratch)
        return STATUS_NOMEM;
    status st = jcdp_new(&m->values, &m->unet, batch, b->elements, &b->jcdp);
    if (!st)
        st = plan_unet(b, e);
    if (!st && m->guided_by_percept)
        st = plan_percept(b, e);
    return st;
}

void microbatch_done(struct microbatch *b)
{
    net_done(&b->unet);
    net_done(&b->percept);
    jcdp_free(b->jcdp);
    mem_free(b->slot);
    mem_free(b->z);
    mem_free(b->scratch);
}

/* ---- the sampler's environment ---- */

static status env_eps(void *ctx, const float *x, int t, const float **out_eps)
{
    struct microbatch *b = ctx;
    memcpy(b->unet.in, x, (size_t)b->batch * b->elements * sizeof *x);
    for (int k = 0; k < b->batch; k++) {
        b->unet.in2[k] = (float)t;
        b->slot[k].image->evaluations += !b->slot[k].image->stopped;
    }
    *out_eps = b->unet.out;
    return nn_plan_run(b->unet.plan);
}

static status env_percept_gradient(void *ctx, const float *x, const float *y,
                                   const float **out_grad)
{
    struct microbatch *b = ctx;
    size_t bytes = (size_t)b->batch * b->elements * sizeof *x;
    memcpy(b->percept.in, x, bytes);
    memcpy(b->percept.in2, y, bytes);
    *out_grad = b->percept.out;
    return nn_plan_run(b->percept.plan);
}

/* 8 bits of sample, 8 of round, 16 of step, then the purpose: as many as the ranges of a profile's
   parameters need. */
static uint64_t stream_of(enum jcdp_purpose purpose, int sample, int round, int step)
{
    return (uint64_t)sample | (uint64_t)round << 8 | (uint64_t)step << 16 | (uint64_t)purpose << 32;
}

static void env_noise(void *ctx, enum jcdp_purpose purpose, int round, int step, float *out)
{
    struct microbatch *b = ctx;
    for (int k = 0; k < b->batch; k++, out += b->elements) {
        const struct microbatch_slot *s = &b->slot[k];
        struct nn_rng rng = nn_rng(s->image->key, stream_of(purpose, s->sample, round, step));
        tiling_noise(&s->image->tiling, s->i, s->j, rng, b->scratch, out);
    }
}

static bool has_stopped(struct microbatch_image *m)
{
    if (!m->stopped && m->stop)
        m->stopped = m->stop(m->stop_arg);
    return m->stopped;
}

/* An image's slots are next to each other, and it is asked once. */
static int env_stop(void *ctx)
{
    struct microbatch *b = ctx;
    bool all = true;
    for (int k = 0; k < b->batch; k++)
        if (k == 0 || b->slot[k].image != b->slot[k - 1].image)
            all &= has_stopped(b->slot[k].image);
    return all;
}

status microbatch_run(struct microbatch *b)
{
    const struct jcdp_env env = {b, env_eps, env_percept_gradient, env_noise, env_stop};
    for (int k = 0; k < b->batch; k++) {
        const struct microbatch_slot *s = &b->slot[k];
        tiling_load(&s->image->tiling, s->i, s->j, s->image->img, b->z + (size_t)k * b->elements);
    }
    return jcdp_run(b->jcdp, &env, b->z);
}
