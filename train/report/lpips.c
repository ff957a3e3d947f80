#include "report/lpips.h"

#include "nn/nn.h"
#include "purify/purify.h"

#include <math.h>

/* A plan is of one size of images, and is kept while they are of that size. */
struct lpips {
    struct purify_percept_cfg cfg;
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_val a, b, distance;
    int width, height;
};
DEFINE_FREEP(struct lpips *, lpips_close)

static status build(struct lpips *l, int width, int height, struct errmsg *e)
{
    struct nn_shape s = nn_shape4(1, height, width, 3);
    nn_plan_free(TAKE(l->plan));
    nn_graph_free(TAKE(l->graph));
    status st = nn_graph_new(l->params, &l->graph);
    if (st)
        return st;
    l->a = nn_input(l->graph, "a", NN_F32, s);
    l->b = nn_input(l->graph, "b", NN_F32, s);
    l->distance = purify_percept_distance(l->graph, &l->cfg, l->a, l->b);
    nn_output(l->graph, l->distance, "distance");
    return nn_graph_status(l->graph, e);
}

status lpips_open(const char *file, struct lpips **out, struct errmsg *e)
{
    enum { ANY_SIDE = 64 }; /* weights have no size */
    AUTO(nn_file_close) struct nn_file *f = NULL;
    AUTO(lpips_close) struct lpips *l = mem_zalloc(1, sizeof *l);
    status st = l ? nn_file_open(file, &f, e) : STATUS_NOMEM;
    if (!st)
        st = purify_percept_from_file(f, &l->cfg, e);
    if (!st && l->cfg.in_channels != 3)
        st = errmsg_set(e, STATUS_INVALID, "%s compares images of %d channel, not of 3",
                        purify_percept_name(&l->cfg), l->cfg.in_channels);
    if (!st)
        st = nn_params_new(&l->params);
    if (!st)
        st = build(l, ANY_SIDE, ANY_SIDE, e);
    if (!st)
        st = nn_params_load(l->params, f, "", e);
    if (st)
        return errmsg_prefix(e, st, "cannot compare images by %s", file);
    *out = TAKE(l);
    return STATUS_OK;
}

void lpips_close(struct lpips *l)
{
    if (!l)
        return;
    nn_plan_free(l->plan);
    nn_graph_free(l->graph);
    nn_params_free(l->params);
    mem_free(l);
}

const char *lpips_name(const struct lpips *l)
{
    return purify_percept_name(&l->cfg);
}

status lpips_distance(struct lpips *l, const struct image *a, const struct image *b, double *out,
                      struct errmsg *e)
{
    int side = a->width < a->height ? a->width : a->height;
    status st = STATUS_OK;
    *out = NAN;
    if (purify_percept_check(&l->cfg, side, 3, NULL))
        return STATUS_OK;
    if (!l->plan || l->width != a->width || l->height != a->height) {
        st = build(l, a->width, a->height, e);
        if (!st)
            st = nn_plan_new(l->graph, &(struct nn_plan_options){.threads = 0}, &l->plan, e);
        if (st)
            return st;
        l->width = a->width;
        l->height = a->height;
    }
    image_to_f32(a->pixels, image_pixel_bytes(a), nn_plan_data(l->plan, l->a));
    image_to_f32(b->pixels, image_pixel_bytes(b), nn_plan_data(l->plan, l->b));
    st = nn_plan_run(l->plan);
    if (!st)
        *out = (double)*(const float *)nn_plan_data(l->plan, l->distance);
    return st;
}
