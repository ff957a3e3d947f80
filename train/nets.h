#ifndef TRAIN_NETS_H
#define TRAIN_NETS_H
#include "train.h"

/* Stage of a parameter by its name; -1 for the head. */
int train_net_stage_of(const struct train_net *net, const char *name);
/* The perceptual network that `percept` trains. */
struct purify_percept_cfg train_net_percept_cfg(struct train_net_shape s);

#endif
