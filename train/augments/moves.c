/* Augmentations that only say where pixels come from. */
#include "augment.h"

#include "stream.h"

struct crop {
    int pad;
};
static const struct param crop_rows[] = {
    {"pad", PARAM_INT, offsetof(struct crop, pad), .lo = 0, .hi = 4096, .standard = "4",
     .unit = "pixels", .about = "zeros around the image that the crop may reach into"},
};

static void crop(const void *params, struct nn_rng r, uint64_t at, struct augment_frame f,
                 struct augment_placing *p)
{
    int pad = ((const struct crop *)params)->pad;
    int spare_x = f.width - f.crop_w, spare_y = f.height - f.crop_h;
    p->x = stream_below(nn_rng_u32(r, at), spare_x + 2 * pad + 1) - pad;
    p->y = stream_below(nn_rng_u32(r, at + 1), spare_y + 2 * pad + 1) - pad;
}

static void flip(const void *params, struct nn_rng r, uint64_t at, struct augment_frame f,
                 struct augment_placing *p)
{
    (void)params;
    (void)f;
    p->mirror = nn_rng_u32(r, at + 2) & 1;
}

const struct augment_ops augment_moves[] = {
    {.is = {.name = "crop",
            .summary = "cut out at a random place",
            .params = PARAM_TABLE(crop_rows, struct crop)},
     .number = 1,
     .place = crop},
    {.is = {.name = "flip", .summary = "mirrored, half of the time", .params = PARAM_NONE},
     .number = 2,
     .place = flip},
    {.is = {.name = NULL}},
};
