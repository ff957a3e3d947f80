#ifndef TRAIN_BENCH_COHERENT_H
#define TRAIN_BENCH_COHERENT_H
/*
 * coherent: how much of their difference to the clean images the images of a class have in common.
 * That is what a network can take for the class; what differs from image to image is noise to it.
 *
 * Over pairs of different images of a class the sum of d_i . d_j is |sum of d|^2 - sum of |d|^2: its mean
 * estimates |E d|^2, and nothing that is there by chance is in it.
 */
#include "base/base.h"

#include <stddef.h>
#include <stdint.h>

struct coherent {
    double *sum; /* (values): of the class at hand */
    size_t values;
    int label, n; /* the class at hand; its images so far */
    double square;
    double dots, pairs; /* of all classes before it */
    bool sizes;         /* images of several sizes have nothing in common */
};
/* The next image (values) as it is, and clean: all of a class follow each other. A zeroed struct is one
   that has seen none. */
status coherent_add(struct coherent *c, int label, const uint8_t *image, const uint8_t *clean,
                    size_t values) MUST_USE;
/* The root of the mean square of what is common, in grey levels; NAN: images of several sizes, or no
   class of two. Nothing is to be added after it. */
double coherent_end(struct coherent *c);
void coherent_done(struct coherent *c);

#endif
