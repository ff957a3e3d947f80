/*
 * The three convolution kernels by Winograd's algorithm (winograd.h).
 *
 * A block of tiles at a time goes through three steps: pixels to planes, their products, planes to
 * results. Where the transformed filters are small, each thread takes its own tiles through all
 * three, with planes that stay in its part of the caches. Large filters are read once a block by
 * all threads together, which share out the tiles, then the products, then the tiles again.
 *
 * The direct sum, tiles of 4x4 or of 8x8: in plans of one thread one image's shape decides, so that
 * a sample's bits do not depend on its batch; else the batch counts, too.
 */
#include "kernels/winograd.h"

enum {
    LANES = NN_PANEL,
    ALONE_BYTES = 768 << 10,   /* planes of one thread's block */
    TOGETHER_BYTES = 14 << 20, /* planes of a block for all threads, which may be two such */
    FILTERS_ALONE = 8 << 20    /* transformed filters that every thread may read on its own */
};

struct winograd {
    struct nn_wino_image from, to; /* what is read, what is written (or the gradient dy) */
    struct nn_wino_filters filters;
    bool alone;
    int block;        /* tiles */
    size_t planes_at; /* floats from a block's first planes to its second */
    size_t block_floats;
    size_t filters_at; /* in scratch, floats: gradients of filters, one for each thread alone */
};

static int64_t tiles_over(struct nn_shape y, int tile)
{
    return (int64_t)((y.dim[1] + tile - 1) / tile) * ((y.dim[2] + tile - 1) / tile);
}

/*
 * The size of tiles that suits the step, 0: none. The transformed filters are 4 or 11 times as
 * large as the filters, and come from memory: too few tiles do not repay it. Products for pixels
 * beyond the edge count: at most half of the direct sum's pay, and 8x8 must save a fifth of those
 * of 4x4. Its sums are exact enough for bf16 only.
 */
static int tile_for(const struct nn_step *s, struct nn_shape x, struct nn_shape y,
                    struct nn_shape w, int64_t batch, int least)
{
    const struct nn_conv *v = &s->attr.conv;
    if (v->groups != 1 || v->stride != 1 || w.dim[2] != 3 || w.dim[3] != 3 || x.dim[3] % LANES ||
        y.dim[3] % LANES || x.dim[3] > NN_ROW_MAX || y.dim[3] > NN_ROW_MAX)
        return 0;
    int64_t four = tiles_over(y, 4) * nn_wino_planes(4);
    int64_t eight = tiles_over(y, 8) * nn_wino_planes(8);
    int least_8 = batch > 1 ? 32 : 16;
    if (s->precision == NN_PREC_BF16 && batch * tiles_over(y, 8) >= least_8 &&
        5 * eight <= 4 * four)
        return 8;
    bool pays = 2 * four <= (int64_t)9 * y.dim[1] * y.dim[2];
    return pays && batch * tiles_over(y, 4) >= least ? 4 : 0;
}

/* Of a step whose results are images. */
static int tile_for_images(const struct nn_step *s)
{
    enum { LEAST = 4 };
    struct nn_shape y = s->out[0].shape;
    return tile_for(s, s->in[0].shape, y, s->in[1].shape, s->threads == 1 ? 1 : y.dim[0], LEAST);
}

static int tile_for_filters(const struct nn_step *s)
{
    struct nn_shape dy = s->in[1].shape;
    return tile_for(s, s->in[0].shape, dy, s->out[0].shape, dy.dim[0], 1);
}

static struct nn_wino_image image(const struct nn_tensor *t, const struct nn_wino_image *tiles,
                                  int top, int left)
{
    const int *d = t->shape.dim;
    return (struct nn_wino_image){.n = d[0],
                                  .h = d[1],
                                  .w = d[2],
                                  .c = d[3],
                                  .tile = tiles->tile,
                                  .bf16 = t->store == NN_STORE_BF16,
                                  .rows = tiles->rows,
                                  .columns = tiles->columns,
                                  .top = top,
                                  .left = left};
}

