/* Softmax cross-entropy against integer labels, per sample. */
#include "ops/xent.h"
#include "ops/op.h"

#include <math.h>

struct nn_val nn_softmax_xent(struct nn_graph *g, struct nn_val logits, struct nn_val labels)
{
    struct nn_val in[] = {logits, labels};
    if (!nn_usable(g, "softmax_xent", &logits, 1) ||
        !nn_usable_i32(g, "softmax_xent labels", labels))
        return NN_NONE;
    struct nn_shape ls = nn_val_shape(g, logits), ks = nn_val_shape(g, labels);
    char tl[NN_SHAPE_TEXT], tk[NN_SHAPE_TEXT];
    if (ls.rank != 2 || !nn_shape_equal(ks, nn_shape1(ls.dim[0])))
        return nn_fail(g, STATUS_INVALID,
                       "softmax_xent: logits %s, labels %s (want (N,K), (N) i32)",
                       nn_shape_text(ls, tl), nn_shape_text(ks, tk));
    return nn_emit1(g, NN_OP_XENT, in, 2, (struct nn_attr){0}, nn_shape1(ls.dim[0]));
}

static void xent_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val in[] = {nn_grad_of(gr, node->out[0]), {node->in[0]}, {node->in[1]}};
    nn_grad_add(gr, node->in[0],
                nn_emit1(g, NN_OP_XENT_BACK, in, 3, node->attr, nn_val_shape(g, in[1])));
}

double nn_log_sum_exp(const float *x, int k)
{
    double max = x[0], sum = 0;
    for (int i = 1; i < k; i++)
        max = fmax(max, x[i]);
    for (int i = 0; i < k; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

static status xent_run(const struct nn_step *s)
{
    const float *x = nn_f32(&s->in[0]);
    const int32_t *label = s->in[1].data;
    int k = s->in[0].shape.dim[1];
    for (int n = 0; n < s->in[0].shape.dim[0]; n++, x += k) {
        bool known = label[n] >= 0 && label[n] < k;
        nn_f32(&s->out[0])[n] = known ? (float)(nn_log_sum_exp(x, k) - x[label[n]]) : 0;
    }
    return STATUS_OK;
}

static status xent_back_run(const struct nn_step *s)
{
    const float *dl = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]);
    const int32_t *label = s->in[2].data;
    float *dx = nn_f32(&s->out[0]);
    int k = s->in[1].shape.dim[1];
    for (int n = 0; n < s->in[1].shape.dim[0]; n++, x += k, dx += k) {
        bool known = label[n] >= 0 && label[n] < k;
        double lse = nn_log_sum_exp(x, k);
        for (int i = 0; i < k; i++)
            dx[i] = known ? (float)(dl[n] * (exp(x[i] - lse) - (i == label[n]))) : 0;
    }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_xent = {
    .op = NN_OP_XENT,
    .name = "softmax_xent",
    .gradient = xent_gradient,
    .i32 = 1u << 1,
    .reference = {.op = NN_OP_XENT, .name = "reference.softmax_xent", .run = xent_run},
};
const struct nn_op_impl nn_op_xent_back = {
    .op = NN_OP_XENT_BACK,
    .name = "softmax_xent_back",
    .i32 = 1u << 2,
    .reference = {.op = NN_OP_XENT_BACK,
                  .name = "reference.softmax_xent_back",
                  .run = xent_back_run},
};
