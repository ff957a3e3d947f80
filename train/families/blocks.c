/*
 * Squares of one value for each channel: what LSP (Yu et al., KDD 2022) adds, whose squares have
 * sides of 8 pixels and begin in the corner. Here sides are 2 to 16, the first square begins in the
 * corner or anywhere before it, and values are normal or of either extreme.
 */
#include "family.h"

#include "stream.h"

enum { LEAST_SIDE = 2, SIDES = 4 };

static int squares(int length, int side)
{
    return (length + side - 1) / side + 1; /* one more, as the first may begin before the corner */
}

static status begin(struct family_frame f, void **out_state, struct errmsg *e)
{
    (void)e;
    return family_buffer((size_t)squares(f.width, LEAST_SIDE) *
                             (size_t)squares(f.height, LEAST_SIDE) * (size_t)f.channels,
                         out_state);
}

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    float *value = state;
    int side = LEAST_SIDE << stream_below(nn_rng_u32(d.r, 0), SIDES);
    uint32_t coins = nn_rng_u32(d.r, 1);
    bool signs = coins & 1, shifted = coins & 2;
    int left = shifted ? stream_below(nn_rng_u32(d.r, 2), side) : 0;
    int top = shifted ? stream_below(nn_rng_u32(d.r, 3), side) : 0;
    int columns = squares(f.width, side), n = columns * squares(f.height, side) * f.channels;
    (void)image;
    nn_rng_normal(d.r, 4, value, (size_t)n);
    for (int i = 0; i < n; i++)
        value[i] = d.amplitude * (signs ? value[i] < 0 ? -1 : 1 : family_bounded(value[i]));
    for (int y = 0; y < f.height; y++)
        for (int x = 0; x < f.width; x++)
            for (int c = 0; c < f.channels; c++)
                *out++ = value[((y + top) / side * columns + (x + left) / side) * f.channels + c];
    return STATUS_OK;
}

const struct family_ops family_blocks = {
    .is = {.name = "blocks",
           .summary = "squares of 2 to 16 pixels, each of one colour",
           .share = 22,
           .told = "squares of one colour each",
           .like = "LSP"},
    .begin = begin,
    .end = family_buffer_end,
    .make = make,
};
