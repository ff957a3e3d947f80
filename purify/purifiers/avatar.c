/* avatar: one pass of an unconditional DDPM, as Dolatabadi et al. 2023 (AVATAR) purify: diffuse to
   t* = 100 of 1000, then 100 ancestral steps back. They have a score network and an Euler solver of
   the reverse SDE with steps of 1/1000; ancestral steps with variance beta are the same to first
   order. */
#include "diffusion.h"
#include "names.h"

static const struct param rows[] = {
    DIFFUSION_MODEL,    DIFFUSION_T_START("100"), DIFFUSION_STEPS("100"),
    DIFFUSION_ETA,      DIFFUSION_DETERMINISTIC,  DIFFUSION_AVERAGE,
    DIFFUSION_VARIANCE, DIFFUSION_OVERLAP,        DIFFUSION_PRECISION,
};

/* The rest of the values is zero: no guidance. */
static status finish(void *values, const char **out_key, struct errmsg *e)
{
    ((struct purify_jcdp *)values)->rounds = 1;
    return diffusion_finish(values, out_key, e);
}

const struct purifier_ops purifier_avatar = {
    .name = "avatar",
    .summary = "diffuse and denoise once, without guidance (AVATAR)",
    .version = 1,
    .params = PARAM_TABLE(rows, struct purify_jcdp),
    .kind = &purifier_diffusion,
    .finish = finish,
    .canonical = diffusion_canonical,
    .evaluations = diffusion_evaluations,
    .weights = diffusion_weights,
    .plan = diffusion_plan,
    .free = diffusion_free,
};
