/*
 * A convolution with a small random kernel, as CUDA does it (Sadasivan et al., CVPR 2023;
 * correlate.h): what is added is the blurred image less the image. The amplitude takes the place of
 * a bound: 16 are CUDA's own entries of up to .3. The change is several times that of other families,
 * and squares are what a restorer is trained by: hence the small share.
 */
#include "family.h"

#include "correlate.h"
#include "stream.h"

enum { SIDE = 3, ENTRIES = SIDE * SIDE };
static const float most_entry = .3f, most_amplitude = 16;

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    float kernel[ENTRIES], most = most_entry * d.amplitude / most_amplitude;
    size_t n = family_count(f);
    (void)state;
    correlate_draw(d.r, SIDE, most, kernel);
    correlate_bright(image, f.width, f.height, f.channels, kernel, SIDE, out);
    for (size_t i = 0; i < n; i++)
        out[i] -= (float)image[i];
    return STATUS_OK;
}

const struct family_ops family_blur = {
    .is = {.name = "blur",
           .summary = "the image through a small random kernel; the amplitude is no bound",
           .share = 1,
           .told = "a small filter of the image",
           .like = "CUDA"},
    .of_image = true,
    .make = make,
};
