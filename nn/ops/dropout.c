/* Dropout, Srivastava et al. 2014, inverted form. Element i of mask `stream` in run r of a plan is
   a pure function of (plan seed, r, stream, i), so the backward pass draws the same mask again. */
#include "ops/op.h"

struct nn_val nn_dropout(struct nn_graph *g, struct nn_val x, float p)
{
    if (!nn_usable(g, "dropout", &x, 1))
        return NN_NONE;
    if (!(p >= 0 && p < 1))
        return nn_fail(g, STATUS_INVALID, "dropout: probability %g is not in [0,1)", (double)p);
    struct nn_attr attr = {.scale = 1 / (1 - p), .shift = p, .stream = g->n_streams++};
    return nn_emit1(g, NN_OP_DROPOUT, &x, 1, attr, nn_val_shape(g, x));
}

static void dropout_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    nn_grad_add(gr, node->in[0],
                nn_emit1(nn_grad_graph(gr), NN_OP_DROPOUT, &dy, 1, node->attr,
                         nn_val_shape(nn_grad_graph(gr), dy)));
}

static status dropout_run(const struct nn_step *s)
{
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    int64_t n = nn_shape_count(s->out[0].shape);
    struct nn_rng rng = nn_rng(s->run->seed, s->run->counter << 20 | s->attr.stream);
    uint32_t limit = (uint32_t)((double)s->attr.shift * 4294967296.0);
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t counter[4] = {(uint32_t)(i / 4), (uint32_t)((uint64_t)i >> 34), rng.stream[0],
                               rng.stream[1]},
                 word[4];
        nn_philox(rng.key, counter, word);
        for (int64_t k = i; k < i + 4 && k < n; k++)
            y[k] = (word[k - i] < limit ? 0 : s->attr.scale) * x[k];
    }
    return STATUS_OK;
}

const struct nn_op_impl nn_op_dropout = {
    .op = NN_OP_DROPOUT,
    .name = "dropout",
    .gradient = dropout_gradient,
    .in_place = 1u << 0,
    .reference = {.op = NN_OP_DROPOUT, .name = "reference.dropout", .run = dropout_run},
};
