/* Activations. The gradient of ReLU, sigmoid and tanh is written with their result, which is kept
   anyway; SiLU's needs its input. */
#include "op.h"

#include <math.h>

struct nn_val nn_act(struct nn_graph *g, struct nn_val x, enum nn_act_kind kind)
{
    if (!nn_usable(g, "act", &x, 1))
        return NN_NONE;
    if ((unsigned)kind >= NN_ACT_COUNT)
        return nn_fail(g, STATUS_INVALID, "act: no such activation");
    return nn_emit1(g, NN_OP_ACT, &x, 1, (struct nn_attr){.act = kind}, nn_val_shape(g, x));
}

static void act_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    int saved = node->attr.act == NN_SILU ? node->in[0] : node->out[0];
    struct nn_val in[] = {nn_grad_of(gr, node->out[0]), {saved}};
    nn_grad_add(gr, node->in[0],
                nn_emit1(g, NN_OP_ACT_BACK, in, 2, node->attr, nn_val_shape(g, in[0])));
}

static double act(enum nn_act_kind kind, double x)
{
    switch (kind) {
    case NN_RELU:
        return x < 0 ? 0 : x; /* NaN stays, here and below, as in torch */
    case NN_SILU:
        return x / (1 + exp(-x));
    case NN_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return tanh(x);
    }
}

/* dy/dx from the saved value v. */
static double slope(enum nn_act_kind kind, double v)
{
    double sigma = 1 / (1 + exp(-v));
    switch (kind) {
    case NN_RELU:
        return v <= 0 ? 0 : 1;
    case NN_SILU:
        return sigma * (1 + v * (1 - sigma));
    case NN_SIGMOID:
        return v * (1 - v);
    default:
        return 1 - v * v;
    }
}

static status act_run(const struct nn_step *s)
{
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    int64_t n = nn_shape_count(s->out[0].shape);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)act(s->attr.act, x[i]);
    return STATUS_OK;
}

static status act_back_run(const struct nn_step *s)
{
    const float *dy = nn_f32(&s->in[0]), *v = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    int64_t n = nn_shape_count(s->out[0].shape);
    for (int64_t i = 0; i < n; i++)
        dx[i] = (float)(dy[i] * slope(s->attr.act, v[i]));
    return STATUS_OK;
}

const struct nn_op_impl nn_op_act = {
    .op = NN_OP_ACT,
    .name = "act",
    .gradient = act_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_ACT, .name = "reference.act", .run = act_run},
};
const struct nn_op_impl nn_op_act_back = {
    .op = NN_OP_ACT_BACK,
    .name = "act_back",
    .in_place = 1u << 0 | 1u << 1 | 1u << 2,
    .reference = {.op = NN_OP_ACT_BACK, .name = "reference.act_back", .run = act_back_run},
};
