/*
 * Convolutions as matrix products.
 *
 * A block of output pixels becomes rows of patches (im2col): row = pixel, column = (i, j, c).
 * Forward and weight gradient multiply patches of x; the data gradient of a stride-1 convolution is
 * itself a convolution of dy with the flipped kernel, that of a larger stride is patches' = dy w
 * scattered back. A 1x1 convolution with stride 1 and no padding needs no patches: the image is the
 * matrix.
 *
 * Names: K = Kh*Kw*C/groups columns of a patch, per group O/groups outputs.
 */
#include "openblas/openblas.h"

enum { PATCH_FLOATS = 1 << 17 }; /* of one thread's patch block: 512 KiB, about an L2 */

/* A convolution in the form the product needs: from (src) to (dst), for one of the three ops. */
struct geometry {
    int n, h, w, c; /* the image that patches are copied from */
    int p, q, o;    /* the image that has one pixel per patch */
    int kh, kw, stride, top, left;
    int groups, cg, og, k; /* per group: channels in, channels out, patch columns */
    int block;             /* patches at a time */
    bool direct;           /* patches are the image itself */
};

static struct geometry geometry(struct nn_shape image, struct nn_shape w, struct nn_shape pixels,
                                const struct nn_conv *a)
{
    struct geometry g = {
        .n = image.dim[0],
        .h = image.dim[1],
        .w = image.dim[2],
        .c = image.dim[3],
        .p = pixels.dim[1],
        .q = pixels.dim[2],
        .o = pixels.dim[3],
        .kh = w.dim[2],
        .kw = w.dim[3],
        .stride = a->stride,
        .top = a->pad_top,
        .left = a->pad_left,
        .groups = a->groups,
    };
    g.cg = g.c / g.groups;
    g.og = g.o / g.groups;
    g.k = g.kh * g.kw * g.cg;
    g.direct = g.kh == 1 && g.kw == 1 && g.stride == 1 && !g.top && !g.left && g.p == g.h &&
               g.q == g.w && g.groups == 1;
    int fit = PATCH_FLOATS / g.k;
    g.block = (int)nn_min((int64_t)g.p * g.q, fit < 32 ? 32 : fit);
    return g;
}

static bool transposed_is_conv(const struct nn_step *s)
{
    const struct nn_conv *a = &s->attr.conv;
    struct nn_shape w = s->in[1].shape;
    return a->stride == 1 && a->pad_top < w.dim[2] && a->pad_left < w.dim[3];
}

/* The geometry of each op. For the data gradient as a convolution image and pixels change places.
 */
static struct geometry geometry_of(const struct nn_step *s)
{
    struct nn_conv a = s->attr.conv;
    switch (s->op) {
    case NN_OP_CONV2D:
        return geometry(s->in[0].shape, s->in[1].shape, s->out[0].shape, &a);
    case NN_OP_CONV2D_WEIGHTS:
        return geometry(s->in[0].shape, s->out[0].shape, s->in[1].shape, &a);
    default:
        if (!transposed_is_conv(s))
            return geometry(s->out[0].shape, s->in[1].shape, s->in[0].shape, &a);
        a.pad_top = s->in[1].shape.dim[2] - 1 - a.pad_top;
        a.pad_left = s->in[1].shape.dim[3] - 1 - a.pad_left;
        return geometry(s->in[0].shape, s->in[1].shape, s->out[0].shape, &a);
    }
}

/* ---- patches ---- */

static void copy_channels(const struct nn_tensor *t, int64_t at, int n, float *to)
{
    if (t->store == NN_STORE_F32) {
        memcpy(to, nn_f32(t) + at, (size_t)n * sizeof *to);
        return;
    }
    for (int done = 0; done < n; done += NN_ROW_MAX)
        nn_row(t, at + done, (int)nn_min(NN_ROW_MAX, n - done), to + done);
}

