/* depth: the upper bits of each value, as PIL's ImageOps.posterize keeps them (ISS's BDR, which is
   torchvision's RandomPosterize with probability 1: the same). */
#include "window.h"

struct depth {
    int bits;
};

static void row(const struct window *w, float *out)
{
    const struct depth *d = w->values;
    unsigned mask = 0xffu << (8 - d->bits) & 0xffu;
    for (int k = 0; k < w->width * w->channels; k++)
        out[k] = (float)((unsigned)w->row[0][k] & mask);
}

static const struct param rows[] = {
    {"bits", PARAM_INT, offsetof(struct depth, bits), .lo = 1, .hi = 8, .standard = "2",
     .about = "how many of a value's eight bits are kept, from the top"},
};

const struct purifier_ops purifier_depth = {
    .name = "depth",
    .summary = "fewer bits for each value (ISS's BDR)",
    .version = 1,
    .params = PARAM_TABLE(rows, struct depth),
    .kind = &purifier_window,
    .pixel_ns = 7,
    .row = row,
};
