/*
 * TAP, targeted adversarial poisoning (Fowl et al., "Adversarial Examples Make Strong Poisons", NeurIPS
 * 2021). Each image is made to look like the next class, (y+1) mod K, to a network that knows the
 * classes: 250 signed steps of eps/20 from N(0, eps^2) within eps, each on the image shifted by up
 * to an eighth of its side and mirrored half of the time. The authors take the best of 8 restarts,
 * by the mean loss over all images (theirs of the last step's augmented images, ours of the images
 * as they will be), and say of one that it is cheaper and may be weaker.
 *
 * Their surrogate is trained for 40 epochs, learning rate .1, a tenth of it after 3/8, 5/8 and 7/8 of
 * them, weight decay 5e-4.
 */
#include "protect/targeted.h"

static const struct param params[] = {
    TARGETED_ROWS("40", "250", "0.05"),
    {"restarts", PARAM_INT, offsetof(struct targeted_param, restarts), .lo = 1, .hi = 1000,
     .standard = "8",
     .about = "of all images' descent, of which the best counts; 1 is the cheapest"},
};

static float rate(double part)
{
    return part < 3. / 8 ? 1 : part < 5. / 8 ? .1f : part < 7. / 8 ? .01f : .001f;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    static const struct targeted_recipe recipe = {.ahead = 1,
                                                  .normal_start = true,
                                                  .taught = SIGHT_SHIFTED,
                                                  .sight = SIGHT_SHIFTED,
                                                  .decay = 5e-4f,
                                                  .rate = rate};
    return targeted_prepare(j, &recipe, e);
}

const struct protect_method protect_tap = {
    .name = "tap",
    .summary = "adversarial noise towards the next class; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct targeted_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = targeted_row,
    .describe = targeted_describe,
    .done = targeted_done,
};
