/*
 * The gradient of a convolution's weights: dy' times the patches of x. Items are images; each thread
 * sums over its own, then the threads' sums are added.
 */
#include "openblas/patches.h"

struct job {
    const struct nn_step *s;
    struct nn_patches g;
    size_t thread_floats; /* of scratch */
};

static size_t weights_floats(const struct nn_patches *g)
{
    return (size_t)g->o * (size_t)g->k + (size_t)g->o;
}

static void weights_images(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct nn_patches *g = &j->g;
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
                nn_patches_floats(dy, pixel * g->o, rows * g->o, rows_dy);
            for (int group = 0; group < g->groups && nn_has(&j->s->out[0]); group++) {
                const float *b = patches;
                if (g->direct && x->store == NN_STORE_F32)
                    b = nn_f32(x) + pixel * g->c;
                else
                    nn_patches_im2col(g, x, (int)n, group, start, rows, patches);
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
    struct job j = {.s = s, .g = nn_patches_of(s)};
    const struct nn_patches *g = &j.g;
    j.thread_floats = weights_floats(g) + (size_t)g->block * (size_t)(g->k + g->o);
    int threads = (int)nn_min(nn_patches_threads(s, g), g->n);
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
                    dw[nn_patches_weight(g->cg, g->kh, g->kw, o, c, i, k)] =
                        sum[(size_t)o * (size_t)g->k + (size_t)((i * g->kw + k) * g->cg + c)];
    if (db)
        memcpy(db, sum + (size_t)g->o * (size_t)g->k, (size_t)g->o * sizeof *db);
    return STATUS_OK;
}

static bool supports(const struct nn_step *s)
{
    return s->out[0].store == NN_STORE_F32;
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_patches g = nn_patches_of(s);
    size_t floats = weights_floats(&g) + (size_t)g.block * (size_t)(g.k + g.o);
    s->scratch_bytes = (size_t)s->threads * floats * sizeof(float);
    return STATUS_OK;
}

const struct nn_kernel nn_openblas_conv2d_weights = {.op = NN_OP_CONV2D_WEIGHTS,
                                                     .name = "openblas.conv2d_weights",
                                                     .supports = supports,
                                                     .prepare = prepare,
                                                     .run = weights_run};
