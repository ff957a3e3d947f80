#ifndef TRAIN_UD_H
#define TRAIN_UD_H
/* ud: what the unlearnable distance (train.h) is made of. Private to train. */
#include "train.h"

#include <jansson.h>

/* The midpoint between the means of the two clusters of the least sum of squares within; of several,
   of those whose lower one is smallest. n of 2 or more; sorts v. */
double train_ud_threshold(double *v, int n);

#endif
