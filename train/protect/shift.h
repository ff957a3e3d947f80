#ifndef TRAIN_PROTECT_SHIFT_H
#define TRAIN_PROTECT_SHIFT_H
/*
 * shift: an image moved by a part of a pixel and perhaps mirrored, as an augmentation that gradients
 * go through. It is linear: out(y,x) is `in` at (y + s.y, x' + s.x), interpolated between four
 * pixels, x' = x or, mirrored, width-1-x; outside there are zeros.
 */
#include "nn/nn.h"

struct shift {
    float x, y; /* pixels */
    bool mirror;
};
struct shift_frame {
    int width, height, channels;
};
/* Uniform within `most` pixels either way, mirrored half of the time: by three words from `at` on. */
struct shift shift_draw(struct nn_rng r, uint64_t at, float most);
/* The same in whole pixels. */
struct shift shift_draw_whole(struct nn_rng r, uint64_t at, int most);
/* in, out: (H,W,C), two places. */
void shift_image(struct shift s, struct shift_frame f, const float *in, float *out);
/* The transpose: gradients with respect to out -> with respect to in. */
void shift_gradient(struct shift s, struct shift_frame f, const float *out, float *in);

#endif
