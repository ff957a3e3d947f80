#ifndef NN_DEPTHWISE_H
#define NN_DEPTHWISE_H
/* Depthwise convolution: what its forward and data gradient (conv_depthwise.c) and its weight
   gradient (conv_depthwise_weights.c) share. */
#include "kernels/kernels.h"
#include "kernels/lanes.h"

/* Positions among the inputs of the three ops. */
enum { X, W, BIAS, NC, RES, DATA_RES = 2, WEIGHTS_DY = 1 };
enum { TAPS_MAX = 64, SIDE_MAX = 1 << 16 }; /* taps of a kernel; pixels a side */

/* Sizes, from the tensors that play x, w and y in any of the three ops. */
struct nn_depthwise_dims {
    int n, h, w, c, p, q, kh, kw, stride, top, left;
};

static inline struct nn_depthwise_dims nn_depthwise_dims_of(const struct nn_conv *a,
                                                            struct nn_shape x, struct nn_shape w,
                                                            struct nn_shape y)
{
    return (struct nn_depthwise_dims){.n = x.dim[0],
                                      .h = x.dim[1],
                                      .w = x.dim[2],
                                      .c = x.dim[3],
                                      .p = y.dim[1],
                                      .q = y.dim[2],
                                      .kh = w.dim[2],
                                      .kw = w.dim[3],
                                      .stride = a->stride,
                                      .top = a->pad_top,
                                      .left = a->pad_left};
}

static inline struct nn_depthwise_dims nn_depthwise_dims(const struct nn_step *s)
{
    const struct nn_tensor *in = s->in, *out = s->out;
    if (s->op == NN_OP_CONV2D)
        return nn_depthwise_dims_of(&s->attr.conv, in[X].shape, in[W].shape, out[0].shape);
    if (s->op == NN_OP_CONV2D_DATA)
        return nn_depthwise_dims_of(&s->attr.conv, out[0].shape, in[W].shape, in[0].shape);
    return nn_depthwise_dims_of(&s->attr.conv, in[X].shape, out[0].shape, in[WEIGHTS_DY].shape);
}

static inline bool nn_depthwise_supports(const struct nn_step *s)
{
    bool of_weights = s->op == NN_OP_CONV2D_WEIGHTS;
    const struct nn_tensor *w = of_weights ? &s->out[0] : &s->in[W];
    const struct nn_tensor *x = s->op == NN_OP_CONV2D_DATA ? &s->out[0] : &s->in[X];
    int c = x->shape.dim[3];
    if (s->op == NN_OP_CONV2D && nn_has(&s->in[NC]) && s->in[NC].store != NN_STORE_F32)
        return false;
    return nn_has(w) && w->store == NN_STORE_F32 && s->attr.conv.groups == c &&
           w->shape.dim[0] == c && c > 1 && c <= NN_ROW_MAX && x->shape.dim[1] < SIDE_MAX &&
           x->shape.dim[2] < SIDE_MAX && (int64_t)w->shape.dim[2] * w->shape.dim[3] <= TAPS_MAX;
}

/* Of (Kh,Kw,C). */
static inline size_t nn_depthwise_weights(const struct nn_depthwise_dims *d)
{
    return (size_t)d->kh * (size_t)d->kw * (size_t)d->c;
}

#endif
