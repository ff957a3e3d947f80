#ifndef TRAIN_RECIPES_PROJECTION_H
#define TRAIN_RECIPES_PROJECTION_H
/*
 * projection: the directions that a linear classifier of the training images reads, and taking them
 * out of images. Private to train.
 *
 *     struct projection p = {.n = 0};
 *     st = projection_find(set, &options, seed, threads, &p, e);
 *     projection_remove(&p, image);
 *     projection_done(&p);
 */
#include "train.h"

struct projection_options {
    int epochs, batch;
    float lr;
};
struct projection {
    float *q; /* (n,size): orthonormal */
    int n;
    size_t size; /* floats of an image */
};
/* Images in [0,1], as they are in the set. CANCELLED when asked to stop. */
status projection_find(struct train_set *set, const struct projection_options *opt, uint64_t seed,
                       int threads, struct projection *out, struct errmsg *e) MUST_USE;
/* Any thread. */
void projection_remove(const struct projection *p, float *x /* (size) */);
void projection_done(struct projection *p);

/* Makes rows orthonormal, in place, and leaves out those that the rows before them span; how many
   there are now. */
int projection_orthonormalise(float *row /* (n,size) */, int n, size_t size);

#endif
