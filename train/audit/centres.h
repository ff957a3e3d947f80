#ifndef TRAIN_AUDIT_CENTRES_H
#define TRAIN_AUDIT_CENTRES_H
/*
 * centres: a linear discriminant (Fisher 1936). A sample is of the label whose mean is nearest, in the
 * metric of the covariance that samples have about their own label's mean, shrunk towards its diagonal
 * (Friedman 1989), since samples are few. And how odd it is there: the mean over its numbers of the
 * squared distance from that label's mean, over the variance within that label and within all. It is
 * about 1/2 for a sample of its own kind. Private to train; fixed once made, then any thread.
 */
#include "base/base.h"

struct centres;
struct centres_data {
    const float *feature; /* (n,size) */
    int n, size;
    const int *label; /* (n) 0..labels-1, each at least twice */
    int labels;
};
status centres_new(const struct centres_data *d, struct centres **out) MUST_USE;
void centres_free(struct centres *c);
DEFINE_FREEP(struct centres *, centres_free)
/* x (size). NOMEM. */
status centres_nearest(const struct centres *c, const float *x, int *out_label,
                       double *out_odd) MUST_USE;

#endif
