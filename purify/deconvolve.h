#ifndef PURIFY_DECONVOLVE_H
#define PURIFY_DECONVOLVE_H
/*
 * Undoes a small filter that the whole image went through, with zeros beyond its edge.
 *
 * The kernel k is what an estimator (purify.h) says of the image's four corners, put together as one
 * square (its first rows and columns in the one half, its last in the other; a short image is mirrored
 * beyond its end), divided by its sum: at all four edges it can be told from one that is
 * shifted. Kernels whose distance to none, the root of the sum of (k - 1 in the middle)^2, is below
 * `least` leave the image as it is, and so do those that no image can have gone through (a sum that
 * is not 0.5 to 2).
 *
 * Otherwise the result is, for the image y and K x, its correlation with the kernel,
 *
 *     the x with the least |y - K x|^2 + damping |x - y|^2
 *
 * of each channel, by DECONVOLVE_STEPS conjugate gradients (Hestenes & Stiefel 1952) on the normal
 * equations, from x = y on. Of the pixels at the edge, as many as half the kernel's side, parts went
 * beyond it; they become like those that are next to them inside. Where x is brighter than 255
 * somewhere, all of it is darkened until it is not: what filters an image may have scaled it to fill
 * the range (CUDA does), and how much is then clipped would tell one filter from another. Values are
 * rounded half to even.
 *
 * A large image is solved in tiles with margins (cover.h), in which x - y counts as 0 beyond the tile;
 * the inverse of such kernels fades faster than that. The first turn has the estimate. Each turn is a
 * tile: all are solved twice, first for how bright they become. An image of one tile is one turn.
 */
#include "purifier.h"

extern const struct purifier_kind purifier_deconvolve_kind;

enum { DECONVOLVE_STEPS = 12 };

struct deconvolve_values {
    char model[PARAM_TEXT_MAX];
    double damping, least;
    struct digest model_digest; /* set by `finish` */
};
/* The link's plan: read-only once made. */
struct deconvolve {
    float damping, least;
    struct purify_estimator cfg;
    struct nn_params *params;
};

struct deconvolve_kernel {
    int side; /* odd */
    float entry[PURIFY_ESTIMATOR_ENTRIES_MAX];
};
/* x - y of one plane: the d (h,w) with the least |rest - K d|^2 + damping |d|^2, where d is 0 beyond
   the plane. scratch: DECONVOLVE_SCRATCH times h*w floats. */
enum { DECONVOLVE_SCRATCH = 4 };
void deconvolve_plane(const struct deconvolve_kernel *k, float damping, int width, int height,
                      const float *rest, float *scratch, float *out);

#endif
