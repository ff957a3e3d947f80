/* jpeg: what saving as a JPEG and reading it again leaves, as PIL does both (ISS's JPEG). */
#include "whole.h"

struct jpeg {
    int quality;
};

static status round_trip(const struct whole *w, struct errmsg *e)
{
    const struct jpeg *j = w->values;
    return image_jpeg_round_trip(w->job.in, j->quality, w->job.out, e);
}

static size_t bytes(const void *values, const struct image *img)
{
    (void)values;
    return 2 * image_pixel_bytes(img); /* a file of quality 100, and its pixels */
}

static const struct param rows[] = {
    {"quality", PARAM_INT, offsetof(struct jpeg, quality), .lo = 1, .hi = 100, .standard = "10",
     .about = "of the JPEG"},
};

const struct purifier_ops purifier_jpeg = {
    .name = "jpeg",
    .summary = "saved as a JPEG and read again (ISS's JPEG)",
    .version = 1,
    .params = PARAM_TABLE(rows, struct jpeg),
    .kind = &purifier_whole,
    .pixel_ns = 15,
    .bytes = bytes,
    .whole = round_trip,
};
