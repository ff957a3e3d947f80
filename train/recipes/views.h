#ifndef TRAIN_RECIPES_VIEWS_H
#define TRAIN_RECIPES_VIEWS_H
/*
 * views: images of a batch as augmentations make them, for recipes that decide in a step which images
 * are seen in that way. A view is a pure function of (seed, draw, epoch, place in the epoch, image).
 *
 *     check: recipe_views_check(text, e)
 *     open:  recipe_views_open(&v, r, text, e)      close: recipe_views_done(&v)
 *     batch: recipe_view(&v, r, draw, i, in, out)
 */
#include "augment.h"
#include "recipe.h"

struct recipe_views {
    struct augment_list list;
    float *spare; /* an image */
};

/* Whether `augment`, written as in --augment, is a list of rows that work on pixels; INVALID says why
   not. */
status recipe_views_check(const char *augment, struct errmsg *e) MUST_USE;
/* Of zeros; recipe_views_done also after a failure. */
status recipe_views_open(struct recipe_views *v, const struct run *r, const char *augment,
                         struct errmsg *e) MUST_USE;
void recipe_views_done(struct recipe_views *v);
size_t recipe_views_row(const struct run *r); /* floats of an image */
/* Image i of the batch in view number `draw`, scaled for the network, as `in` is, which may be `out`.
 */
status recipe_view(const struct recipe_views *v, const struct run *r, int draw, int i,
                   const float *in, float *out) MUST_USE;

#endif
