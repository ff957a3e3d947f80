#include "openblas/patches.h"

enum { PATCH_FLOATS = 1 << 17 }; /* of one thread's patch block: 512 KiB, about an L2 */

static struct nn_patches geometry(struct nn_shape image, struct nn_shape w, struct nn_shape pixels,
                                  const struct nn_conv *a)
{
    struct nn_patches g = {
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

bool nn_patches_data_is_conv(const struct nn_step *s)
{
    const struct nn_conv *a = &s->attr.conv;
    struct nn_shape w = s->in[1].shape;
    return a->stride == 1 && a->pad_top < w.dim[2] && a->pad_left < w.dim[3];
}

struct nn_patches nn_patches_of(const struct nn_step *s)
{
    struct nn_conv a = s->attr.conv;
    switch (s->op) {
    case NN_OP_CONV2D:
        return geometry(s->in[0].shape, s->in[1].shape, s->out[0].shape, &a);
    case NN_OP_CONV2D_WEIGHTS:
        return geometry(s->in[0].shape, s->out[0].shape, s->in[1].shape, &a);
    default:
        if (!nn_patches_data_is_conv(s))
            return geometry(s->out[0].shape, s->in[1].shape, s->in[0].shape, &a);
        a.pad_top = s->in[1].shape.dim[2] - 1 - a.pad_top;
        a.pad_left = s->in[1].shape.dim[3] - 1 - a.pad_left;
        return geometry(s->in[0].shape, s->in[1].shape, s->out[0].shape, &a);
    }
}

void nn_patches_floats(const struct nn_tensor *t, int64_t at, int n, float *to)
{
    if (t->store == NN_STORE_F32) {
        memcpy(to, nn_f32(t) + at, (size_t)n * sizeof *to);
        return;
    }
    for (int done = 0; done < n; done += NN_ROW_MAX)
        nn_row(t, at + done, (int)nn_min(NN_ROW_MAX, n - done), to + done);
}

void nn_patches_im2col(const struct nn_patches *g, const struct nn_tensor *t, int n, int group,
                       int first, int rows, float *out)
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
                nn_patches_floats(t, (row + w0) * g->c, g->kw * g->c, out);
                continue;
            }
            for (int j = 0; j < g->kw; j++) {
                int w = w0 + j;
                if (w < 0 || w >= g->w)
                    memset(out + j * g->cg, 0, (size_t)g->cg * sizeof *out);
                else
                    nn_patches_floats(t, (row + w) * g->c + (int64_t)group * g->cg, g->cg,
                                      out + j * g->cg);
            }
        }
    }
}

void nn_patches_col2im(const struct nn_patches *g, const float *in, int group, int first, int rows,
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

int nn_patches_threads(const struct nn_step *s, const struct nn_patches *g)
{
    return nn_threads_for(s, (int64_t)g->n * g->p * g->q * g->o * g->k / 16);
}
