#ifndef TRAIN_RECIPES_LOSSES_H
#define TRAIN_RECIPES_LOSSES_H
/* losses: those that several recipes have. */
#include "recipe.h"

/* Cross entropy of the images' labels: the loss of a recipe that names none. */
extern const struct recipe_loss recipe_label_loss;
/* Cross entropy of rows of class weights, r->target: 1 for the image's own class until the recipe's
   `batch` changes them. */
extern const struct recipe_loss recipe_target_loss;

#endif
