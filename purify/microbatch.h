#ifndef PURIFY_MICROBATCH_H
#define PURIFY_MICROBATCH_H
/*
 * A micro-batch: slots of a fixed number that the sampler works on together, with what that needs:
 * plans of the networks for this batch size, the sampler, memory.
 *
 *     fill b->slot[0 .. batch-1]
 *     microbatch_run
 *     microbatch_tile of each slot whose image has not stopped
 *
 * The slots need not belong together: each is one tile of one sample of some image, with the noise
 * of that image. What comes out for it does not depend on the batch size, on its place in the
 * batch, nor on the other slots. Nothing of a micro-batch is in use between two runs.
 */
#include "model.h"
#include "tiles.h"

/* An image whose tiles are in the slots. */
struct microbatch_image {
    const struct image *img;
    struct tiling tiling;
    uint64_t key;         /* of its noise */
    purify_stop_fn *stop; /* (optional) before each evaluation; nonzero stops this image */
    void *stop_arg;
    bool stopped;         /* stop returned nonzero, and is not called again */
    uint64_t evaluations; /* tiles evaluated for it */
};
struct microbatch_slot {
    struct microbatch_image *image;
    int i, j; /* column and row of the tile */
    int sample;
};
struct microbatch_net {
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *in, *in2;  /* x and t, or a and b */
    const float *out; /* predicted noise, or the gradient for a */
};
struct microbatch {
    const struct diffusion *model;
    int batch;
    size_t elements;              /* of a tile */
    struct microbatch_slot *slot; /* (batch) of the next run */
    struct microbatch_net unet, percept;
    struct jcdp *jcdp;
    float *z;       /* (batch,elements) */
    float *scratch; /* one row of a tile and two more */
};

/* microbatch_done also after a failure, or on a zeroed struct. */
status microbatch_init(struct microbatch *b, const struct diffusion *m, int batch,
                       struct errmsg *e) MUST_USE;
void microbatch_done(struct microbatch *b);
/* Purifies the tiles that the slots name. CANCELLED, before an evaluation, once every image has
   stopped; the tiles of an image that stopped are worthless. */
status microbatch_run(struct microbatch *b) MUST_USE;
/* The result for slot k, (elements), until the next run. */
static inline const float *microbatch_tile(const struct microbatch *b, int k)
{
    return b->z + (size_t)k * b->elements;
}

#endif