static int64_t tiles_of(const struct winograd *g)
{
    return nn_wino_tiles(&g->to);
}

/* Panels of outputs, of all planes. */
static int64_t panels_of(const struct winograd *g)
{
    return (int64_t)nn_wino_planes(g->to.tile) * g->to.c / LANES;
}

/* Threads that work alone, each in a block of its own. */
static int blocks_of(const struct nn_step *s, const struct winograd *g)
{
    return g->alone ? s->threads : 1;
}

/* Tiles cover y; x is read around them. */
static status new_state(struct nn_step *s, int tile, const struct nn_tensor *x,
                        const struct nn_tensor *y, int top, int left, bool transposed)
{
    struct winograd *g = s->state = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    struct nn_wino_image tiles = {.tile = tile,
                                  .rows = (y->shape.dim[1] + tile - 1) / tile,
                                  .columns = (y->shape.dim[2] + tile - 1) / tile};
    int planes = nn_wino_planes(tile);
    g->from = image(x, &tiles, top, left);
    g->to = image(y, &tiles, 0, 0);
    g->filters = (struct nn_wino_filters){g->to.c, g->from.c, tile, transposed};
    g->alone = nn_wino_filter_floats(&g->filters) * sizeof(float) <= FILTERS_ALONE;
    int64_t bytes = g->alone ? ALONE_BYTES : TOGETHER_BYTES * nn_min(s->threads, 2);
    int64_t tile_bytes = (int64_t)planes * (g->from.c + g->to.c) * (int64_t)sizeof(float);
    int64_t most = bytes / tile_bytes / NN_PANEL_ROWS * NN_PANEL_ROWS;
    int64_t all = tiles_of(g);
    most = most < NN_PANEL_ROWS ? NN_PANEL_ROWS : most;
    int64_t blocks = (all + most - 1) / most; /* of the same size, as near as whole rows allow */
    int64_t even = (all + blocks * NN_PANEL_ROWS - 1) / (blocks * NN_PANEL_ROWS) * NN_PANEL_ROWS;
    g->block = (int)nn_min(even, all);
    g->planes_at = (size_t)(planes * nn_wino_plane(g->block, g->from.c));
    g->block_floats = g->planes_at + (size_t)(planes * nn_wino_plane(g->block, g->to.c));
    g->filters_at = g->block_floats * (size_t)blocks_of(s, g);
    s->scratch_bytes = g->filters_at * sizeof(float);
    return STATUS_OK;
}

static void drop(struct nn_step *s)
{
    mem_free(s->state);
    s->state = NULL;
}

/* ---- steps of one block ---- */

struct job {
    const struct nn_step *step;
    const struct winograd *g;
    const void *x;
    void *y;
    struct nn_wino_epilogue end;
    const float *filters;
    float *sums; /* the filters' gradient, or a thread's part of it */
    bool add;    /* to them */
    struct nn_wino_block in, out;
};

static void set_block(struct job *j, int64_t first, int64_t last, int thread)
{
    const struct winograd *g = j->g;
    float *scratch = j->step->scratch, *planes = scratch + g->block_floats * (size_t)thread;
    int tiles = (int)nn_min(g->block, last - first);
    j->in = (struct nn_wino_block){first, tiles, planes};
    j->out = (struct nn_wino_block){first, tiles, planes + g->planes_at};
}

static void pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_pixels(&j->g->from, j->x, &j->in, first, last);
}

