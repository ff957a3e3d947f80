/*
 * REMN, robust error-minimising noise (Fu et al., "Robust Unlearnable Examples: Protecting Data
 * Against Adversarial Learning", ICLR 2022): robust.h, and what disturbs an image is an adversary, who
 * moves what the crop left of it up the surrogate's loss within the radius, in 10 steps of a fifth of
 * it from a random start. So all of it is min-min-max: surrogate and noise make small what adversarial
 * training would, in expectation over crops, and the noise is there still after the worst that
 * such training does to it within the radius. The adversary counts as a constant in gradients.
 *
 * A step of training evaluates the surrogate steps * draws * (ascent + 1) times for its noise and
 * ascent + 1 times for itself: 550 and 11 times with the published numbers; each image, at the end, as
 * often as the first. Fewer steps of ascent are longer ones, and reach as far.
 */
#include "protect/robust.h"

#include "stream.h"

static const struct param params[] = {ROBUST_ROWS(
    "of crop and adversary in a step of descent",
    "of an adversary; learning one batch takes steps * draws * (ascent + 1) evaluations")};

static status disturb(const struct protect_job *j, struct robust *m, uint64_t number, uint64_t draw)
{
    const struct robust_param *param = j->param;
    const struct surrogate *s = m->of.surrogate;
    uint64_t draws = (uint64_t)(param->steps * param->draws);
    surrogate_scale(s, s->x, (size_t)s->batch * s->row);
    return robust_ascend(j, m, stream(j->opt->seed, STREAM_NOISE, number * draws + draw), s->x);
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    return robust_prepare(j, disturb, e);
}

const struct protect_method protect_remn = {
    .name = "remn",
    .summary = "error-minimising noise that withstands adversarial training; at most 8/255 a value",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct robust_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = surrogate_delta_row,
    .describe = surrogate_describe,
    .done = robust_done,
};
