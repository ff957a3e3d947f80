#ifndef TRAIN_ESTIMATOR_H
#define TRAIN_ESTIMATOR_H
/* A training of a filter estimator: its state, shared by estimator.c and estimator_inputs.c (what the
   network is shown, and what it is to say). */
#include "family.h"
#include "fit.h"

struct estimator {
    struct fit fit;
    const struct train_estimator_options *opt;
    struct purify_estimator cfg;
    struct family_frame frame;
    struct family_mix mix;
    size_t row;              /* values of one image */
    float *x, *target;       /* inputs: (batch,size,size,C), (batch,side^2) */
    uint8_t *clean, *shown;  /* (size,size,C) */
    float *delta, *filtered; /* the same */
};

/* Of fit_ops. Every draw is named by (seed, step, image). */
status train_estimator_load(void *arg, const struct train_batch *b, struct errmsg *e) MUST_USE;

#endif
