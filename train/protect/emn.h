#ifndef TRAIN_PROTECT_EMN_H
#define TRAIN_PROTECT_EMN_H
#include "protect/protect.h"

/* One signed descent step on n values, from the image x + delta clipped to [0,1]; delta stays within
   eps. */
void protect_emn_descend(const float *x, const float *grad, float step, float eps, float *delta,
                         size_t n);

#endif
