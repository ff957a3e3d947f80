/*
 * Convolutions as products of patches (patches.h). Forward multiplies patches of x by the weights; the
 * data gradient of a stride-1 convolution is itself a convolution of dy with the flipped kernel, that
 * of a larger stride is patches = dy w, added back to the image (col2im).
 */
#include "openblas/patches.h"

/* ---- forward, and the data gradient in convolution form ---- */

/* packed[group][(i,j,c)][o]: the right-hand side of patches x packed. */
static status pack_forward(struct nn_step *s)
{
    struct nn_patches g = nn_patches_of(s);
    const float *w = nn_f32(&s->in[1]);
    float *out = s->packed;
    for (int group = 0; group < g.groups; group++)
        for (int i = 0; i < g.kh; i++)
            for (int j = 0; j < g.kw; j++)
                for (int c = 0; c < g.cg; c++)
                    for (int o = 0; o < g.og; o++)
                        *out++ = w[nn_patches_weight(g.cg, g.kh, g.kw, group * g.og + o, c, i, j)];
    return STATUS_OK;
}

/* The same for the flipped kernel with inputs and outputs exchanged: here patches are of dy, so the
   patch's channels are w's outputs and the product's outputs are w's inputs. */
static status pack_flipped(struct nn_step *s)
{
    struct nn_patches g = nn_patches_of(s);
    const float *w = nn_f32(&s->in[1]);
    float *out = s->packed;
    for (int group = 0; group < g.groups; group++)
        for (int i = 0; i < g.kh; i++)
            for (int j = 0; j < g.kw; j++)
                for (int o = 0; o < g.cg; o++)
                    for (int c = 0; c < g.og; c++)
                        *out++ = w[nn_patches_weight(g.og, g.kh, g.kw, group * g.cg + o, c,
                                                     g.kh - 1 - i, g.kw - 1 - j)];
    return STATUS_OK;
}

/* packed[group][o][(i,j,c)]: the right-hand side of dy x packed = patches. */
static status pack_scatter(struct nn_step *s)
{
    struct nn_patches g = nn_patches_of(s);
    const float *w = nn_f32(&s->in[1]);
    float *out = s->packed;
    for (int o = 0; o < g.o; o++)
        for (int i = 0; i < g.kh; i++)
            for (int j = 0; j < g.kw; j++)
                for (int c = 0; c < g.cg; c++)
                    *out++ = w[nn_patches_weight(g.cg, g.kh, g.kw, o, c, i, j)];
    return STATUS_OK;
}

struct job {
    const struct nn_step *s;
    struct nn_patches g;
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
    const struct nn_patches *g = &j->g;
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
                nn_patches_im2col(g, j->from, n, group, start, rows, patches);
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

static status run_product(struct job *j)
{
    struct nn_patches *g = &j->g;
    j->blocks = (g->p * g->q + g->block - 1) / g->block;
    j->thread_floats = (size_t)g->block * (size_t)(g->k + g->o);
    nn_for_range(nn_patches_threads(j->s, g), (int64_t)g->n * j->blocks, product_blocks, j);
    return STATUS_OK;
}

static status forward_run(const struct nn_step *s)
{
    struct job j = {.s = s,
                    .g = nn_patches_of(s),
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
    const struct nn_patches *g = &j->g;
    const struct nn_tensor *dy = &j->s->in[0], *dx = &j->s->out[0];
    int64_t image = (int64_t)g->h * g->w * g->c;
    float *patches = (float *)j->s->scratch + (size_t)thread * j->thread_floats;
    float *rows_dy = patches + (size_t)g->block * (size_t)g->k;
    float *sum = rows_dy + (size_t)g->block * (size_t)g->o;
    for (int64_t n = first; n < last; n++) {
        if (nn_has(j->res))
            for (int64_t i = 0; i < image; i += NN_ROW_MAX)
                nn_patches_floats(j->res, n * image + i, (int)nn_min(NN_ROW_MAX, image - i),
                                  sum + i);
        else
            memset(sum, 0, (size_t)image * sizeof *sum);
        for (int start = 0; start < g->p * g->q; start += g->block) {
            int rows = (int)nn_min(g->block, (int64_t)g->p * g->q - start);
            nn_patches_floats(dy, (n * g->p * g->q + start) * g->o, rows * g->o, rows_dy);
            for (int group = 0; group < g->groups; group++) {
                nn_gemm(false, false, rows, g->k, g->og, 1, rows_dy + group * g->og, g->o,
                        (const float *)j->s->packed + (size_t)group * (size_t)g->og * (size_t)g->k,
                        g->k, 0, patches, g->k);
                nn_patches_col2im(g, patches, group, start, rows, sum);
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
        .s = s, .g = nn_patches_of(s), .from = &s->in[0], .res = &s->in[2], .to = &s->out[0]};
    if (nn_patches_data_is_conv(s))
        return run_product(&j);
    const struct nn_patches *g = &j.g;
    j.thread_floats =
        (size_t)g->block * (size_t)(g->k + g->o) + (size_t)g->h * (size_t)g->w * (size_t)g->c;
    nn_for_range(nn_patches_threads(s, g), g->n, scatter_images, &j);
    return STATUS_OK;
}

/* ---- kernels ---- */

static bool supports(const struct nn_step *s)
{
    if (s->op == NN_OP_CONV2D && nn_has(&s->in[3]) && s->in[3].store != NN_STORE_F32)
        return false;
    return s->in[1].constant; /* packed once per refresh */
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_patches g = nn_patches_of(s);
    size_t threads = (size_t)s->threads, floats = (size_t)g.block * (size_t)(g.k + g.o);
    s->packed_bytes = (size_t)nn_shape_count(s->in[1].shape) * sizeof(float);
    if (s->op == NN_OP_CONV2D_DATA && !nn_patches_data_is_conv(s))
        floats += (size_t)g.h * (size_t)g.w * (size_t)g.c;
    s->scratch_bytes = threads * floats * sizeof(float);
    return STATUS_OK;
}

static status pack_data(struct nn_step *s)
{
    return nn_patches_data_is_conv(s) ? pack_flipped(s) : pack_scatter(s);
}

const struct nn_kernel nn_openblas_conv2d = {.op = NN_OP_CONV2D,
                                             .name = "openblas.conv2d",
                                             .supports = supports,
                                             .prepare = prepare,
                                             .pack = pack_forward,
                                             .run = forward_run};
const struct nn_kernel nn_openblas_conv2d_data = {.op = NN_OP_CONV2D_DATA,
                                                  .name = "openblas.conv2d_data",
                                                  .supports = supports,
                                                  .prepare = prepare,
                                                  .pack = pack_data,
                                                  .run = data_run};
