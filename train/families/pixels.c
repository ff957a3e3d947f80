/*
 * One or two pixels made black, white or a full colour (Wu et al., "One-Pixel Shortcut", ICLR 2023).
 * The amplitude has no part in it.
 */
#include "family.h"

#include "stream.h"

#include <string.h>

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    int n = 1 + stream_below(nn_rng_u32(d.r, 0), 2);
    (void)state;
    (void)image;
    memset(out, 0, family_count(f) * sizeof *out);
    for (int i = 0; i < n; i++) {
        uint64_t at = 4 * (uint64_t)(i + 1);
        int p = stream_below(nn_rng_u32(d.r, at), f.width * f.height);
        uint32_t signs = nn_rng_u32(d.r, at + 1);
        for (int c = 0; c < f.channels; c++)
            out[p * f.channels + c] = signs >> c & 1 ? 255 : -255;
    }
    return STATUS_OK;
}

const struct family_ops family_pixels = {
    .is = {.name = "pixels",
           .summary = "one or two pixels of an extreme colour, whatever the amplitude",
           .share = 4,
           .told = "one or two pixels of an extreme colour",
           .like = "OPS"},
    .make = make,
};
