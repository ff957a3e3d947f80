#ifndef TRAIN_AUDIT_RIDGE_H
#define TRAIN_AUDIT_RIDGE_H
/*
 * ridge: how well a linear model reads labels from features, by ridge regression on one-hot labels in
 * its dual form (Saunders et al. 1998): with G the Gram matrix of the features, the scores of x are
 * k(x)' (G + lambda I)^-1 Y. It costs n^2 products of a feature and n^3/3 for the equations, whatever
 * the number of features.
 *
 * Features are standardised over all samples first, in place; of those that hardly vary, not more than
 * the others' is made. The data are parted at random, the same part of each class; lambda is the one of
 * a few that serves a half of the training part best which did not train. Private to train.
 */
#include "base/base.h"
#include "nn/nn.h"

struct ridge_data {
    float *feature; /* (n,size), which is changed */
    int n;
    size_t size;
    const int *label; /* (n) 0..classes-1 */
    int classes;
};
struct ridge_result {
    double accuracy;  /* of held-out samples, mean over the parts tried */
    double deviation; /* of one such figure */
    int held_out;     /* samples of one */
};
/* The mean over `rounds` random partings in halves. CANCELLED when asked to stop. */
status ridge_read(struct ridge_data *d, struct nn_rng r, int rounds,
                  struct ridge_result *out) MUST_USE;

#endif