/* Fills rows first..first+rows-1 of image n, group `group`, into out (rows, k). */
static void im2col(const struct geometry *g, const struct nn_tensor *t, int n, int group, int first,
                   int rows, float *out)
{
    bool whole = g->cg == g->c && g->left >= 0;
    for (int r = 0; r < rows; r++) {
        int h0 = (first + r) / g->q * g->stride - g->top;
        int w0 = (first + r) % g->q * g->stride - g->left;
        for (int i = 0; i < g->kh; i++, out += g->kw * g->cg) {
            int h = h0 + i;
            if (h < 0 || h >= g->h) {
                memset(out, 0, (size_t)(g->kw * g->cg) * sizeof *out);
                continue;
            }
            int64_t row = ((int64_t)n * g->h + h) * g->w;
            if (whole && w0 >= 0 && w0 + g->kw <= g->w) {
                copy_channels(t, (row + w0) * g->c, g->kw * g->c, out);
                continue;
            }
            for (int j = 0; j < g->kw; j++) {
                int w = w0 + j;
                if (w < 0 || w >= g->w)
                    memset(out + j * g->cg, 0, (size_t)g->cg * sizeof *out);
                else
                    copy_channels(t, (row + w) * g->c + (int64_t)group * g->cg, g->cg,
                                  out + j * g->cg);
            }
        }
    }
}

/* Adds rows of patches to the pixels they are copies of, in image (H,W,C). */
static void col2im(const struct geometry *g, const float *in, int group, int first, int rows,
                   float *image)
{
    for (int r = 0; r < rows; r++) {
        int h0 = (first + r) / g->q * g->stride - g->top;
        int w0 = (first + r) % g->q * g->stride - g->left;
        for (int i = 0; i < g->kh; i++)
            for (int j = 0; j < g->kw; j++, in += g->cg) {
                int h = h0 + i, w = w0 + j;
                if (h < 0 || h >= g->h || w < 0 || w >= g->w)
                    continue;
                float *to = image + ((int64_t)h * g->w + w) * g->c + (int64_t)group * g->cg;
#pragma omp simd
                for (int c = 0; c < g->cg; c++)
                    to[c] += in[c];
            }
    }
}

/* ---- forward, and the data gradient in convolution form ---- */

/* Index in w (O,C/groups,Kh,Kw) of the weight that links output o and patch column (i,j,c) of
 * group. */
static int64_t weight_at(int cg, int kh, int kw, int o, int c, int i, int j)
{
    return (((int64_t)o * cg + c) * kh + i) * kw + j;
}

/* packed[group][(i,j,c)][o]: the right-hand side of patches x packed. */
static status pack_forward(struct nn_step *s)
{
    struct geometry g = geometry_of(s);
    const float *w = nn_f32(&s->in[1]);
    float *out = s->packed;
    for (int group = 0; group < g.groups; group++)
        for (int i = 0; i < g.kh; i++)
            for (int j = 0; j < g.kw; j++)
                for (int c = 0; c < g.cg; c++)
                    for (int o = 0; o < g.og; o++)
                        *out++ = w[weight_at(g.cg, g.kh, g.kw, group * g.og + o, c, i, j)];
    return STATUS_OK;
}

/* The same for the flipped kernel with inputs and outputs exchanged: here patches are of dy, so the
   patch's channels are w's outputs and the product's outputs are w's inputs. */
static status pack_flipped(struct nn_step *s)
{
    struct geometry g = geometry_of(s);
    const float *w = nn_f32(&s->in[1]);
    float *out = s->packed;
    for (int group = 0; group < g.groups; group++)
        for (int i = 0; i < g.kh; i++)
            for (int j = 0; j < g.kw; j++)
                for (int o = 0; o < g.cg; o++)
                    for (int c = 0; c < g.og; c++)
                        *out++ = w[weight_at(g.og, g.kh, g.kw, group * g.cg + o, c, g.kh - 1 - i,
                                             g.kw - 1 - j)];
    return STATUS_OK;
}

