/* Convolution (cross-correlation) and its two gradients. Dims: x (N,H,W,C), w (O,C/groups,Kh,Kw),
   y (N,P,Q,O); y[p,q] reads x[p*stride - pad_top + i, q*stride - pad_left + j]. */
#include "ops/op.h"

#include <string.h>

enum { CONV_SIDE_MAX = 1 << 20 }; /* of kernel, stride and padding: sums stay within int */

static bool conv_attr_ok(const struct nn_conv *a)
{
    int v[] = {a->pad_top, a->pad_left, a->pad_bottom, a->pad_right, a->stride - 1, a->groups - 1};
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        if (v[i] < 0 || v[i] > CONV_SIDE_MAX)
            return false;
    return true;
}

struct nn_val nn_conv2d(struct nn_graph *g, struct nn_val x, struct nn_val w, struct nn_val b,
                        struct nn_conv attr)
{
    struct nn_val in[] = {x, w, b};
    if (!nn_usable(g, "conv2d", in, b.id ? 3 : 2))
        return NN_NONE;
    if (attr.groups == 0)
        attr.groups = 1;
    struct nn_shape xs = nn_val_shape(g, x), ws = nn_val_shape(g, w), bs = nn_val_shape(g, b);
    char tx[NN_SHAPE_TEXT], tw[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT];
    nn_shape_text(xs, tx), nn_shape_text(ws, tw), nn_shape_text(bs, tb);
    if (!conv_attr_ok(&attr))
        return nn_fail(g, STATUS_INVALID, "conv2d: impossible stride, padding or groups");
    if (xs.rank != 4 || ws.rank != 4 || xs.dim[3] % attr.groups || ws.dim[0] % attr.groups ||
        ws.dim[1] != xs.dim[3] / attr.groups)
        return nn_fail(g, STATUS_INVALID, "conv2d: x %s and w %s with %d groups do not fit", tx, tw,
                       attr.groups);
    if (b.id && !nn_shape_equal(bs, nn_shape1(ws.dim[0])))
        return nn_fail(g, STATUS_INVALID, "conv2d: w %s and b %s do not fit", tw, tb);
    int64_t h = (int64_t)xs.dim[1] + attr.pad_top + attr.pad_bottom - ws.dim[2];
    int64_t wd = (int64_t)xs.dim[2] + attr.pad_left + attr.pad_right - ws.dim[3];
    if (h < 0 || wd < 0)
        return nn_fail(g, STATUS_INVALID, "conv2d: the kernel of w %s is larger than padded x %s",
                       tw, tx);
    struct nn_shape ys =
        nn_shape4(xs.dim[0], (int)(h / attr.stride + 1), (int)(wd / attr.stride + 1), ws.dim[0]);
    return nn_emit1(g, NN_OP_CONV2D, in, 3, (struct nn_attr){.conv = attr}, ys);
}

static void conv_gradient(struct nn_grad *gr, const struct nn_node *node)
{
    nn_grad_affine(gr, node, NN_OP_CONV2D_DATA, NN_OP_CONV2D_WEIGHTS);
}

/* Everything the loops need, from the tensors that play x, w and y in any of the three ops. */
struct conv_dims {
    int n, h, w, c, o, kh, kw, p, q, groups, cg, og, stride, top, left;
};

static struct conv_dims conv_dims(const struct nn_conv *a, struct nn_shape x, struct nn_shape w,
                                  struct nn_shape y)
{
    return (struct conv_dims){
        .n = x.dim[0],
        .h = x.dim[1],
        .w = x.dim[2],
        .c = x.dim[3],
        .o = w.dim[0],
        .kh = w.dim[2],
        .kw = w.dim[3],
        .p = y.dim[1],
        .q = y.dim[2],
        .groups = a->groups,
        .cg = w.dim[1],
        .og = w.dim[0] / a->groups,
        .stride = a->stride,
        .top = a->pad_top,
        .left = a->pad_left,
    };
}

/* Offset in x of the pixel that output pixel (n,p,q) reads at kernel place (i,j); -1 in the
 * padding. */
static int64_t conv_pixel(const struct conv_dims *d, int n, int p, int q, int i, int j)
{
    int64_t h = (int64_t)p * d->stride - d->top + i, w = (int64_t)q * d->stride - d->left + j;
    if (h < 0 || h >= d->h || w < 0 || w >= d->w)
        return -1;
    return (((int64_t)n * d->h + h) * d->w + w) * d->c;
}

static double conv_at(const struct conv_dims *d, const float *x, const float *w, int n, int p,
                      int q, int o)
{
    double sum = 0;
    int first = o / d->og * d->cg;
    for (int i = 0; i < d->kh; i++)
        for (int j = 0; j < d->kw; j++) {
            int64_t at = conv_pixel(d, n, p, q, i, j);
            for (int c = 0; at >= 0 && c < d->cg; c++)
                sum += (double)x[at + first + c] *
                       w[(((int64_t)o * d->cg + c) * d->kh + i) * d->kw + j];
        }
    return sum;
}

