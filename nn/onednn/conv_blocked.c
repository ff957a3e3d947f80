/*
 * Convolutions for CPUs whose f32 kernels want blocks of eight channels, (N,C/8,H,W,8).
 *
 * oneDNN's AVX2 kernels keep less in registers when a pixel's channels lie together, and lose a
 * tenth to a third of their speed on NHWC (measured, nn_dnnl_prefers_blocks). So a few images at a
 * time are turned into blocks in scratch, while they are in cache, and results turned back: forward
 * together with bias, nc, residual and activation, in the pass that is needed for those anyway. The
 * gradient of the weights is summed over the groups of images in their order.
 */
#include "kernels/kernels.h"
#include "onednn/onednn.h"

enum {
    BLOCK = 8,
    GROUP_BYTES = 1 << 20 /* of one group's tensors: about what stays in a second-level cache */
};

struct blocked {
    struct nn_dnnl_conv_pair conv;
    int group;                                /* images per call; divides the batch */
    size_t x_at, y_at, part_at, part_bias_at; /* in scratch, bytes */
};

static void *at(const struct nn_step *s, size_t offset)
{
    return (char *)s->scratch + offset;
}

static size_t image_floats(const struct nn_tensor *t)
{
    return (size_t)(nn_shape_count(t->shape) / t->shape.dim[0]);
}

static bool fits(const struct nn_step *s, enum nn_dnnl_conv_kind kind, const struct nn_tensor *x,
                 const struct nn_tensor *y, struct nn_shape w)
{
    return nn_all_f32(s) && nn_dnnl_prefers_blocks(kind) && s->attr.conv.groups == 1 &&
           w.dim[2] * w.dim[3] > 1 && x->shape.dim[3] % BLOCK == 0 &&
           y->shape.dim[3] % BLOCK == 0 && nn_channels_fit(y);
}

/* The largest divisor of the batch whose images stay under `bytes`, at least 1. */
static int group_of(const struct nn_tensor *x, const struct nn_tensor *y, size_t bytes)
{
    int batch = x->shape.dim[0], g = batch;
    while (g > 1 && (batch % g || (size_t)g * (image_floats(x) + image_floats(y)) * 4 > bytes))
        g--;
    return g;
}

static void drop(struct nn_step *s)
{
    struct blocked *b = s->state;
    if (b)
        nn_dnnl_conv_done(&b->conv);
    mem_free(b);
    s->state = NULL;
}

/* ---- to blocks and back, by rows of pixels ---- */

struct turning {
    const struct nn_step *step; /* back: for bias, nc, res, post */
    const float *from;
    float *to;
    int h, w, c;
    int first; /* image of the batch that the group starts with */
};

static void to_blocks(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct turning *t = ctx;
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        int64_t n = row / t->h, h = row % t->h;
        const float *from = t->from + row * t->w * t->c;
        float *to = t->to + n * t->h * t->w * t->c + h * t->w * BLOCK;
        for (int cb = 0; cb < t->c / BLOCK; cb++)
            for (int w = 0; w < t->w; w++)
                memcpy(to + ((int64_t)cb * t->h * t->w + w) * BLOCK, from + w * t->c + cb * BLOCK,
                       BLOCK * sizeof(float));
    }
}

static void turn(const struct nn_step *s, const struct nn_tensor *t, int first, int images,
                 float *to)
{
    struct turning job = {.from = nn_f32(t) + (size_t)first * image_floats(t), .to = to};
    job.h = t->shape.dim[1], job.w = t->shape.dim[2], job.c = t->shape.dim[3];
    int64_t rows = (int64_t)images * job.h;
    nn_for_range(nn_threads_for(s, rows * job.w * job.c), rows, to_blocks, &job);
}

enum { X, W, BIAS, NC, RES };

/* What is added to every pixel of image n: bias + nc. */
static void image_shift(const struct nn_step *s, int n, int o, float *out)
{
    const float *b = nn_f32(&s->in[BIAS]), *nc = nn_f32(&s->in[NC]);
    for (int i = 0; i < o; i++)
        out[i] = (b ? b[i] : 0) + (nc ? nc[(size_t)n * (size_t)o + (size_t)i] : 0);
}

