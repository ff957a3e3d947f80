/* Batch normalisation, Ioffe & Szegedy 2015. In training the batch's own statistics are used and
   the running ones follow them; otherwise the running ones are used and nothing is written. */
#include "ops/op.h"

#include <math.h>
#include <string.h>

void nn_hold_statistics(struct nn_graph *g)
{
    g->hold = true;
}

struct nn_val nn_batch_norm(struct nn_graph *g, struct nn_val x, struct nn_val gamma,
                            struct nn_val beta, struct nn_val mean, struct nn_val var,
                            float momentum, float eps, bool training)
{
    struct nn_val in[] = {x, gamma, beta, mean, var};
    if (!nn_usable(g, "batch_norm", in, 5))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT];
    if (xs.rank != 4)
        return nn_fail(g, STATUS_INVALID, "batch_norm: x %s is not (N,H,W,C)",
                       nn_shape_text(xs, tx));
    for (int i = 1; i < 5; i++)
        if (!nn_shape_equal(nn_val_shape(g, in[i]), nn_shape1(xs.dim[3])))
            return nn_fail(g, STATUS_INVALID, "batch_norm: operand %d does not fit x %s", i + 1,
                           nn_shape_text(xs, tx));
    for (int i = 3; i < 5; i++) {
        const struct nn_value *v = nn_value(g, in[i]);
        if (training && (v->source != NN_FROM_PARAM || v->param->trainable))
            return nn_fail(g, STATUS_INVALID,
                           "batch_norm: running statistics must be nn_buffer values");
    }
    if (!(eps > 0))
        return nn_fail(g, STATUS_INVALID, "batch_norm: eps must be above 0");
    /* With a momentum of 0 what is written is what was there. */
    struct nn_node node = {
        .op = NN_OP_BATCH_NORM,
        .n_in = 6,
        .attr = {.momentum = g->hold ? 0 : momentum, .eps = eps, .training = training}};
    for (int i = 0; i < 5; i++)
        node.in[i] = in[i].id;
    return nn_emit(g, &node, (struct nn_shape[]){xs, nn_shape2(xs.dim[3], 2)}, 2);
}

static void norm_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_norm(gr, node, 5, NN_OP_BATCH_NORM_BACK);
}

static void channel_moments(const float *x, int64_t pixels, int c, double *mean, double *var)
{
    double sum = 0, sq = 0;
    for (int64_t i = 0; i < pixels; i++)
        sum += x[i * c];
    *mean = sum / (double)pixels;
    for (int64_t i = 0; i < pixels; i++)
        sq += (x[i * c] - *mean) * (x[i * c] - *mean);
    *var = sq / (double)pixels;
}

static status norm_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[0].shape;
    const float *x = nn_f32(&s->in[0]), *gamma = nn_f32(&s->in[1]), *beta = nn_f32(&s->in[2]);
    float *run_mean = nn_f32(&s->in[3]), *run_var = nn_f32(&s->in[4]);
    float *y = nn_f32(&s->out[0]), *stats = nn_f32(&s->out[1]);
    int c = xs.dim[3];
    int64_t pixels = nn_shape_count(xs) / c;
    for (int k = 0; k < c; k++) {
        double mean = run_mean[k], var = run_var[k];
        if (s->attr.training) {
            channel_moments(x + k, pixels, c, &mean, &var);
            double m = s->attr.momentum,
                   unbiased = (double)pixels / (double)(pixels - (pixels > 1));
            run_mean[k] = (float)((1 - m) * run_mean[k] + m * mean);
            run_var[k] = (float)((1 - m) * run_var[k] + m * var * unbiased);
        }
        double rsd = 1 / sqrt(var + (double)s->attr.eps);
        for (int64_t i = 0; i < pixels; i++)
            y[i * c + k] = (float)((x[i * c + k] - mean) * rsd * gamma[k] + beta[k]);
        if (stats) {
            stats[2 * k] = (float)mean;
            stats[2 * k + 1] = (float)rsd;
        }
    }
    return STATUS_OK;
}

static status norm_back_run(const struct nn_step *s)
{
    const float *dy = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]), *gamma = nn_f32(&s->in[2]);
    const float *stats = nn_f32(&s->in[6]);
    float *dx = nn_f32(&s->out[0]), *dgamma = nn_f32(&s->out[1]), *dbeta = nn_f32(&s->out[2]);
    int c = s->in[1].shape.dim[3];
    int64_t pixels = nn_shape_count(s->in[1].shape) / c;
    for (int k = 0; k < c; k++) {
        double sd = 0, sdh = 0, mean = stats[2 * k], rsd = stats[2 * k + 1];
        for (int64_t i = 0; i < pixels; i++) {
            sd += dy[i * c + k];
            sdh += dy[i * c + k] * (x[i * c + k] - mean) * rsd;
        }
        double md = s->attr.training ? sd / (double)pixels : 0;
        double mdh = s->attr.training ? sdh / (double)pixels : 0;
        for (int64_t i = 0; dx && i < pixels; i++) {
            double h = (x[i * c + k] - mean) * rsd;
            dx[i * c + k] = (float)(rsd * gamma[k] * (dy[i * c + k] - md - h * mdh));
        }
        if (dgamma)
            dgamma[k] = (float)sdh;
        if (dbeta)
            dbeta[k] = (float)sd;
    }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_batch_norm = {
    .op = NN_OP_BATCH_NORM,
    .name = "batch_norm",
    .required = 1u << 0,
    .gradient = norm_gradient,
    .in_place = 1u << 0 | 1u << 5,
    .effects = 1u << 3 | 1u << 4,
    .res = 5,
    .post = NN_POST_LAST,
    .back = &nn_op_batch_norm_back,
    .reference = {.op = NN_OP_BATCH_NORM, .name = "reference.batch_norm", .run = norm_run},
};
const struct nn_op_impl nn_op_batch_norm_back = {
    .op = NN_OP_BATCH_NORM_BACK,
    .name = "batch_norm_back",
    .in_place = 1u << 0,
    .stats = 6,
    .res = 7,
    .post = NN_POST_FIRST,
    .reference = {.op = NN_OP_BATCH_NORM_BACK,
                  .name = "reference.batch_norm_back",
                  .run = norm_back_run},
};
