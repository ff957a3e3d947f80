/* y = x w' + b. x (N,C), w (O,C), b (O), y (N,O); an x of more dimensions is treated as its rows. */
#include "ops/op.h"

#include <string.h>

/* tokens: rows of one sample. */
static struct nn_val linear(struct nn_graph *g, struct nn_val x, struct nn_val w, struct nn_val b,
                            int tokens)
{
    struct nn_val in[] = {x, w, b};
    if (!nn_usable(g, "linear", in, b.id ? 3 : 2))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x), ws = nn_val_shape(g, w), bs = nn_val_shape(g, b);
    char tx[NN_SHAPE_TEXT], tw[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT];
    if (xs.rank != 2 || ws.rank != 2 || xs.dim[1] != ws.dim[1] ||
        (b.id && !nn_shape_equal(bs, nn_shape1(ws.dim[0]))))
        return nn_fail(g, STATUS_INVALID, "linear: x %s, w %s and b %s do not fit",
                       nn_shape_text(xs, tx), nn_shape_text(ws, tw), nn_shape_text(bs, tb));
    return nn_emit1(g, NN_OP_LINEAR, in, 3, (struct nn_attr){.tokens = tokens},
                    nn_shape2(xs.dim[0], ws.dim[0]));
}

struct nn_val nn_linear(struct nn_graph *g, struct nn_val x, struct nn_val w, struct nn_val b)
{
    struct nn_shape s = nn_val_shape(g, x);
    if (s.rank <= 2)
        return linear(g, x, w, b, 1);
    int c = s.dim[s.rank - 1];
    int64_t rows = nn_shape_count(s) / c;
    if (rows > INT32_MAX)
        return nn_fail(g, STATUS_INVALID, "linear: x has too many rows");
    struct nn_val y =
        linear(g, nn_reshape(g, x, nn_shape2((int)rows, c)), w, b, (int)rows / s.dim[0]);
    s.dim[s.rank - 1] = nn_val_shape(g, y).dim[1];
    return nn_reshape(g, y, s);
}

static void linear_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_affine(gr, node, NN_OP_LINEAR_DATA, NN_OP_LINEAR_WEIGHTS);
}

static status linear_run(const struct nn_step *s)
{
    int n = s->in[0].shape.dim[0], c = s->in[0].shape.dim[1], o = s->out[0].shape.dim[1];
    const float *x = nn_f32(&s->in[0]), *w = nn_f32(&s->in[1]), *b = nn_f32(&s->in[2]);
    float *y = nn_f32(&s->out[0]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < o; j++) {
            double sum = b ? b[j] : 0;
            for (int k = 0; k < c; k++)
                sum += (double)x[(int64_t)i * c + k] * w[(int64_t)j * c + k];
            y[(int64_t)i * o + j] = (float)sum;
        }
    return STATUS_OK;
}

static status linear_data_run(const struct nn_step *s)
{
    int n = s->in[0].shape.dim[0], o = s->in[0].shape.dim[1], c = s->out[0].shape.dim[1];
    const float *dy = nn_f32(&s->in[0]), *w = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    memset(dx, 0, (size_t)n * (size_t)c * sizeof *dx);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < o; j++)
            for (int k = 0; k < c; k++)
                dx[(int64_t)i * c + k] += dy[(int64_t)i * o + j] * w[(int64_t)j * c + k];
    return STATUS_OK;
}

static status linear_weights_run(const struct nn_step *s)
{
    int n = s->in[0].shape.dim[0], c = s->in[0].shape.dim[1], o = s->in[1].shape.dim[1];
    const float *x = nn_f32(&s->in[0]), *dy = nn_f32(&s->in[1]);
    float *dw = nn_f32(&s->out[0]), *db = nn_f32(&s->out[1]);
    if (dw)
        memset(dw, 0, (size_t)o * (size_t)c * sizeof *dw);
    if (db)
        memset(db, 0, (size_t)o * sizeof *db);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < o; j++) {
            float d = dy[(int64_t)i * o + j];
            for (int k = 0; dw && k < c; k++)
                dw[(int64_t)j * c + k] += d * x[(int64_t)i * c + k];
            if (db)
                db[j] += d;
        }
    return STATUS_OK;
}

static double linear_flops(const struct nn_step *s)
{
    return 2.0 * (double)nn_shape_count(s->in[0].shape) * s->out[0].shape.dim[1];
}
static double weights_flops(const struct nn_step *s)
{
    return 2.0 * (double)nn_shape_count(s->in[0].shape) * s->in[1].shape.dim[1];
}

const struct nn_op_impl nn_op_linear = {
    .op = NN_OP_LINEAR,
    .name = "linear",
    .gradient = linear_gradient,
    .flops = linear_flops,
    .reference = {.op = NN_OP_LINEAR, .name = "reference.linear", .run = linear_run},
};
const struct nn_op_impl nn_op_linear_data = {
    .op = NN_OP_LINEAR_DATA,
    .name = "linear_data",
    .flops = linear_flops,
    .reference = {.op = NN_OP_LINEAR_DATA, .name = "reference.linear_data", .run = linear_data_run},
};
const struct nn_op_impl nn_op_linear_weights = {
    .op = NN_OP_LINEAR_WEIGHTS,
    .name = "linear_weights",
    .flops = weights_flops,
    .reference = {.op = NN_OP_LINEAR_WEIGHTS,
                  .name = "reference.linear_weights",
                  .run = linear_weights_run},
};