static void from_blocks(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct turning *t = ctx;
    const float *res = nn_f32(&t->step->in[RES]);
    float shift[NN_ROW_MAX];
    int64_t shifted = -1;
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        int64_t n = row / t->h, pixel = row % t->h * t->w;
        const float *from = t->from + n * t->h * t->w * t->c + pixel * BLOCK;
        int64_t out = ((t->first + n) * t->h * t->w + pixel) * t->c;
        if (n != shifted)
            image_shift(t->step, t->first + (int)n, t->c, shift);
        shifted = n;
        for (int w = 0; w < t->w; w++, out += t->c) {
            for (int cb = 0; cb < t->c; cb += BLOCK)
                for (int j = 0; j < BLOCK; j++) /* res may be out itself */
                    t->to[out + cb + j] = from[(int64_t)cb * t->h * t->w + w * BLOCK + j] +
                                          shift[cb + j] + (res ? res[out + cb + j] : 0);
            nn_post_row(t->step->attr.post, t->to + out, t->c);
        }
    }
}

static void turn_back(const struct nn_step *s, int first, int images, const float *from)
{
    const struct nn_tensor *y = &s->out[0];
    struct turning job = {.step = s, .from = from, .to = nn_f32(y), .first = first};
    job.h = y->shape.dim[1], job.w = y->shape.dim[2], job.c = y->shape.dim[3];
    int64_t rows = (int64_t)images * job.h;
    nn_for_range(nn_threads_for(s, rows * job.w * job.c), rows, from_blocks, &job);
}

/* ---- forward: in x w b? nc? res?; out y ---- */

static bool forward_supports(const struct nn_step *s)
{
    return fits(s, NN_DNNL_FORWARD, &s->in[X], &s->out[0], s->in[W].shape);
}

static status forward_prepare(struct nn_step *s, struct errmsg *e)
{
    struct blocked *b = s->state = mem_zalloc(1, sizeof *b);
    if (!b)
        return STATUS_NOMEM;
    b->group = group_of(&s->in[X], &s->out[0], GROUP_BYTES);
    status st = nn_dnnl_conv_new(&b->conv, s->device_ctx,
                                 &(struct nn_dnnl_conv_want){.kind = NN_DNNL_FORWARD,
                                                             .attr = &s->attr,
                                                             .x = s->in[X],
                                                             .w = s->in[W],
                                                             .y = s->out[0],
                                                             .batch = b->group,
                                                             .blocked = true},
                                 e);
    b->x_at = b->conv.scratch_bytes;
    b->y_at = b->x_at + nn_align((size_t)b->group * image_floats(&s->in[X]) * sizeof(float));
    s->scratch_bytes = b->y_at + (size_t)b->group * image_floats(&s->out[0]) * sizeof(float);
    s->packed_bytes = b->conv.weights_bytes;
    return st;
}

static status forward_bind(struct nn_step *s, struct errmsg *e)
{
    struct blocked *b = s->state;
    (void)e;
    status st = nn_dnnl_conv_bind(&b->conv, NN_DNNL_FORWARD, s->in[W].data, s->packed, s->scratch);
    if (!st)
        st = nn_dnnl_call_point(&b->conv.run, DNNL_ARG_SRC, at(s, b->x_at));
    return st ? st : nn_dnnl_call_point(&b->conv.run, DNNL_ARG_DST, at(s, b->y_at));
}

static status forward_pack(struct nn_step *s)
{
    struct blocked *b = s->state;
    return nn_dnnl_conv_reorder(&b->conv, s->device_ctx);
}

static status forward_run(const struct nn_step *s)
{
    struct blocked *b = s->state;
    status st = s->in[W].constant ? STATUS_OK : nn_dnnl_conv_reorder(&b->conv, s->device_ctx);
    for (int n = 0; !st && n < s->in[X].shape.dim[0]; n += b->group) {
        turn(s, &s->in[X], n, b->group, at(s, b->x_at));
        st = nn_dnnl_call_run(&b->conv.run, s->device_ctx);
        turn_back(s, n, b->group, at(s, b->y_at));
    }
    return st;
}

/* ---- to the weights: in x dy; out dw db? ---- */

static bool weights_supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && fits(s, NN_DNNL_WEIGHTS, &s->in[0], &s->in[1], s->out[0].shape);
}

static size_t weights_floats(const struct blocked *b, const struct nn_step *s)
{
    return b->conv.weights_bytes ? b->conv.weights_bytes / sizeof(float)
                                 : (size_t)nn_shape_count(s->out[0].shape);
}

/* Scratch: the library's, the sum of dw in its layout, one group's dw and db, blocks of x and dy.
 */
