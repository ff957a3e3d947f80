/* Nearest-neighbour doubling of height and width. */
#include "ops/op.h"

#include <string.h>

struct nn_val nn_upsample2(struct nn_graph *g, struct nn_val x)
{
    if (!nn_usable(g, "upsample2", &x, 1))
        return NN_NONE;
    struct nn_shape s = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT];
    if (s.rank != 4 || s.dim[1] > INT32_MAX / 2 || s.dim[2] > INT32_MAX / 2)
        return nn_fail(g, STATUS_INVALID, "upsample2: x %s is not (N,H,W,C)", nn_shape_text(s, tx));
    return nn_emit1(g, NN_OP_UPSAMPLE2, &x, 1, (struct nn_attr){0},
                    nn_shape4(s.dim[0], 2 * s.dim[1], 2 * s.dim[2], s.dim[3]));
}

static void upsample_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]), x = {node->in[0]};
    nn_grad_add(gr, x.id,
                nn_emit1(g, NN_OP_UPSAMPLE2_BACK, &dy, 1, (struct nn_attr){0}, nn_val_shape(g, x)));
}

static status upsample_run(const struct nn_step *s)
{
    struct nn_shape ys = s->out[0].shape;
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    size_t c = (size_t)ys.dim[3];
    int64_t rows = (int64_t)ys.dim[0] * ys.dim[1], w = ys.dim[2];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t q = 0; q < w; q++, y += c)
            memcpy(y, x + ((size_t)(r / 2) * (size_t)(w / 2) + (size_t)(q / 2)) * c, c * sizeof *y);
    return STATUS_OK;
}

static status upsample_back_run(const struct nn_step *s)
{
    struct nn_shape ys = s->in[0].shape;
    const float *dy = nn_f32(&s->in[0]);
    float *dx = nn_f32(&s->out[0]);
    int64_t rows = (int64_t)ys.dim[0] * ys.dim[1], w = ys.dim[2], c = ys.dim[3];
    memset(dx, 0, (size_t)nn_shape_count(s->out[0].shape) * sizeof *dx);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t q = 0; q < w; q++)
            for (int64_t k = 0; k < c; k++)
                dx[(r / 2 * (w / 2) + q / 2) * c + k] += dy[(r * w + q) * c + k];
    return STATUS_OK;
}

const struct nn_op_impl nn_op_upsample2 = {
    .op = NN_OP_UPSAMPLE2,
    .name = "upsample2",
    .gradient = upsample_gradient,
    .reference = {.op = NN_OP_UPSAMPLE2, .name = "reference.upsample2", .run = upsample_run},
};
const struct nn_op_impl nn_op_upsample2_back = {
    .op = NN_OP_UPSAMPLE2_BACK,
    .name = "upsample2_back",
    .reference = {.op = NN_OP_UPSAMPLE2_BACK,
                  .name = "reference.upsample2_back",
                  .run = upsample_back_run},
};
