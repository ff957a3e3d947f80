#ifndef PURIFY_SUBTRACT_H
#define PURIFY_SUBTRACT_H
/*
 * Purifiers that predict an image's perturbation with a restorer (purify.h) and subtract it: restore,
 * and denoise, which adds noise first. Their values are a struct subtract_values, of which each has
 * parameters for some.
 *
 *     noisy = pixel + noise * n, n standard normals, neither clipped nor rounded
 *     noisy - gain * prediction of noisy, clipped and rounded half to even, `passes` times over
 *
 * Each pass reads the 8-bit pixels that the one before it wrote: without noise, two passes are what
 * one pass of one pass's output is. Where the root of the mean square of what a pass would change,
 * over the image and before the gain, is below `strength`, that pass changes nothing, and it is the last.
 *
 * n is drawn by place and pass, for a key that the pixels and the profile make (network_noise_key).
 *
 * An image is evaluated in tiles with margins (cover.h), so there is no seam. In f32 a tile rounds
 * otherwise in a plan of another shape, by 1e-4 grey levels before the last rounding, since
 * Winograd's sums are made in another order; in bf16 it was the same to the bit. So the tiles are
 * all of one shape, which follows from the image's own. Sides that are no multiple of the network's
 * unit are mirrored up to it, at the right and at the bottom; only what is in the image counts for
 * the strength.
 *
 * A grey image goes through a colour network as three equal channels, noise and all, and its
 * prediction is the mean of theirs.
 *
 * A turn is one tile in one pass. Turns are unequal, so what is left is counted in squares of 32x32
 * pixels, margins included, that go through all passes; images that fit one square go through a
 * plan of several together.
 */
#include "purifier.h"

extern const struct purifier_kind purifier_subtract;

enum { SUBTRACT_PASSES_MAX = 16 };

struct subtract_how {
    float gain;
    int passes;
    float strength; /* grey levels of 255; 0: every image is changed */
    float noise;    /* deviation, grey levels */
    enum nn_precision precision;
};
/* The link's plan: read-only once made. */
struct subtract {
    struct subtract_how how;
    struct digest profile; /* its id, for the noise */
    struct purify_restorer cfg;
    struct nn_params *params;
};
/* The network of the weights in f. *out is untouched on failure. */
status subtract_new(const struct subtract_how *how, const struct digest *profile,
                    const struct nn_file *f, struct subtract **out, struct errmsg *e) MUST_USE;
void subtract_free(void *plan);

/* ---- for struct purifier_ops ---- */

struct subtract_values {
    char model[PARAM_TEXT_MAX];
    struct subtract_how how;
    struct digest model_digest; /* set by subtract_finish */
};
status subtract_finish(void *values, const char **out_key, struct errmsg *e) MUST_USE;
status subtract_canonical(const struct param_table *t, const void *values,
                          struct buf *out) MUST_USE;
int subtract_evaluations(const void *values);
bool subtract_weights(const void *values, int i, struct purify_weights *out);
status subtract_plan(const void *values, const struct digest *id, void **out,
                     struct errmsg *e) MUST_USE;

/* Parameters that several of them have. */
#define SUBTRACT_ROW(member) offsetof(struct subtract_values, member)
#define SUBTRACT_PASSES                                                                            \
    {                                                                                              \
        "passes", PARAM_INT, SUBTRACT_ROW(how.passes),                                             \
            .lo = 1, .hi = SUBTRACT_PASSES_MAX, .standard = "1",                                   \
            .about = "how often it is done, each time to what came out"                            \
    }
#define SUBTRACT_PRECISION                                                                         \
    {                                                                                              \
        "precision", PARAM_ENUM, SUBTRACT_ROW(how.precision), .names = nn_precision_names,         \
                                                              .standard = "f32",                   \
                                                              .about = "the network's numbers "    \
                                                                       "(bf16: on a CPU that has " \
                                                                       "it)"                       \
    }

#endif
