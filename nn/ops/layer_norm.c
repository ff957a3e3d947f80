/* Layer normalisation, Ba et al. 2016: each row of the last dimension scaled to mean 0 and (biased)
   variance 1, then gamma, beta per channel. */
#include "ops/op.h"

#include <math.h>
#include <string.h>

static int channels(struct nn_shape s)
{
    return s.dim[s.rank - 1];
}

struct nn_val nn_layer_norm(struct nn_graph *g, struct nn_val x, struct nn_val gamma,
                            struct nn_val beta, float eps)
{
    struct nn_val in[] = {x, gamma, beta};
    if (!nn_usable(g, "layer_norm", in, 3))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x), cs = nn_shape1(channels(xs));
    char tx[NN_SHAPE_TEXT];
    int64_t rows = nn_shape_count(xs) / channels(xs);
    if (xs.rank < 2 || rows > INT32_MAX || !nn_shape_equal(nn_val_shape(g, gamma), cs) ||
        !nn_shape_equal(nn_val_shape(g, beta), cs))
        return nn_fail(g, STATUS_INVALID,
                       "layer_norm: gamma and beta do not fit x %s (want (..,C), (C), (C))",
                       nn_shape_text(xs, tx));
    if (!(eps > 0))
        return nn_fail(g, STATUS_INVALID, "layer_norm: eps must be above 0");
    struct nn_node node = {.op = NN_OP_LAYER_NORM, .n_in = 3, .attr = {.eps = eps}};
    for (int i = 0; i < 3; i++)
        node.in[i] = in[i].id;
    return nn_emit(g, &node, (struct nn_shape[]){xs, nn_shape2((int)rows, 2)}, 2);
}

static void norm_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_norm(gr, node, 3, NN_OP_LAYER_NORM_BACK);
}

static status norm_run(const struct nn_step *s)
{
    const float *x = nn_f32(&s->in[0]), *gamma = nn_f32(&s->in[1]), *beta = nn_f32(&s->in[2]);
    float *y = nn_f32(&s->out[0]), *stats = nn_f32(&s->out[1]);
    int c = channels(s->in[0].shape);
    for (int64_t r = nn_shape_count(s->in[0].shape) / c; r > 0; r--, x += c, y += c) {
        double mean = 0, sq = 0;
        for (int k = 0; k < c; k++)
            mean += x[k];
        mean /= c;
        for (int k = 0; k < c; k++)
            sq += (x[k] - mean) * (x[k] - mean);
        double rsd = 1 / sqrt(sq / c + (double)s->attr.eps);
        for (int k = 0; k < c; k++)
            y[k] = (float)((x[k] - mean) * rsd * gamma[k] + beta[k]);
        if (stats) {
            *stats++ = (float)mean;
            *stats++ = (float)rsd;
        }
    }
    return STATUS_OK;
}

/* With h = (x-mean) rsd and e = dy gamma:  dx = rsd (e - mean(e) - h mean(e h)). */
static status norm_back_run(const struct nn_step *s)
{
    const float *dy = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]), *gamma = nn_f32(&s->in[2]);
    const float *stats = nn_f32(&s->in[4]);
    float *dx = nn_f32(&s->out[0]), *dgamma = nn_f32(&s->out[1]), *dbeta = nn_f32(&s->out[2]);
    int c = channels(s->in[1].shape);
    for (int i = 1; i < 3; i++)
        if (s->out[i].data)
            memset(s->out[i].data, 0, (size_t)c * sizeof(float));
    for (int64_t r = nn_shape_count(s->in[1].shape) / c; r > 0; r--, x += c, dy += c, stats += 2) {
        double mean = stats[0], rsd = stats[1], se = 0, seh = 0;
        for (int k = 0; k < c; k++) {
            double h = (x[k] - mean) * rsd, e = (double)dy[k] * gamma[k];
            se += e;
            seh += e * h;
            if (dgamma)
                dgamma[k] += (float)(dy[k] * h);
            if (dbeta)
                dbeta[k] += dy[k];
        }
        for (int k = 0; dx && k < c; k++) {
            double h = (x[k] - mean) * rsd, e = (double)dy[k] * gamma[k];
            *dx++ = (float)(rsd * (e - se / c - h * seh / c));
        }
    }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_layer_norm = {
    .op = NN_OP_LAYER_NORM,
    .name = "layer_norm",
    .gradient = norm_gradient,
    .required = 1u << 0,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_LAYER_NORM, .name = "reference.layer_norm", .run = norm_run},
};
const struct nn_op_impl nn_op_layer_norm_back = {
    .op = NN_OP_LAYER_NORM_BACK,
    .name = "layer_norm_back",
    .in_place = 1u << 0 | 1u << 1,
    .stats = 4,
    .reference = {.op = NN_OP_LAYER_NORM_BACK,
                  .name = "reference.layer_norm_back",
                  .run = norm_back_run},
};
