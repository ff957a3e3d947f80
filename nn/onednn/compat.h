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
#include <stdint.h>
#include <string.h>

/* A memory descriptor we own; zero-initialised it is "none". */
struct nn_dnnl_md {
    bool made;
    dnnl_memory_desc_t desc;
};

/* One of the three convolution primitives; bias may be none. src and dst are the forward pass's.
   operand_weights are the weights as the forward pass multiplies them, which a gradient's primitive
   wants to know of: with bf16 operands they are bf16, while their gradient is f32. */
enum nn_dnnl_conv_kind { NN_DNNL_FORWARD, NN_DNNL_DATA, NN_DNNL_WEIGHTS };
struct nn_dnnl_conv {
    enum nn_dnnl_conv_kind kind;
    struct nn_dnnl_md src, weights, operand_weights, bias, dst;
    dnnl_dims_t stride, pad_before, pad_after;
};

/* A blocked layout, spelled out. */
enum { NN_DNNL_RANK_MAX = 5, NN_DNNL_INNER_MAX = DNNL_MAX_NDIMS };
struct nn_dnnl_layout {
    int rank, n_inner;                    /* rank 0: none */
    int64_t dim[NN_DNNL_RANK_MAX];        /* without padding */
    int64_t stride[NN_DNNL_RANK_MAX];     /* of outer blocks, elements */
    int64_t inner[NN_DNNL_INNER_MAX];     /* sizes of inner blocks */
    int64_t inner_dim[NN_DNNL_INNER_MAX]; /* which dimension each cuts */
    bool bf16;                            /* else f32 */
    size_t bytes;                         /* with padding */
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

/*
 * Sets out to md's layout where the library's reorders cannot be trusted with it, else to none.
 * Version 3.7 as Debian 13 has it puts weights into places of others where the last block of a
 * dimension is not full (24 inputs in blocks of 16). 2.6 is right.
 */
static inline dnnl_status_t nn_dnnl_layout_untrusted(nn_dnnl_md_ref md, struct nn_dnnl_layout *out)
{
    const dnnl_dim_t *dim, *padded, *stride, *inner, *inner_dim;
    dnnl_data_type_t type;
    bool full = true;
    int rank, n;
    *out = (struct nn_dnnl_layout){.rank = 0};
    dnnl_status_t rc = dnnl_memory_desc_query(md, dnnl_query_ndims_s32, &rank);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_inner_nblks_s32, &n);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_dims, &dim);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_padded_dims, &padded);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_strides, &stride);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_inner_blks, &inner);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_inner_idxs, &inner_dim);
    if (!rc)
        rc = dnnl_memory_desc_query(md, dnnl_query_data_type, &type);
    if (rc)
        return rc;
    if (rank > NN_DNNL_RANK_MAX || n > NN_DNNL_INNER_MAX)
        return dnnl_unimplemented;
    for (int i = 0; i < rank; i++)
        full &= dim[i] == padded[i];
    if (full)
        return dnnl_success;
    *out = (struct nn_dnnl_layout){.rank = rank,
                                   .n_inner = n,
                                   .bf16 = type == dnnl_bf16,
                                   .bytes = dnnl_memory_desc_get_size(md)};
    memcpy(out->dim, dim, (size_t)rank * sizeof *dim);
    memcpy(out->stride, stride, (size_t)rank * sizeof *stride);
    memcpy(out->inner, inner, (size_t)n * sizeof *inner);
    memcpy(out->inner_dim, inner_dim, (size_t)n * sizeof *inner_dim);
    return dnnl_success;
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

static inline dnnl_status_t
nn_dnnl_matmul_pd(dnnl_engine_t engine, const struct nn_dnnl_md *a, const struct nn_dnnl_md *b,
                  const struct nn_dnnl_md *bias, const struct nn_dnnl_md *c,
                  dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    return dnnl_matmul_primitive_desc_create(out, engine, nn_dnnl_md_ref_of(a),
                                             nn_dnnl_md_ref_of(b), nn_dnnl_md_ref_of(bias),
                                             nn_dnnl_md_ref_of(c), attr);
}

static inline dnnl_status_t nn_dnnl_conv_pd(dnnl_engine_t engine, const struct nn_dnnl_conv *c,
                                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    static const dnnl_dims_t no_dilation = {0};
    nn_dnnl_md_ref src = nn_dnnl_md_ref_of(&c->src), dst = nn_dnnl_md_ref_of(&c->dst);
    nn_dnnl_md_ref weights = nn_dnnl_md_ref_of(&c->weights), bias = nn_dnnl_md_ref_of(&c->bias);
    nn_dnnl_md_ref operand = nn_dnnl_md_ref_of(&c->operand_weights);
    dnnl_primitive_desc_t forward = NULL;
    bool alone = c->kind == NN_DNNL_FORWARD;
    dnnl_status_t rc = dnnl_convolution_forward_primitive_desc_create(
        alone ? out : &forward, engine, alone ? dnnl_forward_inference : dnnl_forward_training,
        dnnl_convolution_direct, src, operand, bias, dst, c->stride, no_dilation, c->pad_before,
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

static inline dnnl_status_t nn_dnnl_layout_untrusted(nn_dnnl_md_ref md, struct nn_dnnl_layout *out)
{
    (void)md;
    *out = (struct nn_dnnl_layout){.rank = 0};
    return dnnl_success;
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

static inline dnnl_status_t
nn_dnnl_matmul_pd(dnnl_engine_t engine, const struct nn_dnnl_md *a, const struct nn_dnnl_md *b,
                  const struct nn_dnnl_md *bias, const struct nn_dnnl_md *c,
                  dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t desc;
    dnnl_status_t rc = dnnl_matmul_desc_init(&desc, nn_dnnl_md_ref_of(a), nn_dnnl_md_ref_of(b),
                                             nn_dnnl_md_ref_of(bias), nn_dnnl_md_ref_of(c));
    return rc ? rc : dnnl_primitive_desc_create(out, &desc, attr, engine, NULL);
}

static inline dnnl_status_t nn_dnnl_conv_pd(dnnl_engine_t engine, const struct nn_dnnl_conv *c,
                                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    nn_dnnl_md_ref src = nn_dnnl_md_ref_of(&c->src), dst = nn_dnnl_md_ref_of(&c->dst);
    nn_dnnl_md_ref weights = nn_dnnl_md_ref_of(&c->weights), bias = nn_dnnl_md_ref_of(&c->bias);
    nn_dnnl_md_ref operand = nn_dnnl_md_ref_of(&c->operand_weights);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t forward = NULL;
    bool alone = c->kind == NN_DNNL_FORWARD;
    dnnl_status_t rc = dnnl_convolution_forward_desc_init(
        &desc, alone ? dnnl_forward_inference : dnnl_forward_training, dnnl_convolution_direct, src,
        operand, bias, dst, c->stride, c->pad_before, c->pad_after);
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
