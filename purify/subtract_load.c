/* The network that a link shares among its workers. */
#include "subtract.h"

DEFINE_FREEP(struct subtract *, subtract_free)

/* Declares the parameters: the graph that does so is not kept. */
static status declare(struct nn_params *p, const struct purify_restorer *cfg, struct errmsg *e)
{
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    int unit = purify_restorer_unit(cfg);
    status st = nn_graph_new(p, &g);
    if (st)
        return st;
    struct nn_shape s = nn_shape4(1, unit / 2, unit / 2, 4 * cfg->in_channels);
    purify_restorer_build(g, cfg, nn_input(g, "x", NN_F32, s));
    return nn_graph_status(g, e);
}

status subtract_new(const struct subtract_how *how, const struct digest *profile,
                    const struct nn_file *f, struct subtract **out, struct errmsg *e)
{
    AUTO(subtract_free) struct subtract *m = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    m->how = *how;
    m->profile = *profile;
    status st = purify_restorer_from_file(f, &m->cfg, e);
    if (!st)
        st = nn_params_new(&m->params);
    if (!st)
        st = declare(m->params, &m->cfg, e);
    if (!st)
        st = nn_params_load(m->params, f, "", e);
    if (!st)
        *out = TAKE(m);
    return st;
}

void subtract_free(void *plan)
{
    struct subtract *m = plan;
    if (m)
        nn_params_free(m->params);
    mem_free(m);
}
