#include "protect/shift.h"

#include "stream.h"

#include <math.h>
#include <string.h>

struct shift shift_draw(struct nn_rng r, uint64_t at, float most)
{
    return (struct shift){.x = stream_uniform(r, at, -most, most),
                          .y = stream_uniform(r, at + 1, -most, most),
                          .mirror = nn_rng_u32(r, at + 2) & 1};
}

struct shift shift_draw_whole(struct nn_rng r, uint64_t at, int most)
{
    return (struct shift){.x = (float)(stream_below(nn_rng_u32(r, at), 2 * most + 1) - most),
                          .y = (float)(stream_below(nn_rng_u32(r, at + 1), 2 * most + 1) - most),
                          .mirror = nn_rng_u32(r, at + 2) & 1};
}

/* Where a value of the moved image lies in the other: the first of two, and the part of the second.
 */
static int place(int i, float by, float *out_part)
{
    float at = floorf(by);
    *out_part = by - at;
    return i + (int)at;
}

/* to += weight * from, C values. */
static void add(float weight, const float *from, int c, float *to)
{
    for (int k = 0; k < c; k++)
        to[k] += weight * from[k];
}

/* The four pixels of one image that a pixel of the other is made of; back: the other way round. */
static void blend(struct shift s, struct shift_frame f, int y, int x, const float *from, float *to,
                  bool back)
{
    int c = f.channels;
    float fy, fx;
    int y0 = place(y, s.y, &fy), x0 = place(s.mirror ? f.width - 1 - x : x, s.x, &fx);
    ptrdiff_t moved = ((ptrdiff_t)y * f.width + x) * c;
    for (int dy = 0; dy < 2; dy++)
        for (int dx = 0; dx < 2; dx++) {
            float weight = (dy ? fy : 1 - fy) * (dx ? fx : 1 - fx);
            int sy = y0 + dy, sx = x0 + dx;
            if (sy < 0 || sy >= f.height || sx < 0 || sx >= f.width)
                continue;
            ptrdiff_t still = ((ptrdiff_t)sy * f.width + sx) * c;
            add(weight, from + (back ? moved : still), c, to + (back ? still : moved));
        }
}

static void all(struct shift s, struct shift_frame f, const float *from, float *to, bool back)
{
    memset(to, 0, (size_t)f.width * (size_t)f.height * (size_t)f.channels * sizeof *to);
    for (int y = 0; y < f.height; y++)
        for (int x = 0; x < f.width; x++)
            blend(s, f, y, x, from, to, back);
}

void shift_image(struct shift s, struct shift_frame f, const float *in, float *out)
{
    all(s, f, in, out, false);
}

void shift_gradient(struct shift s, struct shift_frame f, const float *out, float *in)
{
    all(s, f, out, in, true);
}
