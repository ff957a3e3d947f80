#include "kernels/winograd_job.h"

enum {
    LANES = NN_PANEL,
    THREAD_BYTES = 768 << 10,    /* planes of one thread's block */
    SHARED_BYTES = 14 << 20,     /* planes of a block for all threads, which may be two such */
    FILTERS_PER_THREAD = 8 << 20 /* transformed filters that every thread may read on its own */
};

static int64_t tiles_over(struct nn_shape y, int tile)
{
    return (int64_t)((y.dim[1] + tile - 1) / tile) * ((y.dim[2] + tile - 1) / tile);
}

/*
 * The transformed filters are 4 or 11 times as large as the filters and come from memory: with too
 * few tiles that does not pay. It pays where the products, those for pixels beyond the image's edge
 * included, are at most half of the direct sum's; 8x8 must save a fifth of those of 4x4, and is exact
 * enough for bf16 only.
 */
int nn_wino_tile_for(const struct nn_step *s, struct nn_shape x, struct nn_shape y,
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

status nn_wino_new(struct nn_step *s, int tile, const struct nn_tensor *x,
                   const struct nn_tensor *y, int top, int left, bool transposed)
{
    struct nn_wino *g = s->state = mem_zalloc(1, sizeof *g);
    if (!g)
        return STATUS_NOMEM;
    struct nn_wino_image tiles = {.tile = tile,
                                  .rows = (y->shape.dim[1] + tile - 1) / tile,
                                  .columns = (y->shape.dim[2] + tile - 1) / tile};
    int planes = nn_wino_planes(tile);
    g->from = image(x, &tiles, top, left);
    g->to = image(y, &tiles, 0, 0);
    g->filters = (struct nn_wino_filters){g->to.c, g->from.c, tile, transposed};
    g->per_thread = nn_wino_filter_floats(&g->filters) * sizeof(float) <= FILTERS_PER_THREAD;
    int64_t bytes = g->per_thread ? THREAD_BYTES : SHARED_BYTES * nn_min(s->threads, 2);
    int64_t tile_bytes = (int64_t)planes * (g->from.c + g->to.c) * (int64_t)sizeof(float);
    int64_t most = bytes / tile_bytes / NN_PANEL_ROWS * NN_PANEL_ROWS;
    int64_t all = nn_wino_tiles_of(g);
    most = most < NN_PANEL_ROWS ? NN_PANEL_ROWS : most;
    int64_t blocks = (all + most - 1) / most; /* of the same size, as near as whole rows allow */
    int64_t even = (all + blocks * NN_PANEL_ROWS - 1) / (blocks * NN_PANEL_ROWS) * NN_PANEL_ROWS;
    g->block = (int)nn_min(even, all);
    g->planes_at = (size_t)(planes * nn_wino_plane(g->block, g->from.c));
    g->block_floats = g->planes_at + (size_t)(planes * nn_wino_plane(g->block, g->to.c));
    g->filters_at = g->block_floats * (size_t)nn_wino_blocks_of(s, g);
    s->scratch_bytes = g->filters_at * sizeof(float);
    return STATUS_OK;
}

void nn_wino_drop(struct nn_step *s)
{
    mem_free(s->state);
    s->state = NULL;
}

void nn_wino_set_block(struct nn_wino_job *j, int64_t first, int64_t last, int thread)
{
    const struct nn_wino *g = j->g;
    float *scratch = j->step->scratch, *planes = scratch + g->block_floats * (size_t)thread;
    int tiles = (int)nn_min(g->block, last - first);
    j->in = (struct nn_wino_block){first, tiles, planes};
    j->out = (struct nn_wino_block){first, tiles, planes + g->planes_at};
}

void nn_wino_job_pixels(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_wino_job *j = ctx;
    (void)thread;
    nn_wino_pixels(&j->g->from, j->x, &j->in, first, last);
}
