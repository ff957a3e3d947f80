#ifndef TRAIN_STREAM_H
#define TRAIN_STREAM_H
/* Every random number of a run is a word of one Philox stream named by (seed, purpose, number): no
   draw depends on what was drawn before, so resuming needs no generator state. */
#include "nn/nn.h"

enum stream {
    /* of protections */
    STREAM_FILTER = 64, /* number: class and channel */
    STREAM_KERNEL,      /* number: class */
    STREAM_START,       /* number: restart and sample, or step; where perturbations begin */
    STREAM_MOVE,        /* number: restart and sample, or step; three words a move */
    STREAM_PART,        /* number: 0; which images are protected */
    STREAM_SIGHT,       /* number: sample; how crafting sees it */
    STREAM_AUDIT,       /* number: view; which half learns */
    STREAM_AUDIT_GROUP, /* number: group; what its images carry, and which they are */
    /* of the rest */
    STREAM_SHUFFLE = 1, /* number: epoch */
    STREAM_AUGMENT,     /* number: epoch; four words a sample */
    STREAM_PROBE,       /* number: 0 */
    STREAM_TIME,        /* number: step */
    STREAM_NOISE,       /* number: step */
    STREAM_CHAIN,       /* number: step of a sampling chain */
    STREAM_VERTEX,      /* number: class */
    STREAM_MIXING,      /* number: class */
    STREAM_POINT,       /* number: sample */
    STREAM_SUBSET,      /* number: 0 */
    STREAM_PIXELS,      /* number: row of augment.h, epoch, sample */
    STREAM_MIX,         /* number: step */
    STREAM_ATTACK,      /* number: step */
    STREAM_FAMILY,      /* number: step and group; what happens to it */
    STREAM_DELTA,       /* number: step and group; the perturbation */
    STREAM_PAIR,        /* number: step; which pairs, and where they are cut out */
    STREAM_CRAFT,       /* number: step; by which network, and how */
    STREAM_NETWORK,     /* number: generation and network; its weights, labels and batches */
    STREAM_POOL,        /* number: generation; what its networks are trained on */
    STREAM_WEIGHTS,     /* number: draw; noise on all trainable parameters, in their order */
    STREAM_CLASSES,     /* number: round; what an autoencoder adds for a class, at the start */
    STREAM_LATENT       /* number: round and step, or sample; noise in the middle of one */
};

static inline struct nn_rng stream(uint64_t seed, enum stream purpose, uint64_t number)
{
    return nn_rng(seed, (uint64_t)purpose << 56 | (number & 0xffffffffffffffull));
}

/* A whole number of 0..n-1 from one word; the bias (below n/2^32) does not matter for our n. */
static inline int stream_below(uint32_t word, int n)
{
    return (int)((uint64_t)word * (uint64_t)n >> 32);
}

/* Uniform in lo..hi, from one word. */
static inline float stream_uniform(struct nn_rng r, uint64_t at, float lo, float hi)
{
    return lo + (hi - lo) * nn_rng_uniform(r, at);
}

#endif