static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    struct blocked *b = s->state = mem_zalloc(1, sizeof *b);
    const struct nn_tensor *x = &s->in[0], *dy = &s->in[1];
    if (!b)
        return STATUS_NOMEM;
    /* adding up dw costs as much as turning that many bytes of images */
    size_t bytes = (size_t)nn_shape_count(s->out[0].shape) * sizeof(float);
    b->group = group_of(x, dy, GROUP_BYTES + 2 * bytes);
    status st = nn_dnnl_conv_new(&b->conv, s->device_ctx,
                                 &(struct nn_dnnl_conv_want){.kind = NN_DNNL_WEIGHTS,
                                                             .attr = &s->attr,
                                                             .x = *x,
                                                             .w = s->out[0],
                                                             .y = *dy,
                                                             .bias = nn_has(&s->out[1]),
                                                             .batch = b->group,
                                                             .blocked = true},
                                 e);
    if (st)
        return st;
    size_t dw_bytes = nn_align(weights_floats(b, s) * sizeof(float));
    b->part_at = b->conv.scratch_bytes + dw_bytes;
    b->part_bias_at = b->part_at + dw_bytes;
    b->x_at = b->part_bias_at + nn_align((size_t)dy->shape.dim[3] * sizeof(float));
    b->y_at = b->x_at + nn_align((size_t)b->group * image_floats(x) * sizeof(float));
    s->scratch_bytes = b->y_at + (size_t)b->group * image_floats(dy) * sizeof(float);
    return STATUS_OK;
}

/* Where dw is summed: in the library's layout, or in place where that is ours. */
static float *dw_sum(const struct blocked *b, const struct nn_step *s)
{
    return b->conv.weights_bytes ? at(s, b->conv.scratch_bytes) : s->out[0].data;
}

static status weights_bind(struct nn_step *s, struct errmsg *e)
{
    struct blocked *b = s->state;
    (void)e;
    status st = nn_dnnl_conv_bind(&b->conv, NN_DNNL_WEIGHTS, s->out[0].data,
                                  at(s, b->conv.scratch_bytes), s->scratch);
    if (!st)
        st = nn_dnnl_call_point(&b->conv.run, DNNL_ARG_SRC, at(s, b->x_at));
    return st ? st : nn_dnnl_call_point(&b->conv.run, DNNL_ARG_DIFF_DST, at(s, b->y_at));
}

struct addition {
    float *sum;
    const float *part;
};

static void add_part(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct addition *a = ctx;
    (void)thread;
    for (int64_t i = first; i < last; i++)
        a->sum[i] += a->part[i];
}

static void add(const struct nn_step *s, float *sum, const float *part, size_t n)
{
    nn_for_range(nn_threads_for(s, (int64_t)n), (int64_t)n, add_part,
                 &(struct addition){sum, part});
}

/* The first group writes the sums, the others a part each. */
static status run_group(const struct nn_step *s, int n)
{
    struct blocked *b = s->state;
    float *sum = dw_sum(b, s), *part = at(s, b->part_at);
    float *db = s->out[1].data, *part_bias = at(s, b->part_bias_at);
    turn(s, &s->in[0], n, b->group, at(s, b->x_at));
    turn(s, &s->in[1], n, b->group, at(s, b->y_at));
    status st = nn_dnnl_call_point(&b->conv.run, DNNL_ARG_DIFF_WEIGHTS, n ? part : sum);
    if (!st)
        st = nn_dnnl_call_point(&b->conv.run, DNNL_ARG_DIFF_BIAS, n ? part_bias : db);
    if (!st)
        st = nn_dnnl_call_run(&b->conv.run, s->device_ctx);
    if (st || n == 0)
        return st;
    add(s, sum, part, weights_floats(b, s));
    if (db)
        add(s, db, part_bias, (size_t)s->out[1].shape.dim[0]);
    return STATUS_OK;
}

static status weights_run(const struct nn_step *s)
{
    const struct blocked *b = s->state;
    status st = STATUS_OK;
    for (int n = 0; !st && n < s->in[0].shape.dim[0]; n += b->group)
        st = run_group(s, n);
    return st ? st : nn_dnnl_conv_reorder(&b->conv, s->device_ctx);
}

const struct nn_kernel nn_onednn_conv2d_blocked = {
    .op = NN_OP_CONV2D,
    .name = "onednn.conv2d_blocked",
    .supports = forward_supports,
    .prepare = forward_prepare,
    .bind = forward_bind,
    .pack = forward_pack,
    .run = forward_run,
    .drop = drop,
};
const struct nn_kernel nn_onednn_conv2d_weights_blocked = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "onednn.conv2d_weights_blocked",
    .supports = weights_supports,
    .prepare = weights_prepare,
    .bind = weights_bind,
    .run = weights_run,
    .drop = drop,
};
