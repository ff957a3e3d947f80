#ifndef TRAIN_FOREIGN_H
#define TRAIN_FOREIGN_H
/*
 * Weights of our networks under the names that others give them: all behind some prefix ("module.",
 * "state_dict.", "net." …), "shortcut" for "downsample", "linear" for "fc" or the other way round.
 * Files of our own are the case in which nothing has to be translated. Private to train.
 */
#include "base/base.h"
#include "nn/nn.h"

#include <stdbool.h>

/* As nn_params_load. A tensor that is missing or of another shape is named. */
status train_foreign_load(const struct nn_file *f, struct nn_params *p, struct errmsg *e) MUST_USE;
/* Whether the file holds exactly these: every one of them, and no tensor more but counters. */
bool train_foreign_is(const struct nn_file *f, struct nn_params *p);
/* By the shapes of the first convolution and of the head; 0 when there is none. */
int train_foreign_channels(const struct nn_file *f);
int train_foreign_classes(const struct nn_file *f);

#endif
