/* Each pixel's channel vector scaled to unit length (LPIPS, Zhang et al. 2018). */
#include "ops/op.h"

#include <math.h>

struct nn_val nn_unit_norm(struct nn_graph *g, struct nn_val x, float eps)
{
    if (!nn_usable(g, "unit_norm", &x, 1))
        return NN_NONE;
    if (!(eps > 0))
        return nn_fail(g, STATUS_INVALID, "unit_norm: eps must be above 0");
    return nn_emit1(g, NN_OP_UNIT_NORM, &x, 1, (struct nn_attr){.eps = eps}, nn_val_shape(g, x));
}

static void norm_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val in[] = {nn_grad_of(gr, node->out[0]), {node->in[0]}};
    nn_grad_add(gr, node->in[0],
                nn_emit1(g, NN_OP_UNIT_NORM_BACK, in, 2, node->attr, nn_val_shape(g, in[0])));
}

static status norm_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[0].shape;
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    int c = xs.dim[xs.rank - 1];
    for (int64_t i = nn_shape_count(xs) / c; i > 0; i--, x += c, y += c) {
        double sq = 0;
        for (int k = 0; k < c; k++)
            sq += (double)x[k] * x[k];
        double f = 1 / (sqrt(sq) + (double)s->attr.eps);
        for (int k = 0; k < c; k++)
            y[k] = (float)(x[k] * f);
    }
    return STATUS_OK;
}

/* With r = |x|, f = 1/(r+eps):  dx = f dy - x (dy.x) f^2 / r, and 0 where r is 0. */
static status norm_back_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[1].shape;
    const float *dy = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    int c = xs.dim[xs.rank - 1];
    for (int64_t i = nn_shape_count(xs) / c; i > 0; i--, x += c, dy += c, dx += c) {
        double sq = 0, dot = 0;
        for (int k = 0; k < c; k++) {
            sq += (double)x[k] * x[k];
            dot += (double)dy[k] * x[k];
        }
        double r = sqrt(sq), f = r == 0 ? 0 : 1 / (r + (double)s->attr.eps);
        double pull = r == 0 ? 0 : dot * f * f / r;
        for (int k = 0; k < c; k++)
            dx[k] = (float)(f * dy[k] - x[k] * pull);
    }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_unit_norm = {
    .op = NN_OP_UNIT_NORM,
    .name = "unit_norm",
    .gradient = norm_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_UNIT_NORM, .name = "reference.unit_norm", .run = norm_run},
};
const struct nn_op_impl nn_op_unit_norm_back = {
    .op = NN_OP_UNIT_NORM_BACK,
    .name = "unit_norm_back",
    .in_place = 1u << 0 | 1u << 1,
    .reference = {.op = NN_OP_UNIT_NORM_BACK,
                  .name = "reference.unit_norm_back",
                  .run = norm_back_run},
};
