/* Maximum over windows; a gradient goes to the first maximum of its window, in reading order. */
#include "ops/pool.h"

#include <math.h>

static int64_t pool_side(int n, const struct nn_pool *a)
{
    int64_t span = (int64_t)n + 2LL * a->pad - a->kernel;
    if (span < 0) /* one window may reach beyond the end, but not by a stride */
        return a->ceil_mode && span + a->stride > 0;
    int64_t p = span / a->stride + 1;
    if (a->ceil_mode && span % a->stride && p * a->stride < (int64_t)n + a->pad)
        p++;
    return p;
}

struct nn_shape nn_pool_shape(struct nn_graph *g, const char *op, struct nn_shape x,
                              struct nn_pool a)
{
    char tx[NN_SHAPE_TEXT];
    nn_shape_text(x, tx);
    if (x.rank != 4 || a.kernel < 1 || a.stride < 1 || a.pad < 0 || a.pad > a.kernel / 2 ||
        a.kernel > 1 << 20 || a.stride > 1 << 20) {
        nn_fail(g, STATUS_INVALID, "%s: x %s with kernel %d, stride %d, padding %d", op, tx,
                a.kernel, a.stride, a.pad);
        return (struct nn_shape){0};
    }
    int64_t h = pool_side(x.dim[1], &a), w = pool_side(x.dim[2], &a);
    if (h < 1 || w < 1) {
        nn_fail(g, STATUS_INVALID, "%s: x %s is smaller than the kernel %d", op, tx, a.kernel);
        return (struct nn_shape){0};
    }
    return nn_shape4(x.dim[0], (int)h, (int)w, x.dim[3]);
}

struct nn_val nn_max_pool(struct nn_graph *g, struct nn_val x, struct nn_pool attr)
{
    if (!nn_usable(g, "max_pool", &x, 1))
        return NN_NONE;
    struct nn_shape ys = nn_pool_shape(g, "max_pool", nn_val_shape(g, x), attr);
    return nn_emit1(g, NN_OP_MAX_POOL, &x, 1, (struct nn_attr){.pool = attr}, ys);
}

static void pool_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    struct nn_graph *g = nn_grad_graph(gr);
    struct nn_val in[] = {nn_grad_of(gr, node->out[0]), {node->in[0]}};
    nn_grad_add(gr, node->in[0],
                nn_emit1(g, NN_OP_MAX_POOL_BACK, in, 2, node->attr, nn_val_shape(g, in[1])));
}

/* Offset of the first maximum in the window of output pixel (n,p,q), channel c. */
static int64_t first_max(const struct nn_pool *a, struct nn_shape xs, const float *x, int n, int p,
                         int q, int c)
{
    struct nn_window hs = nn_window(a, xs.dim[1], p), ws = nn_window(a, xs.dim[2], q);
    int64_t best = -1;
    for (int h = hs.first; h < hs.last; h++)
        for (int w = ws.first; w < ws.last; w++) {
            int64_t at = (((int64_t)n * xs.dim[1] + h) * xs.dim[2] + w) * xs.dim[3] + c;
            if (best < 0 || x[at] > x[best] || isnan(x[at]))
                best = at;
        }
    return best;
}

static status pool_run(const struct nn_step *s)
{
    struct nn_shape xs = s->in[0].shape, ys = s->out[0].shape;
    const float *x = nn_f32(&s->in[0]);
    float *y = nn_f32(&s->out[0]);
    for (int n = 0; n < ys.dim[0]; n++)
        for (int p = 0; p < ys.dim[1]; p++)
            for (int q = 0; q < ys.dim[2]; q++)
                for (int c = 0; c < ys.dim[3]; c++)
                    *y++ = x[first_max(&s->attr.pool, xs, x, n, p, q, c)];
    return STATUS_OK;
}

static status pool_back_run(const struct nn_step *s)
{
    struct nn_shape ys = s->in[0].shape, xs = s->in[1].shape;
    const float *dy = nn_f32(&s->in[0]), *x = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    memset(dx, 0, (size_t)nn_shape_count(xs) * sizeof *dx);
    for (int n = 0; n < ys.dim[0]; n++)
        for (int p = 0; p < ys.dim[1]; p++)
            for (int q = 0; q < ys.dim[2]; q++)
                for (int c = 0; c < ys.dim[3]; c++)
                    dx[first_max(&s->attr.pool, xs, x, n, p, q, c)] += *dy++;
    return STATUS_OK;
}

const struct nn_op_impl nn_op_max_pool = {
    .op = NN_OP_MAX_POOL,
    .name = "max_pool",
    .gradient = pool_gradient,
    .reference = {.op = NN_OP_MAX_POOL, .name = "reference.max_pool", .run = pool_run},
};
const struct nn_op_impl nn_op_max_pool_back = {
    .op = NN_OP_MAX_POOL_BACK,
    .name = "max_pool_back",
    .reference = {.op = NN_OP_MAX_POOL_BACK,
                  .name = "reference.max_pool_back",
                  .run = pool_back_run},
};
