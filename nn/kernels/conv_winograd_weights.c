/* The gradient of a convolution's filters by Winograd's algorithm: in x, dy; out dw, db?
   (winograd_job.h). */
#include "kernels/winograd_job.h"

static int tile_for_filters(const struct nn_step *s)
{
    struct nn_shape dy = s->in[1].shape;
    return nn_wino_tile_for(s, s->in[0].shape, dy, s->out[0].shape, dy.dim[0], 1);
}

static void pixels_and_gradients(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_wino_job *j = ctx;
    nn_wino_job_pixels(ctx, first, last, thread);
    nn_wino_gradients(&j->g->to, j->y, &j->out, first, last);
}

static void correlations(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_wino_job *j = ctx;
    int inputs = j->g->from.c;
    (void)thread;
    while (first < last) {
        struct nn_wino_range p = nn_wino_range_at(j->g, first, last);
        nn_panel_correlate(nn_wino_from_plane(j, &p), nn_wino_to_plane(j, &p),
                           j->sums + nn_wino_filters_at(j->g, &p), j->in.tiles, inputs, p.count,
                           j->add);
        first += p.count;
    }
}

static bool weights_supports(const struct nn_step *s)
{
    return nn_has(&s->out[0]) && tile_for_filters(s) > 0;
}

static status weights_prepare(struct nn_step *s, struct errmsg *e)
{
    const struct nn_conv *v = &s->attr.conv;
    (void)e;
    status st =
        nn_wino_new(s, tile_for_filters(s), &s->in[0], &s->in[1], v->pad_top, v->pad_left, false);
    const struct nn_wino *g = s->state;
    if (!st)
        s->scratch_bytes +=
            nn_wino_filter_floats(&g->filters) * sizeof(float) * (size_t)nn_wino_blocks_of(s, g);
    return st;
}

static float *sums_of(const struct nn_step *s, int thread)
{
    const struct nn_wino *g = s->state;
    return (float *)s->scratch + g->filters_at +
           nn_wino_filter_floats(&g->filters) * (size_t)thread;
}

static void correlate_per_thread(const void *ctx, int64_t first, int64_t last, int thread)
{
    struct nn_wino_job j = *(const struct nn_wino_job *)ctx;
    j.sums = sums_of(j.step, thread);
    for (int64_t t = first; t < last; t += j.g->block) {
        nn_wino_set_block(&j, t, last, thread);
        pixels_and_gradients(&j, 0, j.in.tiles, thread);
        j.add = t > first;
        correlations(&j, 0, nn_wino_panels_of(j.g), thread);
    }
}

static void correlate_shared(struct nn_wino_job *j)
{
    int threads = j->step->threads;
    for (int64_t t = 0; t < nn_wino_tiles_of(j->g); t += j->g->block) {
        nn_wino_set_block(j, t, nn_wino_tiles_of(j->g), 0);
        nn_for_range(threads, j->in.tiles, pixels_and_gradients, j);
        j->add = t > 0;
        nn_for_blocks(threads, nn_wino_panels_of(j->g), NN_PANEL_GROUP, correlations, j);
    }
}

static void write_filters(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_wino_job *j = ctx;
    (void)thread;
    nn_wino_filters_out(&j->g->filters, j->sums, nn_f32(&j->step->out[0]), first, last);
}

static status weights_run(const struct nn_step *s)
{
    const struct nn_wino *g = s->state;
    struct nn_wino_job j = {
        .step = s, .g = g, .x = s->in[0].data, .y = s->in[1].data, .sums = sums_of(s, 0)};
    if (g->per_thread) {
        nn_for_parts(s->threads, nn_wino_tiles_of(g), correlate_per_thread, &j);
        nn_add_parts(s, j.sums, nn_wino_filter_floats(&g->filters),
                     nn_min(s->threads, nn_wino_tiles_of(g)));
    } else {
        correlate_shared(&j);
    }
    nn_for_range(s->threads, nn_wino_filter_items(g), write_filters, &j);
    if (nn_has(&s->out[1]))
        nn_bias_gradient(s, &s->in[1], &s->out[1]);
    return STATUS_OK;
}

const struct nn_kernel nn_winograd_conv2d_weights = {
    .op = NN_OP_CONV2D_WEIGHTS,
    .name = "winograd.conv2d_weights",
    .supports = weights_supports,
    .prepare = weights_prepare,
    .run = weights_run,
    .drop = nn_wino_drop,
};
