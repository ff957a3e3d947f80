/* What a run does when no hook says otherwise. */
#include "recipe.h"

const struct recipe_ops recipe_standard = {
    .is = {.name = "standard",
           .summary = "SGD with momentum, cosine learning rate, cross entropy",
           .params = PARAM_NONE},
};
