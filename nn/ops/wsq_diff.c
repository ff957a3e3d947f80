/* Per sample: mean over H,W of sum_c w_c (a-b)^2 (LPIPS, Zhang et al. 2018, eq. 1). */
#include "ops/op.h"

#include <string.h>

struct nn_val nn_weighted_sq_diff(struct nn_graph *g, struct nn_val a, struct nn_val b,
                                  struct nn_val w)
{
    struct nn_val in[] = {a, b, w};
    if (!nn_usable(g, "weighted_sq_diff", in, 3))
        return NN_NONE;
    struct nn_shape s = nn_val_shape(g, a);
    char ta[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT], tw[NN_SHAPE_TEXT];
    if (s.rank != 4 || !nn_shape_equal(s, nn_val_shape(g, b)) ||
        !nn_shape_equal(nn_val_shape(g, w), nn_shape1(s.dim[3])))
        return nn_fail(g, STATUS_INVALID, "weighted_sq_diff: a %s, b %s, w %s do not fit",
                       nn_shape_text(s, ta), nn_shape_text(nn_val_shape(g, b), tb),
                       nn_shape_text(nn_val_shape(g, w), tw));
    return nn_emit1(g, NN_OP_WSQ_DIFF, in, 3, (struct nn_attr){0}, nn_shape1(s.dim[0]));
}

static void diff_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_node back = {.op = NN_OP_WSQ_DIFF_BACK, .n_in = 4};
    back.in[0] = nn_grad_of(gr, node->out[0]).id;
    memcpy(back.in + 1, node->in, 3 * sizeof *back.in);
    bool want_a = nn_grad_wanted(gr, node->in[0]), want_b = nn_grad_wanted(gr, node->in[1]);
    struct nn_shape out[2] = {0};
    if (want_a || want_b)
        out[0] = g->values[node->in[0]].shape;
    if (nn_grad_wanted(gr, node->in[2]))
        out[1] = g->values[node->in[2]].shape;
    nn_emit(g, &back, out, 2);
    nn_grad_add(gr, node->in[0], (struct nn_val){back.out[0]});
    if (want_b)
        nn_grad_add(gr, node->in[1], nn_affine(g, (struct nn_val){back.out[0]}, -1, 0));
    nn_grad_add(gr, node->in[2], (struct nn_val){back.out[1]});
}

static status diff_run(const struct nn_step *s)
{
    struct nn_shape as = s->in[0].shape;
    const float *a = nn_f32(&s->in[0]), *b = nn_f32(&s->in[1]), *w = nn_f32(&s->in[2]);
    int64_t pixels = (int64_t)as.dim[1] * as.dim[2], c = as.dim[3];
    for (int n = 0; n < as.dim[0]; n++) {
        double sum = 0;
        for (int64_t i = 0; i < pixels; i++, a += c, b += c)
            for (int64_t k = 0; k < c; k++) {
                double d = (double)a[k] - b[k];
                sum += w[k] * d * d;
            }
        nn_f32(&s->out[0])[n] = (float)(sum / (double)pixels);
    }
    return STATUS_OK;
}

static status diff_back_run(const struct nn_step *s)
{
    struct nn_shape as = s->in[1].shape;
    const float *dl = nn_f32(&s->in[0]), *a = nn_f32(&s->in[1]), *b = nn_f32(&s->in[2]);
    const float *w = nn_f32(&s->in[3]);
    float *da = nn_f32(&s->out[0]), *dw = nn_f32(&s->out[1]);
    int64_t pixels = (int64_t)as.dim[1] * as.dim[2], c = as.dim[3];
    if (dw)
        memset(dw, 0, (size_t)c * sizeof *dw);
    for (int64_t i = 0; i < as.dim[0] * pixels; i++)
        for (int64_t k = 0; k < c; k++) {
            float d = a[i * c + k] - b[i * c + k], f = dl[i / pixels] / (float)pixels;
            if (da)
                da[i * c + k] = 2 * f * w[k] * d;
            if (dw)
                dw[k] += f * d * d;
        }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_wsq_diff = {
    .op = NN_OP_WSQ_DIFF,
    .name = "weighted_sq_diff",
    .gradient = diff_gradient,
    .reference = {.op = NN_OP_WSQ_DIFF, .name = "reference.weighted_sq_diff", .run = diff_run},
};
const struct nn_op_impl nn_op_wsq_diff_back = {
    .op = NN_OP_WSQ_DIFF_BACK,
    .name = "weighted_sq_diff_back",
    .reference = {.op = NN_OP_WSQ_DIFF_BACK,
                  .name = "reference.weighted_sq_diff_back",
                  .run = diff_back_run},
};
