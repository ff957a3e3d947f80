#ifndef NN_WINOGRAD_JOB_H
#define NN_WINOGRAD_JOB_H
/*
 * winograd_job: what the convolution kernels by Winograd's algorithm (winograd.h) share.
 *
 * A block of tiles at a time goes through three steps: pixels to planes, their products, planes to
 * results. Where the transformed filters are small, each thread takes its own tiles through all
 * three, with planes that stay in its own caches. Large filters are read only once for a block: all
 * threads share out the block's tiles, then its products, then the tiles again.
 *
 * Whether to use the direct sum, tiles of 4x4 or of 8x8: where samples are apart the shape of one
 * image decides, so that a sample's bits do not depend on its batch; else the batch counts, too.
 */
#include "kernels/winograd.h"

/* The state of a step. */
struct nn_wino {
    struct nn_wino_image from, to; /* what is read, what is written (or the gradient dy) */
    struct nn_wino_filters filters;
    bool per_thread;  /* each thread takes its own tiles through all steps */
    int block;        /* tiles */
    size_t planes_at; /* floats from a block's first planes to its second */
    size_t block_floats;
    size_t
        filters_at; /* in scratch, floats: gradients of filters, one for each thread that has its own tiles */
};

/* The size of tiles that suits a step between x and y, of so many images at a time, which should be at
   least `least` tiles; 0: none. */
int nn_wino_tile_for(const struct nn_step *s, struct nn_shape x, struct nn_shape y,
                     struct nn_shape w, int64_t batch, int least);
/* Sets s->state and s->scratch_bytes. Tiles cover y; x is read around them. */
status nn_wino_new(struct nn_step *s, int tile, const struct nn_tensor *x,
                   const struct nn_tensor *y, int top, int left, bool transposed) MUST_USE;
void nn_wino_drop(struct nn_step *s);

static inline int64_t nn_wino_tiles_of(const struct nn_wino *g)
{
    return nn_wino_tiles(&g->to);
}

/* Panels of outputs, of all planes. */
static inline int64_t nn_wino_panels_of(const struct nn_wino *g)
{
    return (int64_t)nn_wino_planes(g->to.tile) * g->to.c / NN_PANEL;
}

/* Blocks that are in work at a time: one for each thread, or one. */
static inline int nn_wino_blocks_of(const struct nn_step *s, const struct nn_wino *g)
{
    return g->per_thread ? s->threads : 1;
}

/* Sixteen outputs and one input each. */
static inline int64_t nn_wino_filter_items(const struct nn_wino *g)
{
    return (int64_t)g->filters.outputs / NN_PANEL * g->filters.inputs;
}

/* A step and the block of tiles that is in work. */
struct nn_wino_job {
    const struct nn_step *step;
    const struct nn_wino *g;
    const void *x;
    void *y;
    struct nn_wino_epilogue end;
    const float *filters;
    float *sums; /* the filters' gradient, or a thread's part of it */
    bool add;    /* to them */
    struct nn_wino_block in, out;
};

/* The block of tiles first .. last-1, or its beginning; its planes are those of the thread. */
void nn_wino_set_block(struct nn_wino_job *j, int64_t first, int64_t last, int thread);
/* Transforms x for the block's tiles first .. last-1; a nn_range_fn of the job. */
nn_range_fn nn_wino_job_pixels;

/* Panels of outputs are counted through all planes; a range of them lies within one plane. */
struct nn_wino_range {
    int64_t plane;
    int first, count; /* panels */
};
static inline struct nn_wino_range nn_wino_range_at(const struct nn_wino *g, int64_t at,
                                                    int64_t last)
{
    int64_t panels = g->to.c / NN_PANEL, plane = at / panels;
    return (struct nn_wino_range){plane, (int)(at % panels),
                                  (int)(nn_min(last, (plane + 1) * panels) - at)};
}
static inline int64_t nn_wino_filters_at(const struct nn_wino *g, const struct nn_wino_range *p)
{
    return p->plane * nn_wino_filter_plane(&g->filters) + (int64_t)p->first * g->from.c * NN_PANEL;
}
static inline float *nn_wino_from_plane(const struct nn_wino_job *j, const struct nn_wino_range *p)
{
    return j->in.planes + p->plane * nn_wino_plane(j->in.tiles, j->g->from.c);
}
static inline float *nn_wino_to_plane(const struct nn_wino_job *j, const struct nn_wino_range *p)
{
    return j->out.planes + p->plane * nn_wino_plane(j->in.tiles, j->g->to.c) +
           (int64_t)p->first * j->in.tiles * NN_PANEL;
}

#endif
