/* DeVries & Taylor 2017: a hole in every image. */
#include "recipe.h"

struct options {
    int side;
};
static const struct param rows[] = {
    {"side", PARAM_INT, offsetof(struct options, side), .lo = 1, .hi = 4096, .standard = "16",
     .unit = "pixels", .about = "side of the hole"},
};

static status augment(const void *params, struct buf *out)
{
    return buf_addf(out, "%scutout:side=%d", out->len ? "," : "",
                    ((const struct options *)params)->side);
}

const struct recipe_ops recipe_cutout = {
    .is = {.name = "cutout",
           .summary = "standard with a black hole in every image",
           .params = PARAM_TABLE(rows, struct options)},
    .augment = augment,
};
