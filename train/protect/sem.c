/*
 * SEM, stable error-minimising noise (Liu et al., "Stable Unlearnable Example: Enhancing the
 * Robustness of Unlearnable Examples via Stable Error-Minimizing Noise", AAAI 2024): robust.h, and what
 * disturbs an image is noise from U(-radius,radius). REMN (remn.c) has an adversary there, at eleven
 * times the cost.
 */
#include "protect/robust.h"

#include "clamp.h"

#include "stream.h"

static const struct param params[] = {
    ROBUST_ROWS("of crop and noise in a step", "of ascent on an image that the surrogate learns")};

static status disturb(const struct protect_job *j, struct robust *m, uint64_t number, uint64_t draw)
{
    const struct robust_param *param = j->param;
    const struct surrogate *s = m->of.surrogate;
    size_t n = (size_t)s->batch * s->row;
    const struct nn_rng r = stream(j->opt->seed, STREAM_NOISE, number);
    float far = (float)(param->radius / 255);
    for (size_t p = 0; p < n; p++)
        s->x[p] = clamp(s->x[p] + stream_uniform(r, draw * n + p, -far, far), 0, 1);
    surrogate_scale(s, s->x, n);
    return STATUS_OK;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    return robust_prepare(j, disturb, e);
}

const struct protect_method protect_sem = {
    .name = "sem",
    .summary = "error-minimising noise that withstands crops and noise; at most 8/255 a value",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct robust_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = surrogate_delta_row,
    .describe = surrogate_describe,
    .done = robust_done,
};
