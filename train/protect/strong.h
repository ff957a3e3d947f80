#ifndef TRAIN_PROTECT_STRONG_H
#define TRAIN_PROTECT_STRONG_H
/*
 * strong: the augmentation of contrastive learning (Chen et al., "A Simple Framework for Contrastive
 * Learning of Visual Representations", ICML 2020, appendix A), as one that gradients go through. It is
 * what the augmentations resized-crop, flip, jitter and grey do, one after the other (augment.h),
 * each as much as the strength s of 0 to 1 says: a crop keeps 1 - .9 s of the area or more; with
 * probability .8 s brightness, contrast and saturation change by up to .4 s and the hue by up to
 * .1 s; with probability .2 s it is grey.
 */
#include "augments/tools.h"
#include "protect/shift.h"

struct strong {
    struct augment_map map; /* crop and mirror */
    bool jitter, grey;
    float brightness, contrast, saturation, hue;
};
enum {
    STRONG_WORDS = 11, /* a draw takes */
    STRONG_WORK = 6    /* floats of work for each value of an image */
};
struct strong strong_draw(struct nn_rng r, uint64_t at, double s, struct shift_frame f);
/* The list of the same for a loader that mirrors. */
enum { STRONG_TEXT_MAX = 256 };
void strong_text(double s, char out[STRONG_TEXT_MAX]);
/* in, out: (H,W,C) in [0,1], two places. */
void strong_image(const struct strong *s, struct shift_frame f, const float *in, float *out,
                  float *work);
/* Gradients with respect to what strong_image makes of `in` -> with respect to `in`. */
void strong_gradient(const struct strong *s, struct shift_frame f, const float *in,
                     const float *out_gradient, float *in_gradient, float *work);

#endif
