#ifndef TRAIN_PROTECT_NTK_FLOW_H
#define TRAIN_PROTECT_NTK_FLOW_H
/*
 * ntk_flow: what a network of infinite width predicts once gradient descent on the mean square error to
 * one-hot labels has trained it for a time (Lee et al. 2019, equations 10 and 11, from predictions of 0),
 * given its kernel: with K the kernel of n training images, Y (n,classes) their labels,
 *
 *     f(x) = k(x)' A,    A = K^-1 (1 - exp(-K time / (n classes))) Y,
 *
 * K with `ridge` of the mean of its diagonal added there. A is found by small steps of what it solves,
 * dA/ds = Y - K A, at least 256 and enough that none can overshoot, so that its gradient is exact for
 * the steps, and no eigenvectors are needed: they differ from the flow by less than a percent.
 */
#include "base/base.h"

struct ntk_flow {
    int n, held, classes; /* images it learns from, and others */
    double time, ridge;
    const int *label;    /* (n+held) 0..classes-1 */
    const double *theta; /* (n,n+held): the kernel of those it learns from and all */
};
struct ntk_loss {
    double loss,
        error; /* mean cross entropy, its predictions for logits, and error on the others */
};
/* grad (n,n+held), or NULL: of the loss with respect to theta, each entry by itself. NOMEM; CANCELLED
   when asked to stop. */
status ntk_flow_loss(const struct ntk_flow *f, double *grad, struct ntk_loss *out) MUST_USE;

#endif
