/* denoise: Gaussian noise is added, which drowns what is weaker, and what a network says was added is
   subtracted (subtract.h). It is the purifier of Salman et al. 2020 ("Denoised Smoothing", arXiv
   2003.01908), and a round of jcdp with one step and no guidance, for a network that any size of
   image passes through at once. */
#include "subtract.h"

static const struct param rows[] = {
    {"model", PARAM_TEXT, SUBTRACT_ROW(model), .standard = "denoise",
     .about = "a restorer that was trained with --noise: a safetensors file, or the name of a "
              "shipped model"},
    {"noise", PARAM_FLOAT, SUBTRACT_ROW(how.noise), .lo = 0, .hi = 255, .standard = "18",
     .unit = "grey levels",
     .about = "deviation of what is added: more drowns more, of the image too"},
    SUBTRACT_PASSES,
    SUBTRACT_PRECISION,
};

static status finish(void *values, const char **out_key, struct errmsg *e)
{
    ((struct subtract_values *)values)->how.gain = 1;
    return subtract_finish(values, out_key, e);
}

const struct purifier_ops purifier_denoise = {
    .name = "denoise",
    .summary = "noise is added and, with what it drowned, taken away by a network",
    .version = 1,
    .params = PARAM_TABLE(rows, struct subtract_values),
    .kind = &purifier_subtract,
    .finish = finish,
    .canonical = subtract_canonical,
    .evaluations = subtract_evaluations,
    .weights = subtract_weights,
    .plan = subtract_plan,
    .free = subtract_free,
};
