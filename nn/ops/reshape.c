/* The same elements under another shape: a view, nothing moves. */
#include "ops/op.h"

struct nn_val nn_reshape(struct nn_graph *g, struct nn_val x, struct nn_shape s)
{
    if (!nn_usable(g, "reshape", &x, 1))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT], ts[NN_SHAPE_TEXT];
    if (s.rank < 1 || s.rank > NN_RANK_MAX || nn_shape_count(xs) != nn_shape_count(s))
        return nn_fail(g, STATUS_INVALID, "reshape: %s cannot become %s", nn_shape_text(xs, tx),
                       nn_shape_text(s, ts));
    return nn_emit1(g, NN_OP_RESHAPE, &x, 1, (struct nn_attr){0}, s);
}

static void reshape_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    nn_grad_add(gr, node->in[0],
                nn_reshape(g, nn_grad_of(gr, node->out[0]), g->values[node->in[0]].shape));
}

const struct nn_op_impl nn_op_reshape = {
    .op = NN_OP_RESHAPE,
    .name = "reshape",
    .gradient = reshape_gradient,
    .view = true,
};
