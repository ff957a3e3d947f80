/*
 * The three convolution kernels by Winograd's algorithm (winograd.h).
 *
 * A block of tiles at a time goes through three loops: pixels to planes, the 36 products, planes to
 * results. The block's planes stay in a shared cache; transformed filters, four times as large as
 * plain ones, are read once a block. Which of the direct sum and this one runs is decided by one
 * image's shape, so that a sample's bits do not depend on its batch.
 */
#include "kernels/winograd.h"

enum {
    LANES = NN_WINO_LANES,
    PLANES = NN_WINO_PLANES,
    BLOCK_BYTES = 6 << 20 /* of one block's planes */
};

struct winograd {
    struct nn_wino_image from, to; /* what is read, what is written (or the gradient dy) */
    struct nn_wino_filters filters;
    int block; /* tiles */
    size_t planes_at, filters_at; /* in scratch, bytes; the first planes begin at 0 */
};

static bool shapes_fit(const struct nn_step *s, struct nn_shape x, struct nn_shape y,
                       struct nn_shape w)
{
    const struct nn_conv *v = &s->attr.conv;
    if (!nn_all_f32(s) || v->groups != 1 || v->stride != 1 || w.dim[2] != 3 || w.dim[3] != 3 ||
        x.dim[3] % LANES || y.dim[3] % LANES || x.dim[3] > NN_ROW_MAX || y.dim[3] > NN_ROW_MAX)
        return false;
    int64_t across = (y.dim[1] + 3) / 4, along = (y.dim[2] + 3) / 4;
    /* products, those for pixels beyond the edge included: at most half of the direct sum's */
    return 2 * across * along * PLANES <= (int64_t)9 * y.dim[1] * y.dim[2];
}

static struct nn_wino_image image(struct nn_shape s, const struct nn_wino_image *tiles, int top,
                                  int left)
{
    return (struct nn_wino_image){.n = s.dim[0],
                                  .h = s.dim[1],
                                  .w = s.dim[2],
                                  .c = s.dim[3],
                                  .rows = tiles->rows,
                                  .columns = tiles->columns,
                                  .top = top,
                                  .left = left};
}

/* Tiles cover y; x is read around them. */
static status new_state(struct nn_step *s, struct nn_shape x, struct nn_shape y, int top, int left)
{
    struct winograd *g = s->state = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    struct nn_wino_image tiles = {.rows = (y.dim[1] + 3) / 4, .columns = (y.dim[2] + 3) / 4};
    g->from = image(x, &tiles, top, left);
    g->to = image(y, &tiles, 0, 0);
    int64_t tile_bytes = (int64_t)PLANES * (g->from.c + g->to.c) * (int64_t)sizeof(float);
    g->block = (int)nn_min(BLOCK_BYTES / tile_bytes / 6 * 6, nn_wino_tiles(&g->to));
    if (g->block < 1)
        g->block = (int)nn_min(6, nn_wino_tiles(&g->to));
    g->planes_at = (size_t)PLANES * (size_t)g->block * (size_t)g->from.c * sizeof(float);
    g->filters_at =
        g->planes_at + (size_t)PLANES * (size_t)g->block * (size_t)g->to.c * sizeof(float);
    s->scratch_bytes = g->filters_at;
    return STATUS_OK;
}

static void drop(struct nn_step *s)
{
    mem_free(s->state);
    s->state = NULL;
}

static float *scratch_at(const struct nn_step *s, size_t bytes)
{
    return (float *)(void *)((char *)s->scratch + bytes);
}

/* ---- loops over one block ---- */

struct job {
    const struct nn_step *step;
    const struct winograd *g;
    const float *x;
    float *y;
    struct nn_wino_end end;
    struct nn_wino_block in, out;
    const float *filters;
    float *filter_sums;
};

static void pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_pixels(&j->g->from, j->x, &j->in, first, last);
}

static void products(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    int64_t panels = j->g->to.c / LANES, inputs = j->g->from.c, tiles = j->in.tiles;
    (void)thread;
    for (int64_t i = first; i < last; i++)
        nn_wino_multiply(j->in.planes + i / panels * tiles * inputs,
                         j->filters + i * inputs * LANES, j->out.planes + i * tiles * LANES,
                         (int)tiles, (int)inputs);
}

static void results(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_results(&j->g->to, j->y, &j->end, &j->out, first, last);
}

static void gradients(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_gradients(&j->g->to, j->y, &j->out, first, last);
}

static void correlations(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    int64_t panels = j->g->to.c / LANES, inputs = j->g->from.c, tiles = j->in.tiles;
    (void)thread;
    for (int64_t i = first; i < last; i++)
        nn_wino_correlate(j->in.planes + i / panels * tiles * inputs,
                          j->out.planes + i * tiles * LANES, j->filter_sums + i * inputs * LANES,
                          (int)tiles, (int)inputs, j->in.first > 0);
}

static void take_block(struct job *j, int64_t first)
{
    const struct winograd *g = j->g;
    int tiles = (int)nn_min(g->block, nn_wino_tiles(&g->to) - first);
    j->in = (struct nn_wino_block){first, tiles, scratch_at(j->step, 0)};
    j->out = (struct nn_wino_block){first, tiles, scratch_at(j->step, g->planes_at)};
}

/* ---- forward, and backward to the input ---- */

static void pack_range(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct winograd *g = s->state;
    (void)thread;
    nn_wino_filters_in(&g->filters, nn_f32(&s->in[1]), s->packed, first, last);
}

static status pack(struct nn_step *s)
{
    const struct winograd *g = s->state;
    nn_for_range(s->threads, (int64_t)g->filters.outputs / LANES * g->filters.inputs, pack_range, s);
    return STATUS_OK;
}

