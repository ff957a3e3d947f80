/* Joining and cutting along the last dimension, the channels. */
#include "ops/op.h"

#include <string.h>

static int last_dim(struct nn_shape s)
{
    return s.dim[s.rank - 1];
}
static struct nn_shape with_last(struct nn_shape s, int c)
{
    s.dim[s.rank - 1] = c;
    return s;
}

struct nn_val nn_concat(struct nn_graph *g, struct nn_val a, struct nn_val b)
{
    struct nn_val in[] = {a, b};
    if (!nn_usable(g, "concat", in, 2))
        return NN_NONE;
    struct nn_shape as = nn_val_shape(g, a), bs = nn_val_shape(g, b);
    char ta[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT];
    if (as.rank != bs.rank || !nn_shape_equal(with_last(as, 1), with_last(bs, 1)) ||
        (int64_t)last_dim(as) + last_dim(bs) > INT32_MAX)
        return nn_fail(g, STATUS_INVALID, "concat: %s and %s do not fit", nn_shape_text(as, ta),
                       nn_shape_text(bs, tb));
    return nn_emit1(g, NN_OP_CONCAT, in, 2, (struct nn_attr){0},
                    with_last(as, last_dim(as) + last_dim(bs)));
}

struct nn_val nn_slice_c(struct nn_graph *g, struct nn_val x, int first, int count)
{
    if (!nn_usable(g, "slice_c", &x, 1))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT];
    if (first < 0 || count < 1 || first > last_dim(xs) - count)
        return nn_fail(g, STATUS_INVALID, "slice_c: x %s has no %d channels from %d on",
                       nn_shape_text(xs, tx), count, first);
    return nn_emit1(g, NN_OP_SLICE_C, &x, 1, (struct nn_attr){.first = first},
                    with_last(xs, count));
}

static void concat_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]);
    int first = 0;
    for (int i = 0; i < 2; i++) {
        int c = last_dim(g->values[node->in[i]].shape);
        if (nn_grad_wanted(gr, node->in[i]))
            nn_grad_add(gr, node->in[i], nn_slice_c(g, dy, first, c));
        first += c;
    }
}

static void slice_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]), x = {node->in[0]};
    nn_grad_add(gr, x.id, nn_emit1(g, NN_OP_PAD_C, &dy, 1, node->attr, nn_val_shape(g, x)));
}

static int64_t pixel_count(struct nn_shape s)
{
    return nn_shape_count(s) / last_dim(s);
}

static status concat_run(const struct nn_step *s)
{
    size_t a = (size_t)last_dim(s->in[0].shape), b = (size_t)last_dim(s->in[1].shape);
    const float *pa = nn_f32(&s->in[0]), *pb = nn_f32(&s->in[1]);
    float *y = nn_f32(&s->out[0]);
    for (int64_t i = pixel_count(s->out[0].shape); i > 0; i--, pa += a, pb += b, y += a + b) {
        memcpy(y, pa, a * sizeof *y);
        memcpy(y + a, pb, b * sizeof *y);
    }
    return STATUS_OK;
}

static status slice_run(const struct nn_step *s)
{
    size_t c = (size_t)last_dim(s->in[0].shape), k = (size_t)last_dim(s->out[0].shape);
    const float *x = nn_f32(&s->in[0]) + s->attr.first;
    float *y = nn_f32(&s->out[0]);
    for (int64_t i = pixel_count(s->out[0].shape); i > 0; i--, x += c, y += k)
        memcpy(y, x, k * sizeof *y);
    return STATUS_OK;
}

static status pad_run(const struct nn_step *s)
{
    size_t k = (size_t)last_dim(s->in[0].shape), c = (size_t)last_dim(s->out[0].shape);
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    memset(y, 0, (size_t)nn_shape_count(s->out[0].shape) * sizeof *y);
    for (int64_t i = pixel_count(s->out[0].shape); i > 0; i--, x += k, y += c)
        memcpy(y + s->attr.first, x, k * sizeof *y);
    return STATUS_OK;
}

const struct nn_op_impl nn_op_concat = {
    .op = NN_OP_CONCAT,
    .name = "concat",
    .gradient = concat_gradient,
    .reference = {.op = NN_OP_CONCAT, .name = "reference.concat", .run = concat_run},
};
const struct nn_op_impl nn_op_slice_c = {
    .op = NN_OP_SLICE_C,
    .name = "slice_c",
    .gradient = slice_gradient,
    .reference = {.op = NN_OP_SLICE_C, .name = "reference.slice_c", .run = slice_run},
};
const struct nn_op_impl nn_op_pad_c = {
    .op = NN_OP_PAD_C,
    .name = "pad_c",
    .reference = {.op = NN_OP_PAD_C, .name = "reference.pad_c", .run = pad_run},
};
