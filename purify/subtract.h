#ifndef PURIFY_SUBTRACT_H
#define PURIFY_SUBTRACT_H
/*
 * Purifiers that predict an image's perturbation with a restorer (purify.h) and subtract it.
 *
 *     pixel - gain * prediction, clipped and rounded half to even, `passes` times over
 *
 * Each pass reads the 8-bit pixels that the one before it wrote: two passes are what one pass of
 * one pass's output is. Where the root of the mean square of a pass's prediction, over the image
 * and before the gain, is below `strength`, that pass changes nothing, and it is the last.
 *
 * An image is evaluated in tiles with margins (cover.h), so there is no seam. In f32 a tile rounds
 * otherwise in a plan of another shape, by 1e-4 grey levels before the last rounding, since
 * Winograd's sums are made in another order; in bf16 it was the same to the bit. So the tiles are
 * all of one shape, which follows from the image's own. Sides that are no multiple of the network's
 * unit are mirrored up to it, at the right and at the bottom; only what is in the image counts for
 * the strength.
 *
 * A grey image goes through a colour network as three equal channels, and its prediction is the
 * mean of theirs.
 *
 * A turn is one tile in one pass. Turns are unequal, so what is left is counted in squares of 32x32
 * pixels, margins included, that go through all passes; images that fit one square go through a
 * plan of several together.
 */
#include "purifier.h"

extern const struct purifier_kind purifier_subtract;

struct subtract_how {
    float gain;
    int passes;
    float strength; /* grey levels of 255; 0: every image is changed */
    enum nn_precision precision;
};
/* The link's plan: read-only once made. */
struct subtract {
    struct subtract_how how;
    struct purify_restorer cfg;
    struct nn_params *params;
};
/* The network of the weights in f. *out is untouched on failure. */
status subtract_new(const struct subtract_how *how, const struct nn_file *f, struct subtract **out,
                    struct errmsg *e) MUST_USE;
void subtract_free(void *plan);

#endif
