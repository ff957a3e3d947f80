/* median: each value is the median of its neighbourhood in its channel, as OpenCV's medianBlur;
   beyond the edge, the edge goes on. */
#include "window_median.h"

struct median {
    int side;
};

static status finish(void *values, const char **out_key, struct errmsg *e)
{
    const struct median *m = values;
    *out_key = "side";
    return m->side % 2 ? STATUS_OK
                       : errmsg_set(e, STATUS_INVALID, "side is %d, not an odd number", m->side);
}

static int margin(const void *values)
{
    return ((const struct median *)values)->side / 2;
}

static void row(const struct window *w, float *out)
{
    for (int c = 0; c < w->channels; c++) {
        window_median(w, c, w->bytes);
        for (int x = 0; x < w->width; x++)
            out[x * w->channels + c] = w->bytes[x];
    }
}

static const struct param rows[] = {
    {"side", PARAM_INT, offsetof(struct median, side), .lo = 3, .hi = 31, .standard = "3",
     .unit = "pixels, odd", .about = "side of the neighbourhood"},
};

const struct purifier_ops purifier_median = {
    .name = "median",
    .summary = "the median of the neighbourhood, in each channel",
    .version = 1,
    .params = PARAM_TABLE(rows, struct median),
    .kind = &purifier_window,
    .pixel_ns = 80,
    .finish = finish,
    .margin = margin,
    .repeats_edge = true,
    .row = row,
};
