/*
 * Fully connected layers: y = x w' + b, dx = dy w, dw = dy' x, db = sum of dy. The tensors are f32
 * (stores.c). In a bf16 plan x and dy are rounded to bf16 into scratch, and weights when they are
 * packed; sums are f32.
 *
 * Where samples are apart a product is made for the rows of one, so that its bits are its own.
 * Samples of few rows, and narrow layers such as a classifier's last, are left to common.linear.
 */
#include "onednn/onednn.h"

#include "kernels/kernels.h"

struct linear {
    struct nn_dnnl_call product, reorder; /* reorder: of packed weights */
    size_t half_bytes[2]; /* of operands as bf16, at the beginning of scratch; 0: f32 */
    nn_to_bf16_fn *to_bf16;
};

static dnnl_data_type_t operand_type(const struct nn_step *s)
{
    return s->precision == NN_PREC_BF16 ? dnnl_bf16 : dnnl_f32;
}

static void drop(struct nn_step *s)
{
    struct linear *l = s->state;
    if (l) {
        nn_dnnl_call_done(&l->product);
        nn_dnnl_call_done(&l->reorder);
    }
    mem_free(l);
    s->state = NULL;
}

static status new_state(struct nn_step *s, const struct nn_dnnl_product *p, int operands,
                        struct errmsg *e)
{
    struct linear *l = s->state = mem_zalloc(1, sizeof *l);
    if (!l)
        return STATUS_NOMEM;
    l->to_bf16 = nn_kernels_here()->to_bf16;
    status st =
        nn_dnnl_product_new(&l->product, &l->reorder, &s->packed_bytes, s->device_ctx, p, e);
    size_t a = l->product.scratch_bytes, b = l->reorder.scratch_bytes;
    s->scratch_bytes = nn_align(a > b ? a : b);
    for (int i = 0; i < operands && p->operand == dnnl_bf16; i++) {
        l->half_bytes[i] = nn_align((size_t)nn_shape_count(s->in[i].shape) * sizeof(uint16_t));
        s->scratch_bytes += l->half_bytes[i];
    }
    return st;
}

/* ---- operands as bf16 ---- */

/* Operand i as the product reads it. */
static char *operand_of(const struct nn_step *s, int i)
{
    const struct linear *l = s->state;
    if (!l->half_bytes[i])
        return s->in[i].data;
    return (char *)s->scratch + (i ? l->half_bytes[0] : 0);
}

static size_t operand_bytes(const struct nn_step *s)
{
    return nn_store_bytes(s->precision == NN_PREC_BF16 ? NN_STORE_BF16 : NN_STORE_F32);
}

static void *scratchpad(const struct nn_step *s)
{
    const struct linear *l = s->state;
    return (char *)s->scratch + l->half_bytes[0] + l->half_bytes[1];
}

struct rounding {
    const struct nn_step *s;
    int operand;
};

static void round_range(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct rounding *r = ctx;
    const struct linear *l = r->s->state;
    (void)thread;
    l->to_bf16(nn_f32(&r->s->in[r->operand]) + first, last - first,
               (uint16_t *)(void *)operand_of(r->s, r->operand) + first);
}

static void round_operand(const struct nn_step *s, int i)
{
    int64_t n = nn_shape_count(s->in[i].shape);
    if (((const struct linear *)s->state)->half_bytes[i])
        nn_for_blocks(nn_threads_for(s, n), n, NN_ROW_MAX, round_range, &(struct rounding){s, i});
}

/* ---- forward: in x w b?; out y. To the input: in dy w; out dx ---- */

static status rows_prepare(struct nn_step *s, struct errmsg *e)
{
    bool forward = s->op == NN_OP_LINEAR;
    return new_state(s,
                     &(struct nn_dnnl_product){.m = nn_linear_rows(s),
                                               .k = s->in[0].shape.dim[1],
                                               .n = s->out[0].shape.dim[1],
                                               .weights_transposed = forward,
                                               .packed = true,
                                               .bias = forward && nn_has(&s->in[2]),
                                               .operand = operand_type(s),
                                               .result = dnnl_f32},
                     1, e);
}

