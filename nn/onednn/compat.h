#ifndef NN_ONEDNN_COMPAT_H
#define NN_ONEDNN_COMPAT_H
/*
 * Everything in which the C interfaces of oneDNN 2 (Debian 12) and 3 (Debian 13) differ, and
 * nothing else. 2: a memory descriptor is a struct, an operation is described and then a primitive
 * descriptor made of it. 3: a memory descriptor is a handle to be destroyed; primitive descriptors
 * are made directly.
 */
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>

/* A memory descriptor we own; zero-initialised it is "none". */
struct nn_dnnl_md {
    bool made;
    dnnl_memory_desc_t desc;
};

/* One of the three convolution primitives; bias may be none. src and dst are the forward pass's. */
enum nn_dnnl_conv_kind { NN_DNNL_FORWARD, NN_DNNL_DATA, NN_DNNL_WEIGHTS };
struct nn_dnnl_conv {
    enum nn_dnnl_conv_kind kind;
    struct nn_dnnl_md src, weights, bias, dst;
    dnnl_dims_t stride, pad_before, pad_after;
};

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t nn_dnnl_md_ref;

static inline nn_dnnl_md_ref nn_dnnl_md_ref_of(const struct nn_dnnl_md *m)
{
    return m->made ? m->desc : NULL;
}

static inline dnnl_status_t nn_dnnl_md_init(struct nn_dnnl_md *m, int rank, const dnnl_dims_t dims,
                                            dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_status_t rc = dnnl_memory_desc_create_with_tag(&m->desc, rank, dims, type, tag);
    m->made = rc == dnnl_success;
    return rc;
}

static inline void nn_dnnl_md_done(struct nn_dnnl_md *m)
{
    if (m->made)
        dnnl_memory_desc_destroy(m->desc);
    m->made = false;
}

static inline dnnl_status_t nn_dnnl_post_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind,
                                                 float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, 0);
}

static inline dnnl_status_t nn_dnnl_post_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t nn_dnnl_matmul_pd(dnnl_engine_t engine, const struct nn_dnnl_md *a,
                                              const struct nn_dnnl_md *b,
                                              const struct nn_dnnl_md *c,
                                              dnnl_primitive_attr_t attr,
                                              dnnl_primitive_desc_t *out)
{
    return dnnl_matmul_primitive_desc_create(
        out, engine, nn_dnnl_md_ref_of(a), nn_dnnl_md_ref_of(b), NULL, nn_dnnl_md_ref_of(c), attr);
}

static inline dnnl_status_t nn_dnnl_conv_pd(dnnl_engine_t engine, const struct nn_dnnl_conv *c,
                                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    static const dnnl_dims_t no_dilation = {0};
    nn_dnnl_md_ref src = nn_dnnl_md_ref_of(&c->src), weights = nn_dnnl_md_ref_of(&c->weights);
    nn_dnnl_md_ref bias = nn_dnnl_md_ref_of(&c->bias), dst = nn_dnnl_md_ref_of(&c->dst);
    dnnl_primitive_desc_t forward = NULL;
    bool alone = c->kind == NN_DNNL_FORWARD;
    dnnl_status_t rc = dnnl_convolution_forward_primitive_desc_create(
        alone ? out : &forward, engine, alone ? dnnl_forward_inference : dnnl_forward_training,
        dnnl_convolution_direct, src, weights, bias, dst, c->stride, no_dilation, c->pad_before,
        c->pad_after, alone ? attr : NULL);
    if (alone || rc)
        return rc;
    if (c->kind == NN_DNNL_DATA)
        rc = dnnl_convolution_backward_data_primitive_desc_create(
            out, engine, dnnl_convolution_direct, src, weights, dst, c->stride, no_dilation,
            c->pad_before, c->pad_after, forward, attr);
    else
        rc = dnnl_convolution_backward_weights_primitive_desc_create(
            out, engine, dnnl_convolution_direct, src, weights, bias, dst, c->stride, no_dilation,
            c->pad_before, c->pad_after, forward, attr);
    dnnl_primitive_desc_destroy(forward);
    return rc;
}

#else

typedef const dnnl_memory_desc_t *nn_dnnl_md_ref;

static inline nn_dnnl_md_ref nn_dnnl_md_ref_of(const struct nn_dnnl_md *m)
{
    return m->made ? &m->desc : NULL;
}

static inline dnnl_status_t nn_dnnl_md_init(struct nn_dnnl_md *m, int rank, const dnnl_dims_t dims,
                                            dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_status_t rc = dnnl_memory_desc_init_by_tag(&m->desc, rank, dims, type, tag);
    m->made = rc == dnnl_success;
    return rc;
}

static inline void nn_dnnl_md_done(struct nn_dnnl_md *m)
{
    m->made = false;
}

static inline dnnl_status_t nn_dnnl_post_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind,
                                                 float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, 1, kind, alpha, 0);
}

static inline dnnl_status_t nn_dnnl_post_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1);
}

static inline dnnl_status_t nn_dnnl_matmul_pd(dnnl_engine_t engine, const struct nn_dnnl_md *a,
                                              const struct nn_dnnl_md *b,
                                              const struct nn_dnnl_md *c,
                                              dnnl_primitive_attr_t attr,
                                              dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t desc;
    dnnl_status_t rc = dnnl_matmul_desc_init(&desc, nn_dnnl_md_ref_of(a), nn_dnnl_md_ref_of(b),
                                             NULL, nn_dnnl_md_ref_of(c));
    return rc ? rc : dnnl_primitive_desc_create(out, &desc, attr, engine, NULL);
}

static inline dnnl_status_t nn_dnnl_conv_pd(dnnl_engine_t engine, const struct nn_dnnl_conv *c,
                                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    nn_dnnl_md_ref src = nn_dnnl_md_ref_of(&c->src), weights = nn_dnnl_md_ref_of(&c->weights);
    nn_dnnl_md_ref bias = nn_dnnl_md_ref_of(&c->bias), dst = nn_dnnl_md_ref_of(&c->dst);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t forward = NULL;
    bool alone = c->kind == NN_DNNL_FORWARD;
    dnnl_status_t rc = dnnl_convolution_forward_desc_init(
        &desc, alone ? dnnl_forward_inference : dnnl_forward_training, dnnl_convolution_direct, src,
        weights, bias, dst, c->stride, c->pad_before, c->pad_after);
    if (!rc)
        rc = dnnl_primitive_desc_create(alone ? out : &forward, &desc, alone ? attr : NULL, engine,
                                        NULL);
    if (alone || rc)
        return rc;
    if (c->kind == NN_DNNL_DATA)
        rc = dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, src, weights,
                                                      dst, c->stride, c->pad_before, c->pad_after);
    else
        rc = dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, src,
                                                         weights, bias, dst, c->stride,
                                                         c->pad_before, c->pad_after);
    if (!rc)
        rc = dnnl_primitive_desc_create(out, &desc, attr, engine, forward);
    dnnl_primitive_desc_destroy(forward);
    return rc;
}

#endif
#endif
