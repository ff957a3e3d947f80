/*
 * Convolution forward by im2col: in x w b? nc? res?; out y.
 *
 * This is for CPUs whose vectors are no wider than half a panel. There oneDNN's direct kernels want
 * blocks of eight channels and lose up to half of their speed on NHWC (least in the gradient of the
 * input, which is left to them).
 */
#include "kernels/im2col.h"

enum {
    LANES = NN_PANEL,
    BLOCK_BYTES = 384 << 10 /* of the matrix: most of a second-level cache */
};
enum { X, W, BIAS, NC, RES };

struct job {
    const struct nn_step *step;
    const float *filters;
};

/* y = post(products + bias + nc + res) */
static void write_pixels(const struct nn_step *s, int64_t first, int count, const float *products)
{
    struct nn_shape ys = s->out[0].shape;
    const float *bias = nn_f32(&s->in[BIAS]), *nc = nn_f32(&s->in[NC]);
    int c = ys.dim[3];
    const float *res = nn_has(&s->in[RES]) ? nn_f32(&s->in[RES]) + first * c : NULL;
    float *y = nn_f32(&s->out[0]) + first * c;
    for (int p = 0; p < count; p++, y += c, res += res ? c : 0) {
        const float *shift = nc ? nc + (int64_t)nn_pixel(ys, first + p).n * c : NULL;
        for (int k = 0; k < c; k += LANES) {
            const float *from = products + ((int64_t)k / LANES * count + p) * LANES;
            for (int l = 0; l < LANES; l++) {
                float v = from[l] + (bias ? bias[k + l] : 0) + (shift ? shift[k + l] : 0);
                y[k + l] = v + (res ? res[k + l] : 0);
            }
        }
        nn_post_row(s->attr.post, y, c);
    }
}

static void convolve_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct nn_im2col *g = j->step->state;
    float *v = nn_im2col_matrix(j->step, thread), *m = v + g->second_at;
    for (int64_t at = first; at < last; at += g->block) {
        int count = (int)nn_min(g->block, last - at);
        nn_im2col_copy(j->step, at, count, v);
        nn_panel_multiply(v, j->filters, m, count, (int)nn_im2col_columns(g), g->y.dim[3] / LANES);
        write_pixels(j->step, at, count, m);
    }
}

static bool supports(const struct nn_step *s)
{
    return nn_all_f32(s) && nn_im2col_pays(s->in[W].shape) &&
           nn_im2col_fits(s, s->in[X].shape, s->out[0].shape);
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    s->packed_bytes = (size_t)nn_shape_count(s->in[W].shape) * sizeof(float);
    return nn_im2col_new(s, s->in[X].shape, s->in[W].shape, s->out[0].shape, BLOCK_BYTES);
}

static status pack(struct nn_step *s)
{
    nn_im2col_read_filters(s, nn_f32(&s->in[W]), s->packed);
    return STATUS_OK;
}

static status run(const struct nn_step *s)
{
    const struct nn_im2col *g = s->state;
    if (!s->in[W].constant)
        nn_im2col_read_filters(s, nn_f32(&s->in[W]), s->packed);
    nn_for_blocks(s->threads, nn_im2col_pixels(g), g->block, convolve_pixels,
                  &(struct job){s, s->packed});
    return STATUS_OK;
}

const struct nn_kernel nn_im2col_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "im2col.conv2d",
    .supports = supports,
    .prepare = prepare,
    .pack = pack,
    .run = run,
    .drop = nn_im2col_drop,
};
