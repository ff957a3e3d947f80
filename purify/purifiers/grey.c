/* grey: luma on all channels, as PIL's convert("L") has it; the shape stays. */
#include "window.h"

static void row(const struct window *w, float *out)
{
    const float *p = w->row[0];
    if (w->channels == 1) {
        for (int x = 0; x < w->width; x++)
            out[x] = p[x];
        return;
    }
    for (int x = 0; x < w->width; x++, p += 3, out += 3) {
        uint32_t luma = 19595u * (uint32_t)p[0] + 38470u * (uint32_t)p[1] + 7471u * (uint32_t)p[2];
        out[0] = out[1] = out[2] = (float)((luma + 32768) >> 16);
    }
}

const struct purifier_ops purifier_grey = {
    .name = "grey",
    .summary = "grey values instead of colours (ISS's Gray)",
    .version = 1,
    .params = PARAM_NONE,
    .kind = &purifier_window,
    .pixel_ns = 8,
    .row = row,
};
