#ifndef PURIFY_WINDOW_MEDIAN_H
#define PURIFY_WINDOW_MEDIAN_H
#include "window.h"

/* The median of each pixel's window, for channel c: out (width). For the first pass only, where
   values are whole numbers in 0..255. */
void window_median(const struct window *w, int c, uint8_t *out);

#endif