/* packed[group][o][(i,j,c)]: the right-hand side of dy x packed = patches. */
static status pack_scatter(struct nn_step *s)
{
    struct geometry g = geometry_of(s);
    const float *w = nn_f32(&s->in[1]);
    float *out = s->packed;
    for (int o = 0; o < g.o; o++)
        for (int i = 0; i < g.kh; i++)
            for (int j = 0; j < g.kw; j++)
                for (int c = 0; c < g.cg; c++)
                    *out++ = w[weight_at(g.cg, g.kh, g.kw, o, c, i, j)];
    return STATUS_OK;
}

struct job {
    const struct nn_step *s;
    struct geometry g;
    const struct nn_tensor *from, *bias, *nc, *res, *to;
    int blocks;           /* per image */
    size_t thread_floats; /* of scratch */
};

/* Bias, time embedding, residual, activation on rows of the result. */
static void finish_rows(const struct job *j, int n, int64_t pixel, int rows, float *y)
{
    int o = j->g.o;
    const float *bias = j->bias && nn_has(j->bias) ? nn_f32(j->bias) : NULL;
    const float *nc = j->nc && nn_has(j->nc) ? nn_f32(j->nc) + (int64_t)n * o : NULL;
    bool res = j->res && nn_has(j->res);
    float sr[NN_ROW_MAX];
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < o; k += NN_ROW_MAX) {
            int len = (int)nn_min(NN_ROW_MAX, o - k);
            float *to = y + (int64_t)r * o + k;
            const float *more = res ? nn_row(j->res, (pixel + r) * o + k, len, sr) : NULL;
            for (int c = 0; bias && c < len; c++)
                to[c] += bias[k + c];
            for (int c = 0; nc && c < len; c++)
                to[c] += nc[k + c];
            for (int c = 0; more && c < len; c++)
                to[c] += more[c];
            nn_post_row(j->s->attr.post, to, len);
        }
}

/* Items are blocks of output pixels: image * blocks + block. */
static void product_blocks(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct geometry *g = &j->g;
    float *patches = (float *)j->s->scratch + (size_t)thread * j->thread_floats;
    float *result = patches + (size_t)g->block * (size_t)g->k;
    bool f32_out = j->to->store == NN_STORE_F32;
    for (int64_t item = first; item < last; item++) {
        int n = (int)(item / j->blocks), start = (int)(item % j->blocks) * g->block;
        int rows = (int)nn_min(g->block, (int64_t)g->p * g->q - start);
        int64_t pixel = (int64_t)n * g->p * g->q + start;
        /* A residual in the result's own place would be overwritten before it is read. */
        bool apart = !f32_out || (j->res && nn_has(j->res));
        float *y = apart ? result : nn_f32(j->to) + pixel * g->o;
        for (int group = 0; group < g->groups; group++) {
            const float *a = patches;
            if (g->direct && j->from->store == NN_STORE_F32)
                a = nn_f32(j->from) + pixel * g->c;
            else
                im2col(g, j->from, n, group, start, rows, patches);
            nn_gemm(false, false, rows, g->og, g->k, 1, a, g->k,
                    (const float *)j->s->packed + (size_t)group * (size_t)g->k * (size_t)g->og,
                    g->og, 0, y + group * g->og, g->o);
        }
        finish_rows(j, n, pixel, rows, y);
        if (!apart)
            continue;
        for (int64_t i = 0; i < (int64_t)rows * g->o; i += NN_ROW_MAX) {
            int len = (int)nn_min(NN_ROW_MAX, (int64_t)rows * g->o - i);
            if (f32_out)
                memcpy(nn_f32(j->to) + pixel * g->o + i, y + i, (size_t)len * sizeof *y);
            else
                nn_row_put(j->to, pixel * g->o + i, len, y + i);
        }
    }
}

static int threads_of(const struct nn_step *s, const struct geometry *g)
{
    return nn_threads_for(s, (int64_t)g->n * g->p * g->q * g->o * g->k / 16);
}

static status run_product(struct job *j)
{
    struct geometry *g = &j->g;
    j->blocks = (g->p * g->q + g->block - 1) / g->block;
    j->thread_floats = (size_t)g->block * (size_t)(g->k + g->o);
    nn_for_range(threads_of(j->s, g), (int64_t)g->n * j->blocks, product_blocks, j);
    return STATUS_OK;
}

