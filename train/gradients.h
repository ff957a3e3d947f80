#ifndef TRAIN_GRADIENTS_H
#define TRAIN_GRADIENTS_H
/* gradients: the check between a backward pass and the optimiser's step. */
#include "nn/nn.h"

/* STATUS_CORRUPT, with a sentence that names the step, when the loss or the joint norm of the
   gradients is no finite number: nothing may be learned from them. Otherwise clips the norm to
   `clip` (0: does not). A network can have NaN in its gradients under a loss that looks right. */
status train_check_gradients(struct nn_params *p, double loss, float clip, int threads,
                             long long step, struct errmsg *e) MUST_USE;

#endif
