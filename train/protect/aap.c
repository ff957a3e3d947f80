/*
 * AAP, augmented adversarial poisoning (Wang, Zhu and Gao, "Efficient Availability Attacks against
 * Supervised and Contrastive Learning Simultaneously", NeurIPS 2024): TAP (tap.c) against contrastive
 * learning as well, in that the surrogate learns from, and each of 250 signed steps of eps/100 sees,
 * images under the strong augmentation of contrastive learning (strong.h). Each image is made to look
 * like the next class, (y+1) mod K, from zero.
 *
 * Their surrogate is trained for 40 epochs, learning rate .5, reached over the first quarter of them
 * and then falling to 0 by a cosine, weight decay 1e-4: ours five times the network's own rate. The
 * strength is .4 for 10 classes, .8 for 100.
 */
#include "protect/targeted.h"

#include <math.h>

static const struct param params[] = {
    TARGETED_ROWS("40", "250", "0.01"),
    {"strength", PARAM_DOUBLE, offsetof(struct targeted_param, strength), .lo = 0, .hi = 1,
     .standard = "0.4", .about = "of the augmentation"},
};

static float rate(double part)
{
    static const double warm = .25, first = .025, high = 5;
    if (part < warm)
        return (float)(high * fmax(part, first) / warm);
    return (float)(high * .5 * (1 + cos(3.14159265358979 * (part - warm) / (1 - warm))));
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    static const struct targeted_recipe recipe = {
        .ahead = 1, .taught = SIGHT_STRONG, .sight = SIGHT_STRONG, .decay = 1e-4f, .rate = rate};
    return targeted_prepare(j, &recipe, e);
}

const struct protect_method protect_aap = {
    .name = "aap",
    .summary = "as tap, under strong augmentation; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct targeted_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = targeted_row,
    .describe = targeted_describe,
    .done = targeted_done,
};