static status conv_run(const struct nn_step *s)
{
    struct conv_dims d = conv_dims(&s->attr.conv, s->in[0].shape, s->in[1].shape, s->out[0].shape);
    const float *x = nn_f32(&s->in[0]), *w = nn_f32(&s->in[1]), *b = nn_f32(&s->in[2]);
    float *y = nn_f32(&s->out[0]);
    for (int n = 0; n < d.n; n++)
        for (int p = 0; p < d.p; p++)
            for (int q = 0; q < d.q; q++)
                for (int o = 0; o < d.o; o++)
                    *y++ = (float)(conv_at(&d, x, w, n, p, q, o) + (b ? b[o] : 0));
    return STATUS_OK;
}

static status conv_data_run(const struct nn_step *s)
{
    struct conv_dims d = conv_dims(&s->attr.conv, s->out[0].shape, s->in[1].shape, s->in[0].shape);
    const float *dy = nn_f32(&s->in[0]), *w = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    memset(dx, 0, (size_t)nn_shape_count(s->out[0].shape) * sizeof *dx);
    for (int n = 0; n < d.n; n++)
        for (int p = 0; p < d.p; p++)
            for (int q = 0; q < d.q; q++, dy += d.o)
                for (int i = 0; i < d.kh; i++)
                    for (int j = 0; j < d.kw; j++) {
                        int64_t at = conv_pixel(&d, n, p, q, i, j);
                        for (int o = 0; at >= 0 && o < d.o; o++)
                            for (int c = 0; c < d.cg; c++)
                                dx[at + o / d.og * d.cg + c] +=
                                    dy[o] * w[(((int64_t)o * d.cg + c) * d.kh + i) * d.kw + j];
                    }
    return STATUS_OK;
}

static double conv_weight_at(const struct conv_dims *d, const float *x, const float *dy, int o,
                             int c, int i, int j)
{
    double sum = 0;
    for (int n = 0; n < d->n; n++)
        for (int p = 0; p < d->p; p++)
            for (int q = 0; q < d->q; q++) {
                int64_t at = conv_pixel(d, n, p, q, i, j);
                if (at >= 0)
                    sum += (double)x[at + o / d->og * d->cg + c] *
                           dy[(((int64_t)n * d->p + p) * d->q + q) * d->o + o];
            }
    return sum;
}

static status conv_weights_run(const struct nn_step *s)
{
    struct conv_dims d = conv_dims(&s->attr.conv, s->in[0].shape, s->out[0].shape, s->in[1].shape);
    const float *x = nn_f32(&s->in[0]), *dy = nn_f32(&s->in[1]);
    float *dw = nn_f32(&s->out[0]), *db = nn_f32(&s->out[1]);
    for (int o = 0; dw && o < d.o; o++)
        for (int c = 0; c < d.cg; c++)
            for (int i = 0; i < d.kh; i++)
                for (int j = 0; j < d.kw; j++)
                    *dw++ = (float)conv_weight_at(&d, x, dy, o, c, i, j);
    int64_t pixels = (int64_t)d.n * d.p * d.q;
    for (int o = 0; db && o < d.o; o++) {
        double sum = 0;
        for (int64_t i = 0; i < pixels; i++)
            sum += dy[i * d.o + o];
        db[o] = (float)sum;
    }
    return STATUS_OK;
}

/* y elements times kernel elements, whichever tensors those are in the three ops. */
static double conv_flops(struct nn_shape y, struct nn_shape w)
{
    return 2.0 * (double)nn_shape_count(y) * w.dim[1] * w.dim[2] * w.dim[3];
}
static double forward_flops(const struct nn_step *s)
{
    return conv_flops(s->out[0].shape, s->in[1].shape);
}
static double data_flops(const struct nn_step *s)
{
    return conv_flops(s->in[0].shape, s->in[1].shape);
}
static double weights_flops(const struct nn_step *s)
{
    return conv_flops(s->in[1].shape, s->out[0].shape);
}

/* in_place bits: only the residual, which kernels read before they write the same element. */
const struct nn_op_impl nn_op_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "conv2d",
    .gradient = conv_gradient,
    .products = 1u << 0,
    .weights = 1u << 1,
    .in_place = 1u << 4,
    .nc = 3,
    .res = 4,
    .post = NN_POST_LAST,
    .flops = forward_flops,
    .reference = {.op = NN_OP_CONV2D, .name = "reference.conv2d", .run = conv_run},
};
const struct nn_op_impl nn_op_conv2d_data = {
    .op = NN_OP_CONV2D_DATA,
    .name = "conv2d_data",
    .products = 1u << 0,
    .weights = 1u << 1,
    .in_place = 1u << 2,
    .res = 2,
    .flops = data_flops,
    .reference = {.op = NN_OP_CONV2D_DATA, .name = "reference.conv2d_data", .run = conv_data_run},
};
const struct nn_op_impl nn_op_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "conv2d_weights",
    .products = 1u << 0 | 1u << 1,
    .weights_result = true,
    .flops = weights_flops,
    .reference = {.op = NN_OP_CONV2D_WEIGHTS,
                  .name = "reference.conv2d_weights",
                  .run = conv_weights_run},
};
