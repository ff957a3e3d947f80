/* Convolutions by Winograd's algorithm: forward, and the gradient of the input (winograd_job.h). */
#include "kernels/winograd_job.h"

/* Of a step whose results are images. */
static int tile_for_images(const struct nn_step *s)
{
    enum { LEAST = 4 };
    struct nn_shape y = s->out[0].shape;
    return nn_wino_tile_for(s, s->in[0].shape, y, s->in[1].shape, s->apart ? 1 : y.dim[0],
                            LEAST);
}

static void products(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_wino_job *j = ctx;
    int inputs = j->g->from.c;
    (void)thread;
    while (first < last) {
        struct nn_wino_range p = nn_wino_range_at(j->g, first, last);
        nn_panel_multiply(nn_wino_from_plane(j, &p), j->filters + nn_wino_filters_at(j->g, &p),
                          nn_wino_to_plane(j, &p), j->in.tiles, inputs, p.count);
        first += p.count;
    }
}

static void results(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_wino_job *j = ctx;
    (void)thread;
    nn_wino_results(&j->g->to, j->y, &j->end, &j->out, first, last);
}

static void convolve_per_thread(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct nn_wino_job j = *(const struct nn_wino_job *)ctx;
    for (int64_t t = first; t < last; t += j.g->block) {
        nn_wino_set_block(&j, t, last, thread);
        nn_wino_job_pixels(&j, 0, j.in.tiles, thread);
        products(&j, 0, nn_wino_panels_of(j.g), thread);
        results(&j, 0, j.in.tiles, thread);
    }
}

static void convolve_shared(struct nn_wino_job *j)
{
    int threads = j->step->threads;
    for (int64_t t = 0; t < nn_wino_tiles_of(j->g); t += j->g->block) {
        nn_wino_set_block(j, t, nn_wino_tiles_of(j->g), 0);
        nn_for_range(threads, j->in.tiles, nn_wino_job_pixels, j);
        nn_for_blocks(threads, nn_wino_panels_of(j->g), NN_PANEL_GROUP, products, j);
        nn_for_range(threads, j->in.tiles, results, j);
    }
}

static void pack_range(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct nn_wino *g = s->state;
    (void)thread;
    nn_wino_filters_in(&g->filters, nn_f32(&s->in[1]), s->packed, first, last);
}

static status pack(struct nn_step *s)
{
    nn_for_range(s->threads, nn_wino_filter_items(s->state), pack_range, s);
    return STATUS_OK;
}

static status convolve(const struct nn_step *s, struct nn_wino_epilogue end)
{
    const struct nn_wino *g = s->state;
    struct nn_wino_job j = {.step = s,
                            .g = g,
                            .x = s->in[0].data,
                            .y = s->out[0].data,
                            .end = end,
                            .filters = s->packed};
    if (!s->in[1].constant)
        nn_for_range(s->threads, nn_wino_filter_items(g), pack_range, s);
    if (g->per_thread)
        nn_for_blocks(s->threads, nn_wino_tiles_of(g), g->block, convolve_per_thread, &j);
    else
        convolve_shared(&j);
    return STATUS_OK;
}

static status prepare(struct nn_step *s, int top, int left, bool transposed)
{
    status st = nn_wino_new(s, tile_for_images(s), &s->in[0], &s->out[0], top, left, transposed);
    const struct nn_wino *g = s->state;
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

const struct nn_kernel nn_winograd_conv2d = {
    .op = NN_OP_CONV2D,
    .name = "winograd.conv2d",
    .supports = images_supports,
    .prepare = forward_prepare,
    .pack = pack,
    .run = forward_run,
    .drop = nn_wino_drop,
};
const struct nn_kernel nn_winograd_conv2d_data = {
    .op = NN_OP_CONV2D_DATA,
    .name = "winograd.conv2d_data",
    .supports = images_supports,
    .prepare = data_prepare,
    .pack = pack,
    .run = data_run,
    .drop = nn_wino_drop,
};
