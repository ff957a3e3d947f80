/* Matrix products by the library's matmul (onednn.h). */
#include "onednn/onednn.h"

/* The descriptors of a product's operands. */
struct operands {
    struct nn_dnnl_md src, weights, plain, bias, dst;
};

static void operands_done(struct operands *o)
{
    nn_dnnl_md_done(&o->src);
    nn_dnnl_md_done(&o->weights);
    nn_dnnl_md_done(&o->plain);
    nn_dnnl_md_done(&o->bias);
    nn_dnnl_md_done(&o->dst);
}

/* any: the weights are in the layout that the library chooses. */
static dnnl_status_t describe(const struct nn_dnnl_product *p, bool any, struct operands *o)
{
    dnnl_dims_t src = {p->m, p->k}, weights = {p->k, p->n}, bias = {1, p->n}, dst = {p->m, p->n};
    dnnl_format_tag_t plain = p->weights_transposed ? dnnl_ba : dnnl_ab;
    *o = (struct operands){0};
    dnnl_status_t rc =
        nn_dnnl_md_init(&o->src, 2, src, p->operand, p->src_transposed ? dnnl_ba : dnnl_ab);
    if (!rc)
        rc =
            nn_dnnl_md_init(&o->weights, 2, weights, p->operand, any ? dnnl_format_tag_any : plain);
    if (!rc)
        rc = nn_dnnl_md_init(&o->plain, 2, weights, dnnl_f32, plain);
    if (!rc && p->bias)
        rc = nn_dnnl_md_init(&o->bias, 2, bias, dnnl_f32, dnnl_ab);
    return rc ? rc : nn_dnnl_md_init(&o->dst, 2, dst, p->result, dnnl_ab);
}

static status add_arguments(struct nn_dnnl_call *call, const struct nn_dnnl *d,
                            const struct operands *o, nn_dnnl_md_ref weights, struct errmsg *e)
{
    status st = nn_dnnl_call_arg(call, d, DNNL_ARG_SRC, nn_dnnl_md_ref_of(&o->src), e);
    if (!st)
        st = nn_dnnl_call_arg(call, d, DNNL_ARG_WEIGHTS, weights, e);
    if (!st && o->bias.made)
        st = nn_dnnl_call_arg(call, d, DNNL_ARG_BIAS, nn_dnnl_md_ref_of(&o->bias), e);
    return st ? st : nn_dnnl_call_arg(call, d, DNNL_ARG_DST, nn_dnnl_md_ref_of(&o->dst), e);
}

static status new_primitive_desc(const struct nn_dnnl *d, const struct nn_dnnl_product *p, bool any,
                                 struct operands *o, dnnl_primitive_desc_t *out, struct errmsg *e)
{
    dnnl_primitive_attr_t attr = NULL;
    status st = nn_dnnl_attr(false, NN_POST_NONE, &attr, e);
    if (st)
        return st;
    dnnl_status_t rc = describe(p, any, o);
    if (!rc)
        rc = nn_dnnl_matmul_pd(d->engine, &o->src, &o->weights, &o->bias, &o->dst, attr, out);
    dnnl_primitive_attr_destroy(attr);
    return nn_dnnl_status(rc, "a product", e);
}

static nn_dnnl_md_ref weights_of(dnnl_primitive_desc_t pd)
{
    return dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
}

/* The library's own layout of packed weights is slow to fill where its reorders are not to be
   trusted with it (compat.h): there they are only converted. */
static status choose_layout(const struct nn_dnnl *d, const struct nn_dnnl_product *p,
                            struct operands *o, dnnl_primitive_desc_t *out, struct errmsg *e)
{
    struct nn_dnnl_layout untrusted = {.rank = 0};
    status st = new_primitive_desc(d, p, p->packed, o, out, e);
    if (!st && p->packed)
        st = nn_dnnl_status(nn_dnnl_layout_untrusted(weights_of(*out), &untrusted), "a layout", e);
    if (st || !untrusted.rank)
        return st;
    dnnl_primitive_desc_destroy(*out);
    *out = NULL;
    operands_done(o);
    return new_primitive_desc(d, p, false, o, out, e);
}

status nn_dnnl_product_new(struct nn_dnnl_call *call, struct nn_dnnl_call *reorder,
                           size_t *out_packed_bytes, const struct nn_dnnl *d,
                           const struct nn_dnnl_product *p, struct errmsg *e)
{
    struct operands o = {0};
    dnnl_primitive_desc_t pd = NULL;
    status st = choose_layout(d, p, &o, &pd, e);
    if (!st) {
        nn_dnnl_md_ref weights = weights_of(pd);
        st = nn_dnnl_call_new(call, d, pd, e);
        if (!st)
            st = add_arguments(call, d, &o, weights, e);
        if (!st && p->packed)
            st = nn_dnnl_reorder(reorder, d, nn_dnnl_md_ref_of(&o.plain), weights, e);
        if (!st && p->packed)
            *out_packed_bytes = dnnl_memory_desc_get_size(weights);
    }
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    operands_done(&o);
    return st;
}
