#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H
/*
 * loop: the training loop of classifiers, surrogates and diffusion models. It takes batches in the
 * loader's order, epoch after epoch, and updates the weights; how a batch becomes the plan's inputs
 * and what is recorded is up to the caller. Private to train.
 *
 * A step is known by its number alone (step s is batch s % batches of epoch s / batches), so a loop
 * can be left between any two steps and go on later, in another process if need be.
 */
#include "train.h"

struct train_loop {
    struct train_loader *loader; /* NULL: `load` finds images itself, and is given no batch */
    struct nn_params *params;
    struct nn_plan *plan; /* of a loss and the parameters' gradients */
    const float *loss;    /* one number of the plan */
    struct nn_optim *optim;
    float clip; /* of the gradients' joint norm; 0: none */
    int threads;
    int64_t step; /* the next */
    void *arg;    /* of the calls below */
    /* Fills the plan's inputs for step `step`. */
    status (*load)(void *arg, const struct train_batch *b, struct errmsg *e);
    float (*rate)(const void *arg, int64_t step);
    /* (optional) The weights are those of after it, and `step` is the next. */
    status (*after)(void *arg, const struct train_batch *b, double loss, struct errmsg *e);
};
/* Steps up to, and without, step `end`. CANCELLED soon after the user asked to stop, between two
   steps; CORRUPT when training diverged. After a failure `step` is the one that was not done, unless
   it was `after` that failed. */
status train_loop_run(struct train_loop *l, int64_t end, struct errmsg *e) MUST_USE;

#endif