/* Panels of outputs are counted through all planes; a range of them lies within one plane. */
struct panel_range {
    int64_t plane;
    int first, count; /* panels */
};
static struct panel_range range_at(const struct winograd *g, int64_t at, int64_t last)
{
    int64_t panels = g->to.c / LANES, plane = at / panels;
    return (struct panel_range){plane, (int)(at % panels),
                                (int)(nn_min(last, (plane + 1) * panels) - at)};
}
static int64_t filters_at(const struct winograd *g, const struct panel_range *p)
{
    return p->plane * nn_wino_filter_plane(&g->filters) + (int64_t)p->first * g->from.c * LANES;
}
static float *from_plane(const struct job *j, const struct panel_range *p)
{
    return j->in.planes + p->plane * nn_wino_plane(j->in.tiles, j->g->from.c);
}
static float *to_plane(const struct job *j, const struct panel_range *p)
{
    return j->out.planes + p->plane * nn_wino_plane(j->in.tiles, j->g->to.c) +
           (int64_t)p->first * j->in.tiles * LANES;
}

static void products(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    int inputs = j->g->from.c;
    (void)thread;
    while (first < last) {
        struct panel_range p = range_at(j->g, first, last);
        nn_panel_multiply(from_plane(j, &p), j->filters + filters_at(j->g, &p), to_plane(j, &p),
                          j->in.tiles, inputs, p.count);
        first += p.count;
    }
}

static void results(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_results(&j->g->to, j->y, &j->end, &j->out, first, last);
}

static void pixels_and_gradients(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    pixels(ctx, first, last, thread);
    nn_wino_gradients(&j->g->to, j->y, &j->out, first, last);
}

static void correlations(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    int inputs = j->g->from.c;
    (void)thread;
    while (first < last) {
        struct panel_range p = range_at(j->g, first, last);
        nn_panel_correlate(from_plane(j, &p), to_plane(j, &p), j->sums + filters_at(j->g, &p),
                           j->in.tiles, inputs, p.count, j->add);
        first += p.count;
    }
}

/* ---- forward, and backward to the input ---- */

static void convolve_alone(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct job j = *(const struct job *)ctx;
    for (int64_t t = first; t < last; t += j.g->block) {
        set_block(&j, t, last, thread);
        pixels(&j, 0, j.in.tiles, thread);
        products(&j, 0, panels_of(j.g), thread);
        results(&j, 0, j.in.tiles, thread);
    }
}

static void convolve_together(struct job *j)
{
    int threads = j->step->threads;
    for (int64_t t = 0; t < tiles_of(j->g); t += j->g->block) {
        set_block(j, t, tiles_of(j->g), 0);
        nn_for_range(threads, j->in.tiles, pixels, j);
        nn_for_blocks(threads, panels_of(j->g), NN_PANEL_GROUP, products, j);
        nn_for_range(threads, j->in.tiles, results, j);
    }
}

static void pack_range(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct winograd *g = s->state;
    (void)thread;
    nn_wino_filters_in(&g->filters, nn_f32(&s->in[1]), s->packed, first, last);
}

static int64_t filter_items(const struct winograd *g)
{
    return (int64_t)g->filters.outputs / LANES * g->filters.inputs;
}

static status pack(struct nn_step *s)
{
    nn_for_range(s->threads, filter_items(s->state), pack_range, s);
    return STATUS_OK;
}

static status convolve(const struct nn_step *s, struct nn_wino_epilogue end)
{
    const struct winograd *g = s->state;
    struct job j = {.step = s,
                    .g = g,
                    .x = s->in[0].data,
                    .y = s->out[0].data,
                    .end = end,
                    .filters = s->packed};
    if (!s->in[1].constant)
        nn_for_range(s->threads, filter_items(g), pack_range, s);
    if (g->alone)
        nn_for_blocks(s->threads, tiles_of(g), g->block, convolve_alone, &j);
    else
        convolve_together(&j);
    return STATUS_OK;
}

static status prepare(struct nn_step *s, int top, int left, bool transposed)
{
    status st = new_state(s, tile_for_images(s), &s->in[0], &s->out[0], top, left, transposed);
    const struct winograd *g = s->state;
    if (!st)
        s->packed_bytes = nn_wino_filter_floats(&g->filters) * sizeof(float);
    return st;
}

