/* Shifts of colour: the same all over the image, or smoothly from one place to another. */
#include "family.h"

#include "stream.h"

enum { KNOTS_MAX = 4, AT_KNOTS = 4 };

/* Knot (row,column) of a channel: -1 to 1. */
static float knot(struct nn_rng r, int row, int column, int c)
{
    uint64_t at = (uint64_t)((row * KNOTS_MAX + column) * TRAIN_CHANNELS_MAX + c);
    return stream_uniform(r, AT_KNOTS + at, -1, 1);
}

/* Where pixel i of n lies between n_knots knots, the first and last of which are at the edges. */
static int between(int i, int n, int n_knots, float *out_part)
{
    float at = n > 1 ? (float)(i * (n_knots - 1)) / (float)(n - 1) : 0;
    int first = (int)at < n_knots - 1 ? (int)at : n_knots - 2;
    *out_part = at - (float)first;
    return first;
}

static float smooth(struct nn_rng r, struct family_frame f, int knots, int y, int x, int c)
{
    float down, right;
    int row = between(y, f.height, knots, &down), column = between(x, f.width, knots, &right);
    float above = knot(r, row, column, c) * (1 - right) + knot(r, row, column + 1, c) * right;
    float below =
        knot(r, row + 1, column, c) * (1 - right) + knot(r, row + 1, column + 1, c) * right;
    return above * (1 - down) + below * down;
}

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    int knots = 1 + stream_below(nn_rng_u32(d.r, 0), KNOTS_MAX);
    (void)state;
    (void)image;
    for (int y = 0; y < f.height; y++)
        for (int x = 0; x < f.width; x++)
            for (int c = 0; c < f.channels; c++)
                *out++ = d.amplitude *
                         (knots == 1 ? knot(d.r, 0, 0, c) : smooth(d.r, f, knots, y, x, c));
    return STATUS_OK;
}

const struct family_ops family_colour = {
    .is = {.name = "colour",
           .summary = "a shift of colour, constant or smooth",
           .share = 3,
           .told = "shifts of colour"},
    .make = make,
};
