#ifndef TRAIN_AUTOREGRESS_H
#define TRAIN_AUTOREGRESS_H
/* autoregress: noise of which every value is given by the eight before it in its 3x3 window, as AR
   (train/protect/ar.c) adds it. Private to train. */
#include <stddef.h>

enum { AUTOREGRESS_TAPS = 8 };

/* The filter, row by row, applied to the window whose last entry is x; rows are `width` apart. */
double autoregress_predict(const double *filter, const double *x, ptrdiff_t width);
/* x (h,w), normal numbers at first: from (2,2) on, row by row, each becomes what is predicted. */
void autoregress_sweep(const double *filter, double *x, int h, int w);

#endif