static status rows_bind(struct nn_step *s, struct errmsg *e)
{
    struct linear *l = s->state;
    (void)e;
    status st = nn_dnnl_call_point(&l->reorder, DNNL_ARG_FROM, s->in[1].data);
    if (!st)
        st = nn_dnnl_call_point(&l->reorder, DNNL_ARG_TO, s->packed);
    if (!st)
        st = nn_dnnl_call_point(&l->reorder, DNNL_ARG_SCRATCHPAD, scratchpad(s));
    if (!st)
        st = nn_dnnl_call_point(&l->product, DNNL_ARG_WEIGHTS, s->packed);
    if (!st && s->op == NN_OP_LINEAR)
        st = nn_dnnl_call_point(&l->product, DNNL_ARG_BIAS, s->in[2].data);
    return st ? st : nn_dnnl_call_point(&l->product, DNNL_ARG_SCRATCHPAD, scratchpad(s));
}

static status rows_pack(struct nn_step *s)
{
    return nn_dnnl_call_run(&((struct linear *)s->state)->reorder, s->device_ctx);
}

static status rows_run(const struct nn_step *s)
{
    struct linear *l = s->state;
    size_t k = (size_t)s->in[0].shape.dim[1], n = (size_t)s->out[0].shape.dim[1];
    status st = s->in[1].constant ? STATUS_OK : nn_dnnl_call_run(&l->reorder, s->device_ctx);
    round_operand(s, 0);
    for (int r = 0; !st && r < s->in[0].shape.dim[0]; r += nn_linear_rows(s)) {
        st = nn_dnnl_call_point(&l->product, DNNL_ARG_SRC,
                                operand_of(s, 0) + (size_t)r * k * operand_bytes(s));
        if (!st)
            st = nn_dnnl_call_point(&l->product, DNNL_ARG_DST, nn_f32(&s->out[0]) + (size_t)r * n);
        if (!st)
            st = nn_dnnl_call_run(&l->product, s->device_ctx);
    }
    return st;
}

/* ---- to the weights: in x, dy; out dw, db? ---- */

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    return new_state(s,
                     &(struct nn_dnnl_product){.m = s->out[0].shape.dim[0],
                                               .k = s->in[0].shape.dim[0],
                                               .n = s->out[0].shape.dim[1],
                                               .src_transposed = true,
                                               .operand = operand_type(s),
                                               .result = dnnl_f32},
                     2, e);
}

static status weights_bind(struct nn_step *s, struct errmsg *e)
{
    struct nn_dnnl_call *p = &((struct linear *)s->state)->product;
    (void)e;
    status st = nn_dnnl_call_point(p, DNNL_ARG_SRC, operand_of(s, 1));
    if (!st)
        st = nn_dnnl_call_point(p, DNNL_ARG_WEIGHTS, operand_of(s, 0));
    if (!st)
        st = nn_dnnl_call_point(p, DNNL_ARG_DST, s->out[0].data);
    return st ? st : nn_dnnl_call_point(p, DNNL_ARG_SCRATCHPAD, scratchpad(s));
}

static status weights_run(const struct nn_step *s)
{
    const struct nn_tensor *dy = &s->in[1];
    round_operand(s, 0);
    round_operand(s, 1);
    if (nn_has(&s->out[1])) {
        struct nn_tensor rows = *dy;
        rows.shape = nn_shape4(1, dy->shape.dim[0], 1, dy->shape.dim[1]);
        nn_bias_gradient(s, &rows, &s->out[1]);
    }
    return nn_dnnl_call_run(&((struct linear *)s->state)->product, s->device_ctx);
}

const struct nn_kernel nn_onednn_linear = {
    .op = NN_OP_LINEAR,
    .name = "onednn.linear",
    .supports = nn_linear_pays,
    .prepare = rows_prepare,
    .bind = rows_bind,
    .pack = rows_pack,
    .run = rows_run,
    .drop = drop,
};
const struct nn_kernel nn_onednn_linear_data = {
    .op = NN_OP_LINEAR_DATA,
    .name = "onednn.linear_data",
    .supports = nn_linear_pays,
    .prepare = rows_prepare,
    .bind = rows_bind,
    .pack = rows_pack,
    .run = rows_run,
    .drop = drop,
};
const struct nn_kernel nn_onednn_linear_weights = {
    .op = NN_OP_LINEAR_WEIGHTS,
    .name = "onednn.linear_weights",
    .supports = nn_linear_pays,
    .prepare = weights_prepare,
    .bind = weights_bind,
    .run = weights_run,
    .drop = drop,
};
