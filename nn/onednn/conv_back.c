/* The two gradients of a convolution, NHWC. */
#include "onednn/onednn.h"

static void drop(struct nn_step *s)
{
    struct nn_dnnl_conv_pair *p = s->state;
    if (p)
        nn_dnnl_conv_done(p);
    mem_free(p);
    s->state = NULL;
}

static status make(struct nn_step *s, const struct nn_dnnl_conv_spec *spec, struct errmsg *e)
{
    struct nn_dnnl_conv_pair *p = s->state = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    status st = nn_dnnl_conv_new(p, s->device_ctx, spec, e);
    s->scratch_bytes = p->scratch_bytes;
    return st;
}

/* ---- to the input: in dy, w; out dx ---- */

/* A residual would be one more pass over dx here, as it is in an addition of its own. */
static bool data_supports(const struct nn_step *s)
{
    bool widens = s->in[0].store == NN_STORE_F32 && s->out[0].store == NN_STORE_BF16;
    return nn_dnnl_conv_ok(s, &s->in[1]) && !nn_has(&s->in[2]) && !widens;
}

/* As forward. */
static bool per_image(const struct nn_step *s)
{
    return s->apart;
}

static status data_prepare(struct nn_step *s, struct errmsg *e)
{
    status st = make(s,
                     &(struct nn_dnnl_conv_spec){.kind = NN_DNNL_DATA,
                                                 .attr = &s->attr,
                                                 .x = s->out[0],
                                                 .w = s->in[1],
                                                 .y = s->in[0],
                                                 .batch = per_image(s) ? 1 : s->in[0].shape.dim[0]},
                     e);
    if (!st)
        s->packed_bytes = ((struct nn_dnnl_conv_pair *)s->state)->weights_bytes;
    return st;
}

static status data_bind(struct nn_step *s, struct errmsg *e)
{
    struct nn_dnnl_conv_pair *p = s->state;
    (void)e;
    status st = nn_dnnl_conv_bind(p, NN_DNNL_DATA, s->in[1].data, s->packed, s->scratch);
    if (!st)
        st = nn_dnnl_call_point(&p->run, DNNL_ARG_DIFF_DST, s->in[0].data);
    return st ? st : nn_dnnl_call_point(&p->run, DNNL_ARG_DIFF_SRC, s->out[0].data);
}

static status data_pack(struct nn_step *s)
{
    return nn_dnnl_conv_reorder(s->state, s->device_ctx);
}

static status data_run(const struct nn_step *s)
{
    struct nn_dnnl_conv_pair *p = s->state;
    status st = s->in[1].constant ? STATUS_OK : nn_dnnl_conv_reorder(p, s->device_ctx);
    if (!st && !per_image(s))
        return nn_dnnl_call_run(&p->run, s->device_ctx);
    for (int n = 0; !st && n < s->in[0].shape.dim[0]; n++)
        st = nn_dnnl_call_run_image(&p->run, s->device_ctx, DNNL_ARG_DIFF_DST, &s->in[0],
                                    DNNL_ARG_DIFF_SRC, &s->out[0], n);
    return st;
}

/* ---- to the weights: in x, dy; out dw, db? ---- */

static bool weights_supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && nn_dnnl_conv_ok(s, &s->out[0]) && s->in[0].store == s->in[1].store;
}

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    status st = make(s,
                     &(struct nn_dnnl_conv_spec){.kind = NN_DNNL_WEIGHTS,
                                                 .attr = &s->attr,
                                                 .x = s->in[0],
                                                 .w = s->out[0],
                                                 .y = s->in[1],
                                                 .bias = nn_has(&s->out[1]),
                                                 .batch = s->in[0].shape.dim[0]},
                     e);
    if (!st) /* the library's layout of dw lies behind its scratchpad */
        s->scratch_bytes += ((struct nn_dnnl_conv_pair *)s->state)->weights_bytes;
    return st;
}

static status weights_bind(struct nn_step *s, struct errmsg *e)
{
    struct nn_dnnl_conv_pair *p = s->state;
    (void)e;
    status st = nn_dnnl_conv_bind(p, NN_DNNL_WEIGHTS, s->out[0].data,
                                  (char *)s->scratch + p->scratch_bytes, s->scratch);
    if (!st)
        st = nn_dnnl_call_point(&p->run, DNNL_ARG_SRC, s->in[0].data);
    if (!st)
        st = nn_dnnl_call_point(&p->run, DNNL_ARG_DIFF_DST, s->in[1].data);
    return st ? st : nn_dnnl_call_point(&p->run, DNNL_ARG_DIFF_BIAS, s->out[1].data);
}

static status weights_run(const struct nn_step *s)
{
    const struct nn_dnnl_conv_pair *p = s->state;
    status st = nn_dnnl_call_run(&p->run, s->device_ctx);
    return st ? st : nn_dnnl_conv_reorder(p, s->device_ctx);
}

const struct nn_kernel nn_onednn_conv2d_data = {
    .op = NN_OP_CONV2D_DATA,
    .name = "onednn.conv2d_data",
    .supports = data_supports,
    .prepare = data_prepare,
    .bind = data_bind,
    .pack = data_pack,
    .run = data_run,
    .drop = drop,
};
const struct nn_kernel nn_onednn_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "onednn.conv2d_weights",
    .supports = weights_supports,
    .prepare = weights_prepare,
    .bind = weights_bind,
    .run = weights_run,
    .drop = drop,
};
