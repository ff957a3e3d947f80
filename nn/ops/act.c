/* Activations (acts.h) by their definitions, and the op that applies one. */
#include "ops/acts.h"
#include "ops/op.h"

#include <math.h>

struct nn_val nn_act(struct nn_graph *g, struct nn_val x, enum nn_act_kind kind)
{
    if (!nn_usable(g, "act", &x, 1))
        return NN_NONE;
    if ((unsigned)kind >= NN_ACT_COUNT)
        return nn_fail(g, STATUS_INVALID, "act: no such activation");
    return nn_emit1(g, NN_OP_ACT, &x, 1, (struct nn_attr){.act = kind}, nn_val_shape(g, x));
}

/* NaN stays NaN, and the gradients of ReLU and ReLU6 at NaN are 1, as in torch. */
static double relu_value(double x)
{
    return x < 0 ? 0 : x;
}
static double relu_slope(double y)
{
    return y <= 0 ? 0 : 1;
}
static double silu_value(double x)
{
    return x / (1 + exp(-x));
}
static double silu_slope(double x)
{
    double sigma = 1 / (1 + exp(-x));
    return sigma * (1 + x * (1 - sigma));
}
static double sigmoid_value(double x)
{
    return 1 / (1 + exp(-x));
}
static double sigmoid_slope(double y)
{
    return y * (1 - y);
}
static double tanh_value(double x)
{
    return tanh(x);
}
static double tanh_slope(double y)
{
    return 1 - y * y;
}
static double relu6_value(double x)
{
    return x < 0 ? 0 : x > 6 ? 6 : x;
}
static double relu6_slope(double y)
{
    return y <= 0 || y >= 6 ? 0 : 1;
}
/* Phi(x) of the standard normal distribution. */
static double normal_cdf(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}
static double gelu_value(double x)
{
    return x * normal_cdf(x);
}
static double gelu_slope(double x)
{
    const double pi = 3.14159265358979323846;
    return normal_cdf(x) + x * exp(-x * x / 2) / sqrt(2 * pi);
}
static double exp_value(double x)
{
    return exp(x);
}
static double exp_slope(double y)
{
    return y;
}

static const struct nn_act_row acts[NN_ACT_COUNT] = {
#define X(NAME, name, saves, algorithm)                                                            \
    [NN_##NAME] = {#name, NN_SAVES_##saves, name##_value, name##_slope},
    NN_ACT_TABLE(X)
#undef X
};

const struct nn_act_row *nn_act_row(enum nn_act_kind kind)
{
    return &acts[kind];
}

int nn_act_saved(const struct nn_node *act)
{
    return acts[act->attr.act].saves == NN_SAVES_INPUT ? act->in[0] : act->out[0];
}

static void act_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    int saved = nn_act_saved(node);
    struct nn_val in[] = {nn_grad_of(gr, node->out[0]), {saved}};
    nn_grad_add(gr, node->in[0],
                nn_emit1(g, NN_OP_ACT_BACK, in, 2, node->attr, nn_val_shape(g, in[0])));
}

static status act_run(const struct nn_step *s)
{
    const struct nn_act_row *row = nn_act_row(s->attr.act);
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    int64_t n = nn_shape_count(s->out[0].shape);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)row->value(x[i]);
    return STATUS_OK;
}

static status act_back_run(const struct nn_step *s)
{
    const struct nn_act_row *row = nn_act_row(s->attr.act);
    const float *dy = nn_f32(&s->in[0]), *v = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    int64_t n = nn_shape_count(s->out[0].shape);
    for (int64_t i = 0; i < n; i++)
        dx[i] = (float)(dy[i] * row->slope(v[i]));
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
    .addend = 2,
    .reference = {.op = NN_OP_ACT_BACK, .name = "reference.act_back", .run = act_back_run},
};