static status forward_run(const struct nn_step *s)
{
    struct job j = {.s = s,
                    .g = geometry_of(s),
                    .from = &s->in[0],
                    .bias = &s->in[2],
                    .nc = &s->in[3],
                    .res = &s->in[4],
                    .to = &s->out[0]};
    return run_product(&j);
}

/* ---- data gradient by scattering: items are images ---- */

static void scatter_images(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct geometry *g = &j->g;
    const struct nn_tensor *dy = &j->s->in[0], *dx = &j->s->out[0];
    int64_t image = (int64_t)g->h * g->w * g->c;
    float *patches = (float *)j->s->scratch + (size_t)thread * j->thread_floats;
    float *rows_dy = patches + (size_t)g->block * (size_t)g->k;
    float *sum = rows_dy + (size_t)g->block * (size_t)g->o;
    for (int64_t n = first; n < last; n++) {
        if (nn_has(j->res))
            for (int64_t i = 0; i < image; i += NN_ROW_MAX)
                copy_channels(j->res, n * image + i, (int)nn_min(NN_ROW_MAX, image - i), sum + i);
        else
            memset(sum, 0, (size_t)image * sizeof *sum);
        for (int start = 0; start < g->p * g->q; start += g->block) {
            int rows = (int)nn_min(g->block, (int64_t)g->p * g->q - start);
            copy_channels(dy, (n * g->p * g->q + start) * g->o, rows * g->o, rows_dy);
            for (int group = 0; group < g->groups; group++) {
                nn_gemm(false, false, rows, g->k, g->og, 1, rows_dy + group * g->og, g->o,
                        (const float *)j->s->packed + (size_t)group * (size_t)g->og * (size_t)g->k,
                        g->k, 0, patches, g->k);
                col2im(g, patches, group, start, rows, sum);
            }
        }
        if (dx->store == NN_STORE_F32)
            memcpy(nn_f32(dx) + n * image, sum, (size_t)image * sizeof *sum);
        for (int64_t i = 0; dx->store != NN_STORE_F32 && i < image; i += NN_ROW_MAX)
            nn_row_put(dx, n * image + i, (int)nn_min(NN_ROW_MAX, image - i), sum + i);
    }
}

static status data_run(const struct nn_step *s)
{
    struct job j = {
        .s = s, .g = geometry_of(s), .from = &s->in[0], .res = &s->in[2], .to = &s->out[0]};
    if (transposed_is_conv(s))
        return run_product(&j);
    const struct geometry *g = &j.g;
    j.thread_floats =
        (size_t)g->block * (size_t)(g->k + g->o) + (size_t)g->h * (size_t)g->w * (size_t)g->c;
    nn_for_range(threads_of(s, g), g->n, scatter_images, &j);
    return STATUS_OK;
}

/* ---- weight gradient: items are images; each thread sums its own, then the threads' sums are
 * added --- */

static size_t weights_floats(const struct geometry *g)
{
    return (size_t)g->o * (size_t)g->k + (size_t)g->o;
}

static void weights_images(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct geometry *g = &j->g;
    const struct nn_tensor *x = &j->s->in[0], *dy = &j->s->in[1];
    float *dw = (float *)j->s->scratch + (size_t)thread * j->thread_floats;
    float *db = dw + (size_t)g->o * (size_t)g->k;
    float *patches = db + g->o, *rows_dy = patches + (size_t)g->block * (size_t)g->k;
    memset(dw, 0, weights_floats(g) * sizeof *dw);
    for (int64_t n = first; n < last; n++)
        for (int start = 0; start < g->p * g->q; start += g->block) {
            int rows = (int)nn_min(g->block, (int64_t)g->p * g->q - start);
            int64_t pixel = n * g->p * g->q + start;
            const float *d = rows_dy;
            if (dy->store == NN_STORE_F32)
                d = nn_f32(dy) + pixel * g->o;
            else
                copy_channels(dy, pixel * g->o, rows * g->o, rows_dy);
            for (int group = 0; group < g->groups && nn_has(&j->s->out[0]); group++) {
                const float *b = patches;
                if (g->direct && x->store == NN_STORE_F32)
                    b = nn_f32(x) + pixel * g->c;
                else
                    im2col(g, x, (int)n, group, start, rows, patches);
                nn_gemm(true, false, g->og, g->k, rows, 1, d + group * g->og, g->o, b, g->k, 1,
                        dw + (size_t)group * (size_t)g->og * (size_t)g->k, g->k);
            }
            for (int r = 0; r < rows && nn_has(&j->s->out[1]); r++)
#pragma omp simd
                for (int o = 0; o < g->o; o++)
                    db[o] += d[(int64_t)r * g->o + o];
        }
}

