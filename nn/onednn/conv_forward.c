/*
 * Convolution forward, NHWC in and out. Bias and the residual (a sum) are the primitive's; so are
 * the activations of which acts.h says so: the library's others make a number of NaN. nc, a value per sample and
 * channel, is added to the bias: the primitive then runs once per image with that image's bias. It
 * does so, too, where an image's bits have to be its own, whatever the library makes of the number of
 * images.
 */
#include "kernels/kernels.h"
#include "onednn/onednn.h"

enum { X, W, BIAS, NC, RES };

struct forward {
    struct nn_dnnl_conv_pair pair;
    nn_post_fn *post; /* NULL: nothing is left to us */
};

static bool supports(const struct nn_step *s)
{
    /* A residual is summed where the result is, so it is stored the same way; there is no product
       of f32 into bf16. */
    if (nn_has(&s->in[RES]) && s->in[RES].store != s->out[0].store)
        return false;
    if (s->in[X].store == NN_STORE_F32 && s->out[0].store == NN_STORE_BF16)
        return false;
    return nn_dnnl_conv_ok(s, &s->in[W]);
}

static void drop(struct nn_step *s)
{
    struct forward *f = s->state;
    if (f)
        nn_dnnl_conv_done(&f->pair);
    mem_free(f);
    s->state = NULL;
}

static bool per_image(const struct nn_step *s)
{
    return s->apart || nn_has(&s->in[NC]);
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    struct forward *f = s->state = mem_zalloc(1, sizeof *f);
    if (!f)
        return STATUS_NOMEM;
    struct nn_dnnl_conv_pair *p = &f->pair;
    bool own = s->attr.post && !nn_dnnl_has_post(s->attr.post);
    f->post = own ? nn_kernels_here()->post : NULL;
    bool nc = nn_has(&s->in[NC]);
    status st = nn_dnnl_conv_new(p, s->device_ctx,
                                 &(struct nn_dnnl_conv_spec){
                                     .kind = NN_DNNL_FORWARD,
                                     .attr = &s->attr,
                                     .x = s->in[X],
                                     .w = s->in[W],
                                     .y = s->out[0],
                                     .bias = nc || nn_has(&s->in[BIAS]),
                                     .sum = nn_has(&s->in[RES]),
                                     .post = own ? NN_POST_NONE : s->attr.post,
                                     .batch = per_image(s) ? 1 : s->in[X].shape.dim[0],
                                 },
                                 e);
    s->packed_bytes = p->weights_bytes;
    s->scratch_bytes = p->scratch_bytes;
    if (nc)
        s->scratch_bytes += (size_t)s->out[0].shape.dim[3] * sizeof(float);
    return st;
}

/* The bias of one image, behind the library's scratchpad. */
static float *image_bias(const struct nn_step *s)
{
    const struct nn_dnnl_conv_pair *p = &((const struct forward *)s->state)->pair;
    return (float *)(void *)((char *)s->scratch + p->scratch_bytes);
}

static status bind(struct nn_step *s, struct errmsg *e)
{
    struct nn_dnnl_conv_pair *p = &((struct forward *)s->state)->pair;
    (void)e;
    status st = nn_dnnl_conv_bind(p, NN_DNNL_FORWARD, s->in[W].data, s->packed, s->scratch);
    if (!st)
        st = nn_dnnl_call_point(&p->run, DNNL_ARG_SRC, s->in[X].data);
    if (!st)
        st = nn_dnnl_call_point(&p->run, DNNL_ARG_DST, s->out[0].data);
    if (st)
        return st;
    return nn_dnnl_call_point(&p->run, DNNL_ARG_BIAS,
                              nn_has(&s->in[NC]) ? image_bias(s) : s->in[BIAS].data);
}

static status pack(struct nn_step *s)
{
    return nn_dnnl_conv_reorder(&((struct forward *)s->state)->pair, s->device_ctx);
}

static void sum_bias(const struct nn_step *s, int n)
{
    int o = s->out[0].shape.dim[3];
    const float *b = nn_f32(&s->in[BIAS]), *nc = nn_f32(&s->in[NC]) + (size_t)n * (size_t)o;
    for (int i = 0; i < o; i++)
        image_bias(s)[i] = nc[i] + (b ? b[i] : 0);
}

static void copy_bytes(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    (void)thread;
    memcpy((char *)s->out[0].data + first, (const char *)s->in[RES].data + first,
           (size_t)(last - first));
}

/* The residual, to where the primitive adds to it. */
static void copy_residual(const struct nn_step *s)
{
    enum { BLOCK = 4096 };
    const struct nn_tensor *y = &s->out[0];
    int64_t n = nn_shape_count(y->shape);
    nn_for_blocks(nn_threads_for(s, n), n * (int64_t)nn_store_bytes(y->store), BLOCK, copy_bytes,
                  s);
}

struct post {
    const struct nn_step *s;
    nn_post_fn *fn;
    int64_t start;
};

static void post_range(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct post *p = ctx;
    (void)thread;
    p->fn(&p->s->out[0], p->s->attr.post, p->start + first, p->start + last);
}

/* Behind the primitive, on elements that the caches still have: image n, or all. */
static void own_activation(const struct nn_step *s, int image)
{
    int64_t n = nn_shape_count(s->out[0].shape), each = n / s->out[0].shape.dim[0];
    const struct forward *f = s->state;
    struct post p = {s, f->post, image < 0 ? 0 : image * each};
    n = image < 0 ? n : each;
    if (f->post)
        nn_for_blocks(nn_threads_for(s, n), n, NN_ROW_MAX, post_range, &p);
}

static status run(const struct nn_step *s)
{
    struct nn_dnnl_conv_pair *p = &((struct forward *)s->state)->pair;
    const struct nn_tensor *res = &s->in[RES], *y = &s->out[0];
    status st = s->in[W].constant ? STATUS_OK : nn_dnnl_conv_reorder(p, s->device_ctx);
    if (nn_has(res) && res->data != y->data)
        copy_residual(s);
    if (!st && !per_image(s)) {
        st = nn_dnnl_call_run(&p->run, s->device_ctx);
        own_activation(s, -1);
    }
    for (int n = 0; !st && per_image(s) && n < y->shape.dim[0]; n++) {
        if (nn_has(&s->in[NC]))
            sum_bias(s, n);
        st = nn_dnnl_call_run_image(&p->run, s->device_ctx, DNNL_ARG_SRC, &s->in[X], DNNL_ARG_DST,
                                    y, n);
        own_activation(s, n);
    }
    return st;
}

const struct nn_kernel nn_onednn_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "onednn.conv2d",
    .supports = supports,
    .prepare = prepare,
    .bind = bind,
    .pack = pack,
    .run = run,
    .drop = drop,
};
