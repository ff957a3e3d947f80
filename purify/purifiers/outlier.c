/* outlier: a pixel that is far from the median of its neighbourhood, in any channel, takes that
   median in all of them; the others stay as they are. For shortcuts of a single pixel (Wu et al.
   2023, One-Pixel Shortcut), which diffusion leaves. */
#include "window_median.h"

#include <math.h>
#include <string.h>

struct outlier {
    int side;
    int threshold;
};

static status finish(void *values, const char **out_key, struct errmsg *e)
{
    const struct outlier *o = values;
    *out_key = "side";
    return o->side % 2 ? STATUS_OK
                       : errmsg_set(e, STATUS_INVALID, "side is %d, not an odd number", o->side);
}

static int margin(const void *values)
{
    return ((const struct outlier *)values)->side / 2;
}

static void row(const struct window *w, float *out)
{
    const struct outlier *o = w->values;
    const float *own = w->row[w->margin];
    int n = w->channels;
    for (int c = 0; c < n; c++) {
        window_median(w, c, w->bytes);
        for (int x = 0; x < w->width; x++)
            out[x * n + c] = w->bytes[x];
    }
    for (int x = 0; x < w->width; x++, own += n, out += n) {
        bool far = false;
        for (int c = 0; c < n; c++)
            far |= fabsf(own[c] - out[c]) > (float)o->threshold;
        if (!far)
            memcpy(out, own, (size_t)n * sizeof *out);
    }
}

static const struct param rows[] = {
    {"side", PARAM_INT, offsetof(struct outlier, side), .lo = 3, .hi = 31, .standard = "3",
     .unit = "pixels, odd", .about = "side of the neighbourhood"},
    {"threshold", PARAM_INT, offsetof(struct outlier, threshold), .lo = 0, .hi = 255,
     .standard = "64", .unit = "grey levels", .about = "how far from the median is too far"},
};

const struct purifier_ops purifier_outlier = {
    .name = "outlier",
    .summary = "the median where a pixel is far from it (for one-pixel shortcuts)",
    .version = 1,
    .params = PARAM_TABLE(rows, struct outlier),
    .kind = &purifier_window,
    .pixel_ns = 90,
    .finish = finish,
    .margin = margin,
    .repeats_edge = true,
    .row = row,
};
