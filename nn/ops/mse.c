/* Mean squared difference per sample. */
#include "ops/op.h"

struct nn_val nn_mse(struct nn_graph *g, struct nn_val a, struct nn_val b)
{
    struct nn_val in[] = {a, b};
    if (!nn_usable(g, "mse", in, 2))
        return NN_NONE;
    struct nn_shape s = nn_val_shape(g, a);
    char ta[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT];
    if (!nn_shape_equal(s, nn_val_shape(g, b)))
        return nn_fail(g, STATUS_INVALID, "mse: %s and %s do not fit", nn_shape_text(s, ta),
                       nn_shape_text(nn_val_shape(g, b), tb));
    return nn_emit1(g, NN_OP_MSE, in, 2, (struct nn_attr){0}, nn_shape1(s.dim[0]));
}

static void mse_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val in[] = {nn_grad_of(gr, node->out[0]), {node->in[0]}, {node->in[1]}};
    struct nn_val da = nn_emit1(g, NN_OP_MSE_BACK, in, 3, node->attr, nn_val_shape(g, in[1]));
    nn_grad_add(gr, node->in[0], da);
    if (nn_grad_wanted(gr, node->in[1]))
        nn_grad_add(gr, node->in[1], nn_affine(g, da, -1, 0));
}

static status mse_run(const struct nn_step *s)
{
    const float *a = nn_f32(&s->in[0]), *b = nn_f32(&s->in[1]);
    int n = s->in[0].shape.dim[0];
    int64_t per = nn_shape_count(s->in[0].shape) / n;
    for (int i = 0; i < n; i++, a += per, b += per) {
        double sum = 0;
        for (int64_t k = 0; k < per; k++)
            sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
        nn_f32(&s->out[0])[i] = (float)(sum / (double)per);
    }
    return STATUS_OK;
}

static status mse_back_run(const struct nn_step *s)
{
    const float *dl = nn_f32(&s->in[0]), *a = nn_f32(&s->in[1]), *b = nn_f32(&s->in[2]);
    float *da = nn_f32(&s->out[0]);
    int n = s->in[1].shape.dim[0];
    int64_t per = nn_shape_count(s->in[1].shape) / n;
    for (int i = 0; i < n; i++)
        for (int64_t k = i * per; k < (i + 1) * per; k++)
            da[k] = 2 * dl[i] / (float)per * (a[k] - b[k]);
    return STATUS_OK;
}

const struct nn_op_impl nn_op_mse = {
    .op = NN_OP_MSE,
    .name = "mse",
    .gradient = mse_gradient,
    .reference = {.op = NN_OP_MSE, .name = "reference.mse", .run = mse_run},
};
const struct nn_op_impl nn_op_mse_back = {
    .op = NN_OP_MSE_BACK,
    .name = "mse_back",
    .reference = {.op = NN_OP_MSE_BACK, .name = "reference.mse_back", .run = mse_back_run},
};
