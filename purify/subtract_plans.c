#include "subtract_plans.h"

/* Two of the largest tiles' plans. */
#define AREA_KEPT (2 * SUBTRACT_AREA_MAX)

static int64_t area(const struct subtract_plan *p)
{
    return (int64_t)p->batch * p->height * p->width;
}

static void empty(struct subtract_plan *p)
{
    nn_plan_free(p->plan);
    mem_free(p->rows);
    mem_free(p->noise);
    *p = (struct subtract_plan){.batch = 0};
}

static status fill(struct subtract_plan *p, const struct subtract *m, struct errmsg *e)
{
    const struct nn_plan_options opt = {
        .threads = 1, .precision = m->how.precision, .shared = true};
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    int channels = m->cfg.in_channels;
    p->rows = mem_alloc(2 * (size_t)p->width * (size_t)channels * sizeof *p->rows);
    status st = p->rows ? nn_graph_new(m->params, &g) : STATUS_NOMEM;
    if (st)
        return st;
    if (m->how.noise > 0) {
        p->noise = mem_alloc((size_t)area(p) * (size_t)channels * sizeof *p->noise);
        if (!p->noise)
            return STATUS_NOMEM;
    }
    struct nn_shape s = nn_shape4(p->batch, p->height / 2, p->width / 2, 4 * channels);
    struct nn_val x = nn_input(g, "x", NN_F32, s);
    struct nn_val y = purify_restorer_build(g, &m->cfg, x);
    nn_output(g, y, "y");
    st = nn_plan_new(g, &opt, &p->plan, e);
    if (st)
        return st;
    p->in = nn_plan_data(p->plan, x);
    p->out = nn_plan_data(p->plan, y);
    return STATUS_OK;
}

/* A place for a plan of so many pixels: one that is free, and as many others become free as it
   takes. */
static struct subtract_plan *make_room(struct subtract_plans *p, int64_t wanted)
{
    for (;;) {
        struct subtract_plan *spare = NULL, *oldest = NULL;
        int64_t kept = wanted;
        for (int i = 0; i < SUBTRACT_PLANS_MAX; i++) {
            struct subtract_plan *at = &p->at[i];
            kept += area(at);
            if (!at->batch)
                spare = at;
            else if (!oldest || at->used < oldest->used)
                oldest = at;
        }
        if (spare && (kept <= AREA_KEPT || !oldest))
            return spare;
        empty(oldest);
    }
}

status subtract_plans_get(struct subtract_plans *p, const struct subtract *m, int batch, int height,
                          int width, struct subtract_plan **out, struct errmsg *e)
{
    struct subtract_plan *found = NULL;
    for (int i = 0; i < SUBTRACT_PLANS_MAX; i++) {
        struct subtract_plan *at = &p->at[i];
        if (at->batch == batch && at->height == height && at->width == width)
            found = at;
    }
    if (!found) {
        found = make_room(p, (int64_t)batch * height * width);
        found->batch = batch;
        found->height = height;
        found->width = width;
        status st = fill(found, m, e);
        if (st) {
            empty(found);
            return st;
        }
    }
    found->used = ++p->now;
    *out = found;
    return STATUS_OK;
}

void subtract_plans_done(struct subtract_plans *p)
{
    for (int i = 0; i < SUBTRACT_PLANS_MAX; i++)
        empty(&p->at[i]);
}