static bool images_supports(const struct nn_step *s)
{
    return tile_for_images(s) > 0;
}

static status forward_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    return prepare(s, s->attr.conv.pad_top, s->attr.conv.pad_left, false);
}

static status forward_run(const struct nn_step *s)
{
    enum { BIAS = 2, NC, RES };
    return convolve(s, (struct nn_wino_epilogue){.bias = nn_f32(&s->in[BIAS]),
                                                 .nc = nn_f32(&s->in[NC]),
                                                 .res = s->in[RES].data,
                                                 .res_bf16 = s->in[RES].store == NN_STORE_BF16,
                                                 .post = s->attr.post});
}

/* in dy, w, res?; out dx */
static status data_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    return prepare(s, 2 - s->attr.conv.pad_top, 2 - s->attr.conv.pad_left, true);
}

static status data_run(const struct nn_step *s)
{
    return convolve(s, (struct nn_wino_epilogue){.res = s->in[2].data,
                                                 .res_bf16 = s->in[2].store == NN_STORE_BF16});
}

/* ---- backward to the weights: in x, dy; out dw, db? ---- */

static bool weights_supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && tile_for_filters(s) > 0;
}

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    const struct nn_conv *v = &s->attr.conv;
    (void)e;
    status st =
        new_state(s, tile_for_filters(s), &s->in[0], &s->in[1], v->pad_top, v->pad_left, false);
    const struct winograd *g = s->state;
    if (!st)
        s->scratch_bytes +=
            nn_wino_filter_floats(&g->filters) * sizeof(float) * (size_t)blocks_of(s, g);
    return st;
}

static float *sums_of(const struct nn_step *s, int thread)
{
    const struct winograd *g = s->state;
    return (float *)s->scratch + g->filters_at +
           nn_wino_filter_floats(&g->filters) * (size_t)thread;
}

static void correlate_alone(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct job j = *(const struct job *)ctx;
    j.sums = sums_of(j.step, thread);
    for (int64_t t = first; t < last; t += j.g->block) {
        set_block(&j, t, last, thread);
        pixels_and_gradients(&j, 0, j.in.tiles, thread);
        j.add = t > first;
        correlations(&j, 0, panels_of(j.g), thread);
    }
}

static void correlate_together(struct job *j)
{
    int threads = j->step->threads;
    for (int64_t t = 0; t < tiles_of(j->g); t += j->g->block) {
        set_block(j, t, tiles_of(j->g), 0);
        nn_for_range(threads, j->in.tiles, pixels_and_gradients, j);
        j->add = t > 0;
        nn_for_blocks(threads, panels_of(j->g), NN_PANEL_GROUP, correlations, j);
    }
}

static void write_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    nn_wino_filters_out(&j->g->filters, j->sums, nn_f32(&j->step->out[0]), first, last);
}

static status weights_run(const struct nn_step *s)
{
    const struct winograd *g = s->state;
    struct job j = {
        .step = s, .g = g, .x = s->in[0].data, .y = s->in[1].data, .sums = sums_of(s, 0)};
    if (g->alone) {
        nn_for_parts(s->threads, tiles_of(g), correlate_alone, &j);
        nn_add_parts(s, j.sums, nn_wino_filter_floats(&g->filters),
                     nn_min(s->threads, tiles_of(g)));
    } else {
        correlate_together(&j);
    }
    nn_for_range(s->threads, filter_items(g), write_filters, &j);
    if (nn_has(&s->out[1]))
        nn_bias_gradient(s, &s->in[1], &s->out[1]);
    return STATUS_OK;
}

const struct nn_kernel nn_winograd_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "winograd.conv2d",
    .supports = images_supports,
    .prepare = forward_prepare,
    .pack = pack,
    .run = forward_run,
    .drop = drop,
};
const struct nn_kernel nn_winograd_conv2d_data = {
    .op = NN_OP_CONV2D_DATA,
    .name = "winograd.conv2d_data",
    .supports = images_supports,
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
