/* White noise: values that have nothing to do with each other, normal or of either extreme. */
#include "family.h"

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    bool signs = nn_rng_u32(d.r, 0) & 1;
    size_t n = family_count(f);
    (void)state;
    (void)image;
    nn_rng_normal(d.r, 2, out, n);
    for (size_t i = 0; i < n; i++)
        out[i] = d.amplitude * (signs ? out[i] < 0 ? -1 : 1 : family_bounded(out[i]));
    return STATUS_OK;
}

const struct family_ops family_white = {
    .is = {.name = "white",
           .summary = "white noise, normal or of two values",
           .share = 6,
           FAMILY_TOLD_NOISE},
    .make = make,
};
