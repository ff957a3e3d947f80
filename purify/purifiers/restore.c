/* restore: a network predicts the perturbation, which is subtracted (subtract.h). */
#include "subtract.h"

static const struct param rows[] = {
    {"model", PARAM_TEXT, SUBTRACT_ROW(model), .standard = "restore",
     .about = "the restorer: a safetensors file, or the name of a shipped model"},
    {"gain", PARAM_FLOAT, SUBTRACT_ROW(how.gain), .lo = 0, .hi = 16, .standard = "1",
     .about = "how many times the prediction is subtracted"},
    SUBTRACT_PASSES,
    {"strength", PARAM_FLOAT, SUBTRACT_ROW(how.strength), .lo = 0, .hi = 255, .standard = "0",
     .unit = "grey levels",
     .about = "images of which less is predicted (root of the mean square) are left as they are"},
    SUBTRACT_PRECISION,
};

const struct purifier_ops purifier_restore = {
    .name = "restore",
    .summary = "the perturbation, predicted by a network that knows families of protections but no "
               "keys, is subtracted",
    .version = 1,
    .params = PARAM_TABLE(rows, struct subtract_values),
    .kind = &purifier_subtract,
    .finish = subtract_finish,
    .canonical = subtract_canonical,
    .evaluations = subtract_evaluations,
    .weights = subtract_weights,
    .plan = subtract_plan,
    .free = subtract_free,
};
