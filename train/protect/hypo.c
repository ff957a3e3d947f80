/*
 * HYPO, hypocritical perturbations (Tao et al., "Better Safe Than Sorry: Preventing Delusive
 * Adversaries with Adversarial Training", NeurIPS 2021, P2). Each image is made to look more like its
 * own class to a network that was trained on all: 100 signed steps down its loss, from zero, on the
 * image as it is. The authors bound the L2 norm by .5 and take steps of eps/5; this is the variant bound by
 * eps for each value, with steps of eps/10, that tables of protections have.
 *
 * Their surrogate is trained for 150 epochs, learning rate .1, a tenth of it after 2/3 and 5/6 of
 * them.
 */
#include "protect/targeted.h"

static const struct param params[] = {TARGETED_ROWS("150", "100", "0.1")};

static float rate(double part)
{
    return part < 2. / 3 ? 1 : part < 5. / 6 ? .1f : .01f;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    static const struct targeted_recipe recipe = {
        .taught = SIGHT_SHIFTED, .sight = SIGHT_PLAIN, .decay = 5e-4f, .rate = rate};
    return targeted_prepare(j, &recipe, e);
}

const struct protect_method protect_hypo = {
    .name = "hypo",
    .summary = "noise that makes a class look more like itself; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct targeted_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = targeted_row,
    .describe = targeted_describe,
    .done = targeted_done,
};
