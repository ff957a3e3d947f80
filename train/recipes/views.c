#include "recipes/views.h"

#include "run.h"

size_t recipe_views_row(const struct run *r)
{
    struct train_net_shape s = r->model->shape;
    return (size_t)s.width * (size_t)s.height * (size_t)s.channels;
}

status recipe_views_check(const char *augment, struct errmsg *e)
{
    struct augment_list l;
    status st = augment_list_parse(augment, &l, e);
    if (st)
        return st;
    bool moves = !l.pixels;
    for (int i = 0; i < l.n; i++)
        moves = moves || !l.entry[i].ops->apply;
    augment_list_done(&l);
    return moves ? errmsg_set(e, STATUS_INVALID, "augment: views need rows that work on pixels")
                 : st;
}

status recipe_views_open(struct recipe_views *v, const struct run *r, const char *augment,
                         struct errmsg *e)
{
    v->spare = mem_zalloc(recipe_views_row(r), sizeof *v->spare);
    return v->spare ? augment_list_parse(augment, &v->list, e) : STATUS_NOMEM;
}

void recipe_views_done(struct recipe_views *v)
{
    augment_list_done(&v->list);
    mem_free(v->spare);
}

status recipe_view(const struct recipe_views *v, const struct run *r, int draw, int i,
                   const float *in, float *out)
{
    const struct train_model *m = r->model;
    size_t c = (size_t)m->shape.channels, row = recipe_views_row(r);
    /* Each draw has its own key; images are numbered by their place in the epoch. */
    struct augment_of of = {r->opt->seed + 0x9e3779b97f4a7c15u * (uint64_t)(draw + 1),
                            (uint64_t)r->at.epoch, r->at.batch * r->batch + i};
    struct augment_pixels p = {m->shape.width, m->shape.height, m->shape.channels, out, v->spare};
    for (size_t k = 0; k < row; k++) {
        float value = in[k] * m->std[k % c] + m->mean[k % c];
        out[k] = value < 0 ? 0 : value > 1 ? 1 : value;
    }
    status st = augment_apply(&v->list, of, &p);
    for (size_t k = 0; k < row; k++)
        out[k] = (out[k] - m->mean[k % c]) / m->std[k % c];
    return st;
}
