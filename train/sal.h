#ifndef TRAIN_SAL_H
#define TRAIN_SAL_H
/*
 * sal: sharpness-aware learnability of the layers of a network, as train.h defines it. Private to
 * train.
 *
 *     train_sal_new(model, &images, &plan_options, &s, e)
 *     after each epoch: train_sal_measure(s, e); then train_sal_value(s, i) of each layer
 */
#include "model.h"

/* ---- sal.c: one tensor of weights ---- */

/* What the search asks about the function that it climbs. Both calls return an error, or
   CANCELLED, which ends it. */
struct sal_problem {
    float *w; /* (n) moved while it is searched; the same bits as before when it is over */
    size_t n;
    int batches; /* steps of a pass */
    double loss; /* at w as it is */
    /* The gradient of the mean loss of a batch, (n), good until the next call. */
    status (*gradient)(void *arg, int batch, const float **out);
    status (*measure)(void *arg, double *out); /* the mean loss of all batches */
    void *arg;
};
status train_sal_search(const struct sal_problem *p, double *out) MUST_USE;

/* ---- sal_layers.c: all layers of a network ---- */

struct sal_images {
    const float *x; /* (n,H,W,C), scaled for the network; must outlive the object */
    const int32_t *label;
    int n;
};
struct sal;
/* The layers are the model's parameters of rank 2 or more that are called NAME.weight. The model
   must outlive the object. */
status train_sal_new(const struct train_model *m, const struct sal_images *images,
                     const struct nn_plan_options *po, struct sal **out, struct errmsg *e) MUST_USE;
void train_sal_free(struct sal *s);
DEFINE_FREEP(struct sal *, train_sal_free)
int train_sal_layers(const struct sal *s);
/* A layer's name, without .weight. */
const char *train_sal_layer(const struct sal *s, int i, char out[NN_NAME_MAX]);
/* Of the present weights, which have the same bits afterwards whatever is returned. */
status train_sal_measure(struct sal *s, struct errmsg *e) MUST_USE;
double train_sal_value(const struct sal *s, int i); /* as last measured */

#endif
