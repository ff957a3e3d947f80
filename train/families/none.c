/* Images that carry nothing: a restorer leaves them alone. */
#include "family.h"

#include <string.h>

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    (void)state;
    (void)d;
    (void)image;
    memset(out, 0, family_count(f) * sizeof *out);
    return STATUS_OK;
}

const struct family_ops family_none = {
    .is = {.name = "none", .summary = "nothing: images that are not protected", .share = 8},
    .make = make,
};
