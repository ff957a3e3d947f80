#include "model.h"

#include "diffusion.h"
#include "jcdp.h"
#include "weights.h"

status unet_declare(struct nn_params *p, const struct purify_unet *u, struct errmsg *e)
{
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    status st = nn_graph_new(p, &g);
    if (st)
        return st;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, u->size, u->size, u->in_channels));
    purify_unet_build(g, u, x, nn_input(g, "t", NN_F32, nn_shape1(1)), false);
    return nn_graph_status(g, e);
}

DEFINE_FREEP(struct diffusion *, diffusion_free)

static status load_unet(struct diffusion *m, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    status st = weights_open(m->values.model, &m->values.model_digest, &f, e);
    if (!st)
        st = purify_unet_from_file(f, &m->unet, e);
    if (!st)
        st = nn_params_new(&m->unet_params);
    if (!st)
        st = unet_declare(m->unet_params, &m->unet, e);
    return st ? st : nn_params_load(m->unet_params, f, "", e);
}

static status load_percept(struct diffusion *m, struct errmsg *e)
{
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    status st = weights_open(m->values.percept, &m->values.percept_digest, &f, e);
    if (!st)
        st = purify_percept_from_file(f, &m->percept, e);
    if (!st)
        st = nn_params_new(&m->percept_params);
    if (!st)
        st = nn_graph_new(m->percept_params, &g);
    if (st)
        return st;
    struct nn_shape s = nn_shape4(1, m->unet.size, m->unet.size, m->unet.in_channels);
    purify_percept_distance(g, &m->percept, nn_input(g, "a", NN_F32, s),
                            nn_input(g, "b", NN_F32, s));
    st = nn_graph_status(g, e);
    return st ? st : nn_params_load(m->percept_params, f, "", e);
}

status diffusion_plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    const struct purify_jcdp *v = values;
    AUTO(diffusion_free) struct diffusion *m = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    status st = nn_precision_check(v->precision, "set precision = f32 in the profile", e);
    if (st)
        return st;
    m->values = *v;
    m->profile = *id;
    m->guided_by_percept = jcdp_guides_percept(v);
    st = load_unet(m, e);
    if (st)
        return errmsg_prefix(e, st, "model %s", v->model);
    if (m->guided_by_percept)
        st = load_percept(m, e);
    if (st)
        return errmsg_prefix(e, st, "percept %s", v->percept);
    *out = TAKE(m);
    return STATUS_OK;
}

void diffusion_free(void *plan)
{
    struct diffusion *m = plan;
    if (m) {
        nn_params_free(m->unet_params);
        nn_params_free(m->percept_params);
    }
    mem_free(m);
}