static status weights_run(const struct nn_step *s)
{
    struct job j = {.s = s, .g = geometry_of(s)};
    const struct geometry *g = &j.g;
    j.thread_floats = weights_floats(g) + (size_t)g->block * (size_t)(g->k + g->o);
    int threads = (int)nn_min(threads_of(s, g), g->n);
    nn_for_parts(threads, g->n, weights_images, &j);
    float *sum = s->scratch;
    for (int t = 1; t < threads; t++) {
        const float *part = (float *)s->scratch + (size_t)t * j.thread_floats;
        for (size_t i = 0; i < weights_floats(g); i++)
            sum[i] += part[i];
    }
    float *dw = nn_f32(&s->out[0]), *db = nn_f32(&s->out[1]);
    for (int o = 0; dw && o < g->o; o++)
        for (int i = 0; i < g->kh; i++)
            for (int k = 0; k < g->kw; k++)
                for (int c = 0; c < g->cg; c++)
                    dw[weight_at(g->cg, g->kh, g->kw, o, c, i, k)] =
                        sum[(size_t)o * (size_t)g->k + (size_t)((i * g->kw + k) * g->cg + c)];
    if (db)
        memcpy(db, sum + (size_t)g->o * (size_t)g->k, (size_t)g->o * sizeof *db);
    return STATUS_OK;
}

/* ---- rows of the table ---- */

static bool takes(const struct nn_step *s)
{
    if (s->op == NN_OP_CONV2D_WEIGHTS)
        return s->out[0].store == NN_STORE_F32;
    if (s->op == NN_OP_CONV2D && nn_has(&s->in[3]) && s->in[3].store != NN_STORE_F32)
        return false;
    return s->in[1].constant; /* packed once per refresh */
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct geometry g = geometry_of(s);
    size_t threads = (size_t)s->threads, floats = (size_t)g.block * (size_t)(g.k + g.o);
    if (s->op == NN_OP_CONV2D_WEIGHTS)
        floats += weights_floats(&g);
    else
        s->packed_bytes = (size_t)nn_shape_count(s->in[1].shape) * sizeof(float);
    if (s->op == NN_OP_CONV2D_DATA && !transposed_is_conv(s))
        floats += (size_t)g.h * (size_t)g.w * (size_t)g.c;
    s->scratch_bytes = threads * floats * sizeof(float);
    return STATUS_OK;
}

static status pack_data(struct nn_step *s)
{
    return transposed_is_conv(s) ? pack_flipped(s) : pack_scatter(s);
}

const struct nn_kernel nn_openblas_conv2d = {.op = NN_OP_CONV2D,
                                             .name = "openblas.conv2d",
                                             .supports = takes,
                                             .prepare = prepare,
                                             .pack = pack_forward,
                                             .run = forward_run};
const struct nn_kernel nn_openblas_conv2d_data = {.op = NN_OP_CONV2D_DATA,
                                                  .name = "openblas.conv2d_data",
                                                  .supports = takes,
                                                  .prepare = prepare,
                                                  .pack = pack_data,
                                                  .run = data_run};
const struct nn_kernel nn_openblas_conv2d_weights = {.op = NN_OP_CONV2D_WEIGHTS,
                                                     .name = "openblas.conv2d_weights",
                                                     .supports = takes,
                                                     .prepare = prepare,
                                                     .run = weights_run};
