#ifndef TRAIN_AUGMENTS_FRACTAL_H
#define TRAIN_AUGMENTS_FRACTAL_H
/*
 * fractal: clouds by diamond and square steps (Fournier, Fussell & Carpenter 1982), with the weights
 * of kornia's diamond_square (2023), which UEraser's authors drew theirs with. Values are about 0
 * to 1; the range is not stretched, and borders are brighter than the middle, as theirs are.
 *
 * The smallest grid is 3 wide in its shorter direction. A level doubles it: the noise of a level is
 * `roughness` times that of the one before, and what is left to 1 is the share of the neighbours'
 * mean; at a border that mean is of three neighbours, one of them counted twice, times 4/3.
 */
#include "augment.h"

/* Fills (H,W) of `out`, `stride` floats from value to value. Its random words begin at *at, which
   becomes the first unused one. NOMEM. */
status augment_fractal(struct nn_rng r, uint64_t *at, float roughness, int width, int height,
                       float *out, size_t stride) MUST_USE;

#endif
