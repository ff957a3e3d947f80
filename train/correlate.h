#ifndef TRAIN_CORRELATE_H
#define TRAIN_CORRELATE_H
/* correlate: an image's correlation with a small kernel, as CUDA (train/protect/cuda.c) makes
   unlearnable images. Private to train. */
#include "nn/nn.h"

/* Entries (side,side) of U(0,most), and 1 at one position drawn at random. */
void correlate_draw(struct nn_rng r, int side, float most, float *kernel);
/* in (H,W,C) with kernel (side,side), the same for all channels, side odd: of the same size, zero
   beyond the border; then scaled so that the largest value is 255. */
void correlate_bright(const uint8_t *in, int width, int height, int channels, const float *kernel,
                      int side, float *out);

#endif
