/* Ops between (N,C) and (N,H,W,C): add or multiply into every pixel, sum or average over pixels. */
#include "ops/op.h"

static struct nn_val with_nc(struct nn_graph *g, enum nn_op op, struct nn_val x, struct nn_val v)
{
    struct nn_val in[] = {x, v};
    const char *name = nn_op_row(op)->name;
    if (!nn_usable(g, name, in, 2))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x), vs = nn_val_shape(g, v);
    char tx[NN_SHAPE_TEXT], tv[NN_SHAPE_TEXT];
    if (xs.rank != 4 || !nn_shape_equal(vs, nn_shape2(xs.dim[0], xs.dim[3])))
        return nn_fail(g, STATUS_INVALID, "%s: %s and %s do not fit", name, nn_shape_text(xs, tx),
                       nn_shape_text(vs, tv));
    return nn_emit1(g, op, in, 2, (struct nn_attr){0}, xs);
}

struct nn_val nn_add_nc(struct nn_graph *g, struct nn_val x, struct nn_val v)
{
    return with_nc(g, NN_OP_ADD_NC, x, v);
}
struct nn_val nn_mul_nc(struct nn_graph *g, struct nn_val x, struct nn_val v)
{
    return with_nc(g, NN_OP_MUL_NC, x, v);
}

static struct nn_val sum_hw(struct nn_graph *g, struct nn_val x, float scale)
{
    struct nn_shape xs = nn_val_shape(g, x);
    return nn_emit1(g, NN_OP_SUM_HW, &x, 1, (struct nn_attr){.scale = scale},
                    nn_shape2(xs.dim[0], xs.dim[3]));
}

struct nn_val nn_global_avg_pool(struct nn_graph *g, struct nn_val x)
{
    if (!nn_usable(g, "global_avg_pool", &x, 1))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT];
    if (xs.rank != 4)
        return nn_fail(g, STATUS_INVALID, "global_avg_pool: x %s is not (N,H,W,C)",
                       nn_shape_text(xs, tx));
    return sum_hw(g, x, 1.0f / ((float)xs.dim[1] * (float)xs.dim[2]));
}

static void add_nc_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    nn_grad_add(gr, node->in[0], dy);
    if (nn_grad_wanted(gr, node->in[1]))
        nn_grad_add(gr, node->in[1], sum_hw(nn_grad_graph(gr), dy, 1));
}

static void mul_nc_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]), x = {node->in[0]}, v = {node->in[1]};
    if (nn_grad_wanted(gr, x.id))
        nn_grad_add(gr, x.id, nn_mul_nc(g, dy, v));
    if (nn_grad_wanted(gr, v.id))
        nn_grad_add(gr, v.id,
                    nn_emit1(g, NN_OP_DOT_HW, (struct nn_val[]){dy, x}, 2, (struct nn_attr){0},
                             nn_val_shape(g, v)));
}

static void sum_hw_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]), x = {node->in[0]};
    nn_grad_add(gr, x.id,
                nn_emit1(g, NN_OP_SPREAD_HW, &dy, 1, (struct nn_attr){.scale = node->attr.scale},
                         nn_val_shape(g, x)));
}

static void spread_hw_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_add(gr, node->in[0],
                sum_hw(nn_grad_graph(gr), nn_grad_of(gr, node->out[0]), node->attr.scale));
}

struct nhwc {
    int64_t n, pixels, c;
};
static struct nhwc nhwc(struct nn_shape x)
{
    return (struct nhwc){x.dim[0], (int64_t)x.dim[1] * x.dim[2], x.dim[3]};
}

static status with_nc_run(const struct nn_step *s)
{
    struct nhwc d = nhwc(s->in[0].shape);
    const float *x = nn_f32(&s->in[0]), *v = nn_f32(&s->in[1]);
    float *y = nn_f32(&s->out[0]);
    for (int64_t i = 0; i < d.n * d.pixels; i++)
        for (int64_t c = 0; c < d.c; c++) {
            float a = x[i * d.c + c], b = v[i / d.pixels * d.c + c];
            y[i * d.c + c] = s->op == NN_OP_ADD_NC ? a + b : a * b;
        }
    return STATUS_OK;
}

static status sum_run(const struct nn_step *s)
{
    struct nhwc d = nhwc(s->in[0].shape);
    const float *a = nn_f32(&s->in[0]), *b = nn_f32(&s->in[1]);
    float *y = nn_f32(&s->out[0]);
    for (int64_t n = 0; n < d.n; n++)
        for (int64_t c = 0; c < d.c; c++) {
            double sum = 0;
            for (int64_t i = n * d.pixels; i < (n + 1) * d.pixels; i++)
                sum += s->op == NN_OP_SUM_HW ? a[i * d.c + c]
                                             : (double)a[i * d.c + c] * b[i * d.c + c];
            y[n * d.c + c] = (float)(sum * (s->op == NN_OP_SUM_HW ? (double)s->attr.scale : 1));
        }
    return STATUS_OK;
}

static status spread_run(const struct nn_step *s)
{
    struct nhwc d = nhwc(s->out[0].shape);
    const float *v = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    for (int64_t i = 0; i < d.n * d.pixels; i++)
        for (int64_t c = 0; c < d.c; c++)
            y[i * d.c + c] = s->attr.scale * v[i / d.pixels * d.c + c];
    return STATUS_OK;
}

const struct nn_op_impl nn_op_add_nc = {
    .op = NN_OP_ADD_NC,
    .name = "add_nc",
    .gradient = add_nc_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_ADD_NC, .name = "reference.add_nc", .run = with_nc_run},
};
const struct nn_op_impl nn_op_mul_nc = {
    .op = NN_OP_MUL_NC,
    .name = "mul_nc",
    .gradient = mul_nc_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_MUL_NC, .name = "reference.mul_nc", .run = with_nc_run},
};
const struct nn_op_impl nn_op_sum_hw = {
    .op = NN_OP_SUM_HW,
    .name = "sum_hw",
    .gradient = sum_hw_gradient,
    .reference = {.op = NN_OP_SUM_HW, .name = "reference.sum_hw", .run = sum_run},
};
const struct nn_op_impl nn_op_dot_hw = {
    .op = NN_OP_DOT_HW,
    .name = "dot_hw",
    .reference = {.op = NN_OP_DOT_HW, .name = "reference.dot_hw", .run = sum_run},
};
const struct nn_op_impl nn_op_spread_hw = {
    .op = NN_OP_SPREAD_HW,
    .name = "spread_hw",
    .gradient = spread_hw_gradient,
    .reference = {.op = NN_OP_SPREAD_HW, .name = "reference.spread_hw", .run = spread_run},
};
