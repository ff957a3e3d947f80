/* Sum and mean over everything, and their gradients: one number everywhere. */
#include "ops/op.h"

static struct nn_val total(struct nn_graph *g, const char *name, struct nn_val x, bool mean)
{
    if (!nn_usable(g, name, &x, 1))
        return NN_NONE;
    float scale = mean ? 1.0f / (float)nn_shape_count(nn_val_shape(g, x)) : 1;
    return nn_emit1(g, NN_OP_TOTAL, &x, 1, (struct nn_attr){.scale = scale}, nn_shape1(1));
}

struct nn_val nn_mean(struct nn_graph *g, struct nn_val x)
{
    return total(g, "mean", x, true);
}
struct nn_val nn_sum(struct nn_graph *g, struct nn_val x)
{
    return total(g, "sum", x, false);
}

static void total_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    nn_grad_add(gr, node->in[0],
                nn_emit1(g, NN_OP_SPREAD, &dy, 1, node->attr, g->values[node->in[0]].shape));
}

static status total_run(const struct nn_step *s)
{
    const float *x = nn_f32(&s->in[0]);
    int64_t n = nn_shape_count(s->in[0].shape);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    *nn_f32(&s->out[0]) = (float)(sum * (double)s->attr.scale);
    return STATUS_OK;
}

static void fill(const struct nn_tensor *t, float value)
{
    float *y = nn_f32(t);
    int64_t n = nn_shape_count(t->shape);
    for (int64_t i = 0; i < n; i++)
        y[i] = value;
}

static status spread_run(const struct nn_step *s)
{
    fill(&s->out[0], s->attr.scale * *nn_f32(&s->in[0]));
    return STATUS_OK;
}

static status fill_run(const struct nn_step *s)
{
    fill(&s->out[0], s->attr.scale);
    return STATUS_OK;
}

const struct nn_op_impl nn_op_total = {
    .op = NN_OP_TOTAL,
    .name = "total",
    .gradient = total_gradient,
    .reference = {.op = NN_OP_TOTAL, .name = "reference.total", .run = total_run},
};
const struct nn_op_impl nn_op_spread = {
    .op = NN_OP_SPREAD,
    .name = "spread",
    .reference = {.op = NN_OP_SPREAD, .name = "reference.spread", .run = spread_run},
};
const struct nn_op_impl nn_op_fill = {
    .op = NN_OP_FILL,
    .name = "fill",
    .reference = {.op = NN_OP_FILL, .name = "reference.fill", .run = fill_run},
};
