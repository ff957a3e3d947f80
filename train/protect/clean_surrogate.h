#ifndef TRAIN_PROTECT_CLEAN_SURROGATE_H
#define TRAIN_PROTECT_CLEAN_SURROGATE_H
/*
 * clean_surrogate: a classifier trained on the images as they are, once, before perturbations are
 * made with it (surrogate.h is the other kind, trained on what is being made). SGD with momentum .9
 * over full batches in a random order, with the network's own learning rate times what the recipe
 * makes of it.
 *
 * Belongs to one thread.
 */
#include "protect/protect.h"

#include "model.h"

/* How a network is shown images. */
enum sight {
    SIGHT_PLAIN,   /* as they are */
    SIGHT_SHIFTED, /* by up to an eighth of their side, half of the time mirrored */
    SIGHT_STRONG   /* strong.h */
};
struct clean_recipe {
    const struct train_net *net;
    int epochs, batch;          /* of fewer images a batch is all of them */
    float decay;                /* of weights */
    enum sight sight;           /* of images, in training */
    double strength;            /* of SIGHT_STRONG */
    float (*rate)(double part); /* a factor, 1 at first, after this part of the epochs */
    enum nn_precision precision;
};
/* Fills j->result: rounds are the epochs, the error is that of all images, evaluated as they are.
   Shows progress unless quiet. UNSUPPORTED: this CPU lacks the precision. */
status clean_surrogate_train(struct protect_job *j, const struct clean_recipe *r,
                             struct train_model **out, struct errmsg *e) MUST_USE;
/* Images a batch has. */
int clean_surrogate_batch(const struct protect_job *j, int batch);
/* Adds the batch and the error that were to protection.json. */
void clean_surrogate_describe(const struct protect_job *j, int batch, json_t *out);

#endif
