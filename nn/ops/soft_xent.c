/* Softmax cross-entropy against rows of class weights, per sample. */
#include "ops/op.h"
#include "ops/xent.h"

#include <math.h>

struct nn_val nn_soft_xent(struct nn_graph *g, struct nn_val logits, struct nn_val target)
{
    struct nn_val in[] = {logits, target};
    if (!nn_usable(g, "soft_xent", in, 2))
        return NN_NONE;
    struct nn_shape ls = nn_val_shape(g, logits), ts = nn_val_shape(g, target);
    char tl[NN_SHAPE_TEXT], tt[NN_SHAPE_TEXT];
    if (ls.rank != 2 || !nn_shape_equal(ls, ts))
        return nn_fail(g, STATUS_INVALID, "soft_xent: logits %s, target %s (want (N,K) both)",
                       nn_shape_text(ls, tl), nn_shape_text(ts, tt));
    return nn_emit1(g, NN_OP_SOFT_XENT, in, 2, (struct nn_attr){0}, nn_shape1(ls.dim[0]));
}

static void soft_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_node back = {.op = NN_OP_SOFT_XENT_BACK, .n_in = 3};
    struct nn_shape out[2] = {0};
    back.in[0] = nn_grad_of(gr, node->out[0]).id;
    for (int i = 0; i < 2; i++) {
        back.in[1 + i] = node->in[i];
        if (nn_grad_wanted(gr, node->in[i]))
            out[i] = g->values[node->in[i]].shape;
    }
    nn_emit(g, &back, out, 2);
    for (int i = 0; i < 2; i++)
        nn_grad_add(gr, node->in[i], (struct nn_val){back.out[i]});
}

static status soft_run(const struct nn_step *s)
{
    const float *x = nn_f32(&s->in[0]), *t = nn_f32(&s->in[1]);
    int k = s->in[0].shape.dim[1];
    for (int n = 0; n < s->in[0].shape.dim[0]; n++, x += k, t += k) {
        double lse = nn_log_sum_exp(x, k), sum = 0;
        for (int i = 0; i < k; i++)
            sum += t[i] * (lse - x[i]);
        nn_f32(&s->out[0])[n] = (float)sum;
    }
    return STATUS_OK;
}

static status soft_back_run(const struct nn_step *s)
{
    const float *dl = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]), *t = nn_f32(&s->in[2]);
    float *dx = nn_f32(&s->out[0]), *dt = nn_f32(&s->out[1]);
    int k = s->in[1].shape.dim[1];
    for (int n = 0; n < s->in[1].shape.dim[0]; n++) {
        const float *xn = x + (int64_t)n * k, *tn = t + (int64_t)n * k;
        double lse = nn_log_sum_exp(xn, k), weight = 0;
        for (int i = 0; i < k; i++)
            weight += tn[i];
        for (int i = 0; i < k; i++) {
            int64_t at = (int64_t)n * k + i;
            double d = lse - xn[i];
            if (dx)
                dx[at] = (float)(dl[n] * (weight * exp(-d) - tn[i]));
            if (dt)
                dt[at] = (float)(dl[n] * d);
        }
    }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_soft_xent = {
    .op = NN_OP_SOFT_XENT,
    .name = "soft_xent",
    .gradient = soft_gradient,
    .reference = {.op = NN_OP_SOFT_XENT, .name = "reference.soft_xent", .run = soft_run},
};
const struct nn_op_impl nn_op_soft_xent_back = {
    .op = NN_OP_SOFT_XENT_BACK,
    .name = "soft_xent_back",
    .reference = {.op = NN_OP_SOFT_XENT_BACK,
                  .name = "reference.soft_xent_back",
                  .run = soft_back_run},
};
