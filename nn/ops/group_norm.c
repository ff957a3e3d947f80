/* Group normalisation, Wu & He 2018: each sample's channels in `groups` groups, each group scaled
   to mean 0 and (biased) variance 1, then gamma, beta per channel. */
#include "ops/op.h"

#include <math.h>
#include <string.h>

struct nn_val nn_group_norm(struct nn_graph *g, struct nn_val x, struct nn_val gamma,
                            struct nn_val beta, int groups, float eps)
{
    struct nn_val in[] = {x, gamma, beta};
    if (!nn_usable(g, "group_norm", in, 3))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT];
    if (xs.rank != 4 || groups < 1 || xs.dim[3] % groups)
        return nn_fail(g, STATUS_INVALID, "group_norm: x %s does not divide into %d groups",
                       nn_shape_text(xs, tx), groups);
    struct nn_shape cs = nn_shape1(xs.dim[3]);
    if (!nn_shape_equal(nn_val_shape(g, gamma), cs) || !nn_shape_equal(nn_val_shape(g, beta), cs))
        return nn_fail(g, STATUS_INVALID, "group_norm: gamma and beta do not fit x %s",
                       nn_shape_text(xs, tx));
    if (!(eps > 0))
        return nn_fail(g, STATUS_INVALID, "group_norm: eps must be above 0");
    struct nn_node node = {
        .op = NN_OP_GROUP_NORM, .n_in = 3, .attr = {.groups = groups, .eps = eps}};
    for (int i = 0; i < 3; i++)
        node.in[i] = in[i].id;
    return nn_emit(g, &node, (struct nn_shape[]){xs, {3, {xs.dim[0], groups, 2, 1}}}, 2);
}

static void norm_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_norm(gr, node, 3, NN_OP_GROUP_NORM_BACK);
}

/* One group of one sample: pixels x channels, the channels at first..first+cg-1. */
struct block {
    int64_t pixels, start;
    int c, cg, first;
};

static struct block group_block(struct nn_shape x, int groups, int n, int group)
{
    struct block b = {.pixels = (int64_t)x.dim[1] * x.dim[2], .c = x.dim[3]};
    b.cg = b.c / groups;
    b.first = group * b.cg;
    b.start = n * b.pixels * b.c + b.first;
    return b;
}

static void moments(const struct block *b, const float *x, double eps, double *mean, double *rsd)
{
    double sum = 0, sq = 0, count = (double)b->pixels * b->cg;
    for (int64_t i = 0; i < b->pixels; i++)
        for (int c = 0; c < b->cg; c++)
            sum += x[b->start + i * b->c + c];
    *mean = sum / count;
    for (int64_t i = 0; i < b->pixels; i++)
        for (int c = 0; c < b->cg; c++) {
            double d = x[b->start + i * b->c + c] - *mean;
            sq += d * d;
        }
    *rsd = 1 / sqrt(sq / count + eps);
}

static status norm_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[0].shape;
    const float *x = nn_f32(&s->in[0]), *gamma = nn_f32(&s->in[1]), *beta = nn_f32(&s->in[2]);
    float *y = nn_f32(&s->out[0]), *stats = nn_f32(&s->out[1]);
    for (int n = 0; n < xs.dim[0]; n++)
        for (int k = 0; k < s->attr.groups; k++) {
            struct block b = group_block(xs, s->attr.groups, n, k);
            double mean, rsd;
            moments(&b, x, s->attr.eps, &mean, &rsd);
            for (int64_t i = 0; i < b.pixels; i++)
                for (int c = 0; c < b.cg; c++) {
                    int64_t at = b.start + i * b.c + c;
                    y[at] = (float)((x[at] - mean) * rsd * gamma[b.first + c] + beta[b.first + c]);
                }
            if (stats) {
                *stats++ = (float)mean;
                *stats++ = (float)rsd;
            }
        }
    return STATUS_OK;
}

/* With h = (x-mean) rsd and e = dy gamma:  dx = rsd (e - mean(e) - h mean(e h)). */
static void block_back(const struct nn_step *s, const struct block *b, double mean, double rsd)
{
    const float *dy = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]), *gamma = nn_f32(&s->in[2]);
    float *dx = nn_f32(&s->out[0]), *dgamma = nn_f32(&s->out[1]), *dbeta = nn_f32(&s->out[2]);
    double se = 0, seh = 0, count = (double)b->pixels * b->cg;
    for (int c = 0; c < b->cg; c++) {
        double sd = 0, sdh = 0;
        for (int64_t i = 0; i < b->pixels; i++) {
            int64_t at = b->start + i * b->c + c;
            sd += dy[at];
            sdh += dy[at] * (x[at] - mean) * rsd;
        }
        se += sd * gamma[b->first + c];
        seh += sdh * gamma[b->first + c];
        if (dgamma)
            dgamma[b->first + c] += (float)sdh;
        if (dbeta)
            dbeta[b->first + c] += (float)sd;
    }
    for (int64_t i = 0; dx && i < b->pixels; i++)
        for (int c = 0; c < b->cg; c++) {
            int64_t at = b->start + i * b->c + c;
            double h = (x[at] - mean) * rsd;
            dx[at] = (float)(rsd *
                             (dy[at] * (double)gamma[b->first + c] - se / count - h * seh / count));
        }
}

static status norm_back_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[1].shape;
    for (int k = 1; k < 3; k++)
        if (s->out[k].data)
            memset(s->out[k].data, 0, (size_t)xs.dim[3] * sizeof(float));
    const float *stats = nn_f32(&s->in[4]);
    for (int n = 0; n < xs.dim[0]; n++)
        for (int k = 0; k < s->attr.groups; k++, stats += 2) {
            struct block b = group_block(xs, s->attr.groups, n, k);
            block_back(s, &b, stats[0], stats[1]);
        }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_group_norm = {
    .op = NN_OP_GROUP_NORM,
    .name = "group_norm",
    .required = 1u << 0,
    .gradient = norm_gradient,
    .in_place = 1u << 0,
    .post = NN_POST_LAST,
    .back = &nn_op_group_norm_back,
    .reference = {.op = NN_OP_GROUP_NORM, .name = "reference.group_norm", .run = norm_run},
};
const struct nn_op_impl nn_op_group_norm_back = {
    .op = NN_OP_GROUP_NORM_BACK,
    .name = "group_norm_back",
    .in_place = 1u << 0,
    .stats = 4,
    .res = 5,
    .post = NN_POST_FIRST,
    .reference = {.op = NN_OP_GROUP_NORM_BACK,
                  .name = "reference.group_norm_back",
                  .run = norm_back_run},
};
