#ifndef TRAIN_PROTECT_NTK_IMAGES_H
#define TRAIN_PROTECT_NTK_IMAGES_H
/*
 * ntk_images: how well a network of infinite width that learned from some images (ntk.h, ntk_flow.h)
 * tells others, and the gradient of its loss on them with respect to the images that it learned from.
 *
 *     st = ntk_images_new(&options, &m, e);
 *     fill m->image and m->label
 *     st = ntk_images_loss(m, true, &loss);    // and m->grad
 *
 * Belongs to one thread. Costs (n+held) n products of images twice, as often the kernel, about a
 * microsecond with its gradient, and n^2 classes of each step of ntk_flow.h three times.
 */
#include "protect/ntk.h"
#include "protect/ntk_flow.h"

#include "nn/nn.h"

struct ntk_images_options {
    struct ntk kernel;
    int n, held, classes; /* images it learns from, and others */
    int values;           /* of an image */
    double time, ridge;
    int threads;
};
struct ntk_images {
    struct ntk_images_options is;
    float *image;      /* (n+held,values): those it learns from first */
    int *label;        /* (n+held) */
    const float *grad; /* (n,values) */

    struct nn_params *params; /* none */
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *learned;           /* (n,values): the first of image, for the plan */
    float *weight;            /* (n,n+held): of the sum of products whose gradient is taken */
    const float *product;     /* (n,n+held) of images */
    double *theta, *by_theta; /* (n,n+held) */
    double *self, *by_self;   /* (n+held,layers) */
};
status ntk_images_new(const struct ntk_images_options *o, struct ntk_images **out,
                      struct errmsg *e) MUST_USE;
void ntk_images_free(struct ntk_images *m);
DEFINE_FREEP(struct ntk_images *, ntk_images_free)
status ntk_images_loss(struct ntk_images *m, bool gradient, struct ntk_loss *out) MUST_USE;

#endif
