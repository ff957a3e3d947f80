/* The part all three convolution kernels share: descriptors, primitive, arguments, reorder. */
#include "onednn/onednn.h"

/* Where the padding is as wide as the kernel, some results are sums of nothing. Version 2.6's
   AVX-512 kernels compute other numbers there, and crash with an activation behind. */
static bool padding_ok(const struct nn_conv *v, struct nn_shape w)
{
    return v->pad_top < w.dim[2] && v->pad_bottom < w.dim[2] && v->pad_left < w.dim[3] &&
           v->pad_right < w.dim[3];
}

bool nn_dnnl_conv_ok(const struct nn_step *s, const struct nn_tensor *w)
{
    bool one_pixel = w->shape.dim[2] == 1 && w->shape.dim[3] == 1;
    return nn_dnnl_stores_ok(s) && padding_ok(&s->attr.conv, w->shape) &&
           !(one_pixel && nn_dnnl_misreads_caches());
}

bool nn_dnnl_stores_ok(const struct nn_step *s)
{
    return nn_all_f32(s) || s->precision == NN_PREC_BF16;
}

static dnnl_data_type_t type_of(const struct nn_tensor *t)
{
    return t->store == NN_STORE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* A tensor (N,H,W,C) as the library counts its dims (N,C,H,W). */
static dnnl_status_t image_md(struct nn_dnnl_md *m, const struct nn_tensor *t, int batch)
{
    dnnl_dims_t dims = {batch, t->shape.dim[3], t->shape.dim[1], t->shape.dim[2]};
    return nn_dnnl_md_init(m, 4, dims, type_of(t), dnnl_nhwc);
}

static dnnl_status_t weights_md(struct nn_dnnl_md *m, int groups, struct nn_shape w,
                                dnnl_data_type_t type, bool plain)
{
    const int *d = w.dim;
    dnnl_format_tag_t any = dnnl_format_tag_any;
    if (groups == 1)
        return nn_dnnl_md_init(m, 4, (dnnl_dims_t){d[0], d[1], d[2], d[3]}, type,
                               plain ? dnnl_oihw : any);
    dnnl_dims_t dims = {groups, d[0] / groups, d[1], d[2], d[3]};
    return nn_dnnl_md_init(m, 5, dims, type, plain ? dnnl_goihw : any);
}

/* bf16 operands mean bf16 weights. */
static dnnl_data_type_t operand_type(const struct nn_dnnl_conv_spec *spec)
{
    return type_of(spec->kind == NN_DNNL_DATA ? &spec->y : &spec->x);
}

static void describe_done(struct nn_dnnl_conv *c)
{
    nn_dnnl_md_done(&c->src);
    nn_dnnl_md_done(&c->weights);
    nn_dnnl_md_done(&c->operand_weights);
    nn_dnnl_md_done(&c->bias);
    nn_dnnl_md_done(&c->dst);
}

static status describe(const struct nn_dnnl_conv_spec *spec, struct nn_dnnl_conv *c,
                       struct errmsg *e)
{
    const struct nn_conv *v = &spec->attr->conv;
    *c = (struct nn_dnnl_conv){
        .kind = spec->kind,
        .stride = {v->stride, v->stride},
        .pad_before = {v->pad_top, v->pad_left},
        .pad_after = {v->pad_bottom, v->pad_right},
    };
    /* gradients of weights are summed and kept in f32 */
    dnnl_data_type_t operand = operand_type(spec);
    dnnl_data_type_t weights = spec->kind == NN_DNNL_WEIGHTS ? dnnl_f32 : operand;
    dnnl_status_t rc = image_md(&c->src, &spec->x, spec->batch);
    if (!rc)
        rc = image_md(&c->dst, &spec->y, spec->batch);
    if (!rc)
        rc = weights_md(&c->weights, v->groups, spec->w.shape, weights, false);
    if (!rc)
        rc = weights_md(&c->operand_weights, v->groups, spec->w.shape, operand, false);
    if (!rc && spec->bias)
        rc = nn_dnnl_md_init(&c->bias, 1, (dnnl_dims_t){spec->w.shape.dim[0]}, dnnl_f32, dnnl_a);
    return nn_dnnl_status(rc, "describing a convolution", e);
}

static status make_pd(const struct nn_dnnl *d, const struct nn_dnnl_conv_spec *spec,
                      dnnl_primitive_desc_t *out, struct errmsg *e)
{
    struct nn_dnnl_conv c;
    dnnl_primitive_attr_t attr = NULL;
    status st = describe(spec, &c, e);
    if (!st)
        st = nn_dnnl_attr(spec->sum, spec->post, &attr, e);
    if (!st) {
        st = nn_dnnl_status(nn_dnnl_conv_pd(d->engine, &c, attr, out), "a convolution", e);
        dnnl_primitive_attr_destroy(attr);
    }
    describe_done(&c);
    return st;
}

/* Which argument and which query of the primitive descriptor an operand is, by kind. */
struct operand {
    int arg;
    dnnl_query_t query;
    int index; /* the bias is the second of the weights */
};
static const struct operand src_of[] = {{DNNL_ARG_SRC, dnnl_query_src_md, 0},
                                        {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0},
                                        {DNNL_ARG_SRC, dnnl_query_src_md, 0}};
static const struct operand weights_of[] = {{DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
                                            {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
                                            {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0}};
static const struct operand bias_of[] = {{DNNL_ARG_BIAS, dnnl_query_weights_md, 1},
                                         {0, dnnl_query_undef, 0},
                                         {DNNL_ARG_DIFF_BIAS, dnnl_query_diff_weights_md, 1}};
static const struct operand dst_of[] = {{DNNL_ARG_DST, dnnl_query_dst_md, 0},
                                        {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0},
                                        {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0}};

static status add_operand(struct nn_dnnl_call *c, const struct nn_dnnl *d,
                          const_dnnl_primitive_desc_t pd, const struct operand *o, struct errmsg *e)
{
    return nn_dnnl_call_arg(c, d, o->arg, dnnl_primitive_desc_query_md(pd, o->query, o->index), e);
}

static status add_operands(struct nn_dnnl_conv_pair *p, const struct nn_dnnl *d,
                           const struct nn_dnnl_conv_spec *spec, const_dnnl_primitive_desc_t pd,
                           struct errmsg *e)
{
    status st = add_operand(&p->run, d, pd, &src_of[spec->kind], e);
    if (!st)
        st = add_operand(&p->run, d, pd, &weights_of[spec->kind], e);
    if (!st && spec->bias)
        st = add_operand(&p->run, d, pd, &bias_of[spec->kind], e);
    return st ? st : add_operand(&p->run, d, pd, &dst_of[spec->kind], e);
}

static status add_reorder(struct nn_dnnl_conv_pair *p, const struct nn_dnnl *d,
                          const struct nn_dnnl_conv_spec *spec, const_dnnl_primitive_desc_t pd,
                          struct errmsg *e)
{
    struct nn_dnnl_md plain = {0};
    const struct operand *o = &weights_of[spec->kind];
    nn_dnnl_md_ref packed = dnnl_primitive_desc_query_md(pd, o->query, o->index);
    dnnl_status_t rc = weights_md(&plain, spec->attr->conv.groups, spec->w.shape, dnnl_f32, true);
    status st = nn_dnnl_status(rc, "plain weights", e);
    if (!st && !dnnl_memory_desc_equal(nn_dnnl_md_ref_of(&plain), packed)) {
        p->weights_bytes = dnnl_memory_desc_get_size(packed);
        st = nn_dnnl_status(nn_dnnl_layout_untrusted(packed, &p->layout), "a layout", e);
    }
    if (!st && p->weights_bytes && !p->layout.rank) {
        st = spec->kind == NN_DNNL_WEIGHTS
                 ? nn_dnnl_reorder(&p->reorder, d, packed, nn_dnnl_md_ref_of(&plain), e)
                 : nn_dnnl_reorder(&p->reorder, d, nn_dnnl_md_ref_of(&plain), packed, e);
    }
    nn_dnnl_md_done(&plain);
    return st;
}

status nn_dnnl_conv_new(struct nn_dnnl_conv_pair *p, const struct nn_dnnl *d,
                        const struct nn_dnnl_conv_spec *spec, struct errmsg *e)
{
    dnnl_primitive_desc_t pd = NULL;
    status st = make_pd(d, spec, &pd, e);
    if (st)
        return st;
    st = nn_dnnl_call_new(&p->run, d, pd, e);
    if (!st)
        st = add_operands(p, d, spec, pd, e);
    if (!st)
        st = add_reorder(p, d, spec, pd, e);
    dnnl_primitive_desc_destroy(pd);
    size_t a = p->run.scratch_bytes, b = p->reorder.scratch_bytes;
    p->scratch_bytes = nn_align(a > b ? a : b);
    return st;
}

void nn_dnnl_conv_done(struct nn_dnnl_conv_pair *p)
{
    nn_dnnl_call_done(&p->run);
    nn_dnnl_call_done(&p->reorder);
}

status nn_dnnl_conv_bind(struct nn_dnnl_conv_pair *p, enum nn_dnnl_conv_kind kind, void *plain,
                         void *packed, void *scratch)
{
    bool out = kind == NN_DNNL_WEIGHTS;
    p->out = out;
    p->plain = plain;
    p->packed = packed;
    void *mine = p->weights_bytes ? packed : plain;
    status st = nn_dnnl_call_point(&p->run, weights_of[kind].arg, mine);
    if (!st)
        st = nn_dnnl_call_point(&p->run, DNNL_ARG_SCRATCHPAD, scratch);
    if (!st)
        st = nn_dnnl_call_point(&p->reorder, DNNL_ARG_FROM, out ? packed : plain);
    if (!st)
        st = nn_dnnl_call_point(&p->reorder, DNNL_ARG_TO, out ? plain : packed);
    return st ? st : nn_dnnl_call_point(&p->reorder, DNNL_ARG_SCRATCHPAD, scratch);
}

status nn_dnnl_conv_reorder(const struct nn_dnnl_conv_pair *p, const struct nn_dnnl *d)
{
    if (!p->layout.rank)
        return p->weights_bytes ? nn_dnnl_call_run(&p->reorder, d) : STATUS_OK;
    if (p->out)
        nn_dnnl_layout_read(&p->layout, p->packed, p->plain);
    else
        nn_dnnl_layout_fill(&p->layout, p->plain, p->packed);
    return STATUS_OK;
}