static status convolve(const struct nn_step *s, struct nn_wino_end end)
{
    const struct winograd *g = s->state;
    struct job j = {.step = s,
                    .g = g,
                    .x = nn_f32(&s->in[0]),
                    .y = nn_f32(&s->out[0]),
                    .end = end,
                    .filters = s->packed};
    if (!s->in[1].constant)
        nn_for_range(s->threads, (int64_t)g->filters.outputs / LANES * g->filters.inputs,
                     pack_range, s);
    for (int64_t t = 0; t < nn_wino_tiles(&g->to); t += g->block) {
        take_block(&j, t);
        nn_for_range(s->threads, j.in.tiles, pixels, &j);
        nn_for_range(s->threads, (int64_t)PLANES * g->to.c / LANES, products, &j);
        nn_for_range(s->threads, j.in.tiles, results, &j);
    }
    return STATUS_OK;
}

static status prepare(struct nn_step *s, int top, int left, bool turned)
{
    struct nn_shape x = s->in[0].shape, y = s->out[0].shape;
    status st = new_state(s, x, y, top, left);
    if (st)
        return st;
    struct winograd *g = s->state;
    g->filters = (struct nn_wino_filters){y.dim[3], x.dim[3], turned};
    s->packed_bytes = nn_wino_filter_floats(&g->filters) * sizeof(float);
    return STATUS_OK;
}

static bool forward_supports(const struct nn_step *s)
{
    return shapes_fit(s, s->in[0].shape, s->out[0].shape, s->in[1].shape);
}

static status forward_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    return prepare(s, s->attr.conv.pad_top, s->attr.conv.pad_left, false);
}

static status forward_run(const struct nn_step *s)
{
    enum { BIAS = 2, NC, RES };
    return convolve(s, (struct nn_wino_end){.bias = nn_f32(&s->in[BIAS]),
                                            .nc = nn_f32(&s->in[NC]),
                                            .res = nn_f32(&s->in[RES]),
                                            .post = s->attr.post});
}

/* in dy, w, res?; out dx */
static bool data_supports(const struct nn_step *s)
{
    return shapes_fit(s, s->in[0].shape, s->out[0].shape, s->in[1].shape);
}

static status data_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    return prepare(s, 2 - s->attr.conv.pad_top, 2 - s->attr.conv.pad_left, true);
}

static status data_run(const struct nn_step *s)
{
    return convolve(s, (struct nn_wino_end){.res = nn_f32(&s->in[2])});
}

/* ---- backward to the weights: in x, dy; out dw, db? ---- */

static bool weights_supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) &&
           shapes_fit(s, s->in[0].shape, s->in[1].shape, s->out[0].shape);
}

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    struct nn_shape x = s->in[0].shape, dy = s->in[1].shape;
    (void)e;
    status st = new_state(s, x, dy, s->attr.conv.pad_top, s->attr.conv.pad_left);
    if (st)
        return st;
    struct winograd *g = s->state;
    g->filters = (struct nn_wino_filters){.outputs = dy.dim[3], .inputs = x.dim[3]};
    s->scratch_bytes += nn_wino_filter_floats(&g->filters) * sizeof(float);
    return STATUS_OK;
}

static void write_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_filters_out(&j->g->filters, j->filter_sums, nn_f32(&j->step->out[0]), first, last);
}

/* Sixteen channels of db at a time: rows of pixels in f32, their sums in f64. */
static void bias_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    const struct nn_wino_image *m = &j->g->to;
    (void)thread;
    for (int64_t panel = first; panel < last; panel++) {
        double sum[LANES] = {0};
        const float *dy = j->y + panel * LANES;
        for (int64_t row = 0; row < (int64_t)m->n * m->h; row++) {
            float part[LANES] = {0};
            for (int w = 0; w < m->w; w++, dy += m->c)
                for (int k = 0; k < LANES; k++)
                    part[k] += dy[k];
            for (int k = 0; k < LANES; k++)
                sum[k] += (double)part[k];
        }
        for (int k = 0; k < LANES; k++)
            nn_f32(&j->step->out[1])[panel * LANES + k] = (float)sum[k];
    }
}

static status weights_run(const struct nn_step *s)
{
    const struct winograd *g = s->state;
    struct job j = {.step = s,
                    .g = g,
                    .x = nn_f32(&s->in[0]),
                    .y = nn_f32(&s->in[1]),
                    .filter_sums = scratch_at(s, g->filters_at)};
    for (int64_t t = 0; t < nn_wino_tiles(&g->to); t += g->block) {
        take_block(&j, t);
        nn_for_range(s->threads, j.in.tiles, pixels, &j);
        nn_for_range(s->threads, j.in.tiles, gradients, &j);
        nn_for_range(s->threads, (int64_t)PLANES * g->to.c / LANES, correlations, &j);
    }
    nn_for_range(s->threads, (int64_t)g->to.c / LANES * g->from.c, write_filters, &j);
    if (nn_has(&s->out[1]))
        nn_for_range(s->threads, g->to.c / LANES, bias_sums, &j);
    return STATUS_OK;
}

const struct nn_kernel nn_winograd_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "winograd.conv2d",
    .supports = forward_supports,
    .prepare = forward_prepare,
    .pack = pack,
    .run = forward_run,
    .drop = drop,
};
const struct nn_kernel nn_winograd_conv2d_data = {
    .op = NN_OP_CONV2D_DATA,
    .name = "winograd.conv2d_data",
    .supports = data_supports,
    .prepare = data_prepare,
    .pack = pack,
    .run = data_run,
    .drop = drop,
};
const struct nn_kernel nn_winograd_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "winograd.conv2d_weights",
    .supports = weights_supports,
    .prepare = weights_prepare,
    .run = weights_run,
    .drop = drop,
};
