/* Elementwise sum, difference, product, affine map, copy. */
#include "ops/op.h"

static struct nn_val pairwise(struct nn_graph *g, enum nn_op op, struct nn_val a, struct nn_val b)
{
    struct nn_val in[] = {a, b};
    const char *name = nn_op_row(op)->name;
    if (!nn_usable(g, name, in, 2))
        return NN_NONE;
    struct nn_shape as = nn_val_shape(g, a), bs = nn_val_shape(g, b);
    char ta[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT];
    if (!nn_shape_equal(as, bs))
        return nn_fail(g, STATUS_INVALID, "%s: %s and %s do not fit", name, nn_shape_text(as, ta),
                       nn_shape_text(bs, tb));
    return nn_emit1(g, op, in, 2, (struct nn_attr){0}, as);
}

struct nn_val nn_add(struct nn_graph *g, struct nn_val a, struct nn_val b)
{
    return pairwise(g, NN_OP_ADD, a, b);
}
struct nn_val nn_sub(struct nn_graph *g, struct nn_val a, struct nn_val b)
{
    return pairwise(g, NN_OP_SUB, a, b);
}
struct nn_val nn_mul(struct nn_graph *g, struct nn_val a, struct nn_val b)
{
    return pairwise(g, NN_OP_MUL, a, b);
}
struct nn_val nn_affine(struct nn_graph *g, struct nn_val x, float scale, float shift)
{
    if (!nn_usable(g, "affine", &x, 1))
        return NN_NONE;
    return nn_emit1(g, NN_OP_AFFINE, &x, 1, (struct nn_attr){.scale = scale, .shift = shift},
                    nn_val_shape(g, x));
}

static void add_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    nn_grad_add(gr, node->in[0], dy);
    nn_grad_add(gr, node->in[1], dy);
}
static void sub_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    nn_grad_add(gr, node->in[0], dy);
    if (nn_grad_wanted(gr, node->in[1]))
        nn_grad_add(gr, node->in[1], nn_affine(nn_grad_graph(gr), dy, -1, 0));
}
static void mul_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    for (int i = 0; i < 2; i++)
        if (nn_grad_wanted(gr, node->in[i]))
            nn_grad_add(gr, node->in[i],
                        nn_mul(nn_grad_graph(gr), dy, (struct nn_val){node->in[1 - i]}));
}
static void affine_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    nn_grad_add(gr, node->in[0], nn_affine(nn_grad_graph(gr), dy, node->attr.scale, 0));
}
static void copy_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_add(gr, node->in[0], nn_grad_of(gr, node->out[0]));
}

#define ELEMENTWISE(name, expression)                                                              \
    static status name(const struct nn_step *s)                                                    \
    {                                                                                              \
        const float *a = nn_f32(&s->in[0]), *b = nn_f32(&s->in[1]);                                \
        const float scale = s->attr.scale, shift = s->attr.shift;                                  \
        float *y = nn_f32(&s->out[0]);                                                             \
        int64_t n = nn_shape_count(s->out[0].shape);                                               \
        (void)a, (void)b, (void)scale, (void)shift;                                                \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = (expression);                                                                   \
        return STATUS_OK;                                                                          \
    }
ELEMENTWISE(add_run, a[i] + b[i])
ELEMENTWISE(sub_run, a[i] - b[i])
ELEMENTWISE(mul_run, a[i] * b[i])
ELEMENTWISE(affine_run, scale *a[i] + shift)
ELEMENTWISE(copy_run, a[i])

const struct nn_op_impl nn_op_add = {
    .op = NN_OP_ADD,
    .name = "add",
    .gradient = add_gradient,
    .in_place = 1u << 0 | 1u << 1,
    .post = NN_POST_LAST,
    .reference = {.op = NN_OP_ADD, .name = "reference.add", .run = add_run},
};
const struct nn_op_impl nn_op_sub = {
    .op = NN_OP_SUB,
    .name = "sub",
    .gradient = sub_gradient,
    .in_place = 1u << 0 | 1u << 1,
    .reference = {.op = NN_OP_SUB, .name = "reference.sub", .run = sub_run},
};
const struct nn_op_impl nn_op_mul = {
    .op = NN_OP_MUL,
    .name = "mul",
    .gradient = mul_gradient,
    .in_place = 1u << 0 | 1u << 1,
    .reference = {.op = NN_OP_MUL, .name = "reference.mul", .run = mul_run},
};
const struct nn_op_impl nn_op_affine = {
    .op = NN_OP_AFFINE,
    .name = "affine",
    .gradient = affine_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_AFFINE, .name = "reference.affine", .run = affine_run},
};
const struct nn_op_impl nn_op_copy = {
    .op = NN_OP_COPY,
    .name = "copy",
    .gradient = copy_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_COPY, .name = "reference.copy", .run = copy_run},
};
