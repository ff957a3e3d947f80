#ifndef TRAIN_PIXELS_H
#define TRAIN_PIXELS_H
/*
 * Plain changes of 8-bit images: size, channels. (H,W,C) row-major. Results are rounded half up.
 * Each call replaces what img owns, or leaves it unchanged on failure. Reentrant.
 */
#include "base/base.h"
#include "image/image.h"

/* Averages factor x factor boxes. STATUS_INVALID when a side is not a multiple of factor. */
status train_pixels_downscale(struct image *img, int factor, struct errmsg *e) MUST_USE;
/* To w x h, each axis by itself: area average where it shrinks, linear between pixel centres where
   it grows (edges repeated). The aspect ratio is not kept. */
status train_pixels_resize(struct image *img, int w, int h) MUST_USE;
/* Rec. 601 luma, or grey repeated. channels 1 or 3. */
status train_pixels_convert(struct image *img, int channels) MUST_USE;

#endif
