/* Mean over windows; padding counts in the divisor, what ceil_mode adds beyond it does not. */
#include "ops/pool.h"

struct nn_val nn_avg_pool(struct nn_graph *g, struct nn_val x, struct nn_pool attr)
{
    if (!nn_usable(g, "avg_pool", &x, 1))
        return NN_NONE;
    struct nn_shape ys = nn_pool_shape(g, "avg_pool", nn_val_shape(g, x), attr);
    return nn_emit1(g, NN_OP_AVG_POOL, &x, 1, (struct nn_attr){.pool = attr}, ys);
}

static void pool_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val dy = nn_grad_of(gr, node->out[0]), x = {node->in[0]};
    nn_grad_add(gr, x.id, nn_emit1(g, NN_OP_AVG_POOL_BACK, &dy, 1, node->attr, nn_val_shape(g, x)));
}

/* Calls for every (output element, input element of its window) in order: the mean adds x/places to
   y, its gradient adds dy/places to dx. */
static void each_pair(const struct nn_step *s, struct nn_shape xs, struct nn_shape ys,
                      const float *from, float *to, bool back)
{
    const struct nn_pool *a = &s->attr.pool;
    int c = ys.dim[3];
    int64_t y = 0;
    for (int n = 0; n < ys.dim[0]; n++)
        for (int p = 0; p < ys.dim[1]; p++)
            for (int q = 0; q < ys.dim[2]; q++, y += c) {
                struct nn_window hs = nn_window(a, xs.dim[1], p), ws = nn_window(a, xs.dim[2], q);
                float share = 1.0f / ((float)hs.places * (float)ws.places);
                for (int h = hs.first; h < hs.last; h++)
                    for (int w = ws.first; w < ws.last; w++) {
                        int64_t x = (((int64_t)n * xs.dim[1] + h) * xs.dim[2] + w) * c;
                        for (int k = 0; k < c; k++)
                            to[(back ? x : y) + k] += share * from[(back ? y : x) + k];
                    }
            }
}

static status pool_run(const struct nn_step *s)
{
    memset(s->out[0].data, 0, (size_t)nn_shape_count(s->out[0].shape) * sizeof(float));
    each_pair(s, s->in[0].shape, s->out[0].shape, nn_f32(&s->in[0]), nn_f32(&s->out[0]), false);
    return STATUS_OK;
}

static status pool_back_run(const struct nn_step *s)
{
    memset(s->out[0].data, 0, (size_t)nn_shape_count(s->out[0].shape) * sizeof(float));
    each_pair(s, s->out[0].shape, s->in[0].shape, nn_f32(&s->in[0]), nn_f32(&s->out[0]), true);
    return STATUS_OK;
}

const struct nn_op_impl nn_op_avg_pool = {
    .op = NN_OP_AVG_POOL,
    .name = "avg_pool",
    .gradient = pool_gradient,
    .reference = {.op = NN_OP_AVG_POOL, .name = "reference.avg_pool", .run = pool_run},
};
const struct nn_op_impl nn_op_avg_pool_back = {
    .op = NN_OP_AVG_POOL_BACK,
    .name = "avg_pool_back",
    .reference = {.op = NN_OP_AVG_POOL_BACK,
                  .name = "reference.avg_pool_back",
                  .run = pool_back_run},
};
