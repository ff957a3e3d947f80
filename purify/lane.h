#ifndef PURIFY_LANE_H
#define PURIFY_LANE_H
/*
 * A lane: plans of the networks, the sampler and their memory for micro-batches of one size.
 *
 *     fill lane->slot[0 .. batch-1]
 *     lane_run
 *     lane_tile of each slot whose image has not stopped
 *
 * The slots need not belong together: each is one tile of one sample of some image, with the noise
 * of that image. What comes out for it does not depend on the lane's size, on its place in it, nor
 * on the other slots. Nothing of a lane is in use between two runs.
 */
#include "model.h"
#include "tiles.h"

/* What a lane needs to know of an image whose tiles pass through it. */
struct lane_image {
    const struct image *img;
    struct tiling tiling;
    uint64_t key;         /* of its noise */
    purify_stop_fn *stop; /* (optional) before each evaluation; nonzero stops this image */
    void *stop_arg;
    bool stopped;         /* stop said so, and is not asked again */
    uint64_t evaluations; /* tiles evaluated for it */
};
struct lane_slot {
    struct lane_image *image;
    int i, j; /* column and row of the tile */
    int sample;
};
struct lane_net {
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *in, *in2;  /* x and t, or a and b */
    const float *out; /* predicted noise, or the gradient for a */
};
struct lane {
    const struct diffusion *model;
    int batch;
    size_t elements;        /* of a tile */
    struct lane_slot *slot; /* (batch) what the next run is about */
    struct lane_net unet, percept;
    struct jcdp *jcdp;
    float *z;       /* (batch,elements) */
    float *scratch; /* one row of a tile and two more */
};

/* lane_done also after a failure, or on a zeroed lane. */
status lane_init(struct lane *l, const struct diffusion *m, int batch, struct errmsg *e) MUST_USE;
void lane_done(struct lane *l);
/* Purifies the tiles that the slots name. CANCELLED, before an evaluation, once every image has
   stopped; the tiles of an image that stopped are worthless. */
status lane_run(struct lane *l) MUST_USE;
/* The result for slot k, (elements), until the next run. */
static inline const float *lane_tile(const struct lane *l, int k)
{
    return l->z + (size_t)k * l->elements;
}

#endif
