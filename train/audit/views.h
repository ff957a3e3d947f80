#ifndef TRAIN_AUDIT_VIEWS_H
#define TRAIN_AUDIT_VIEWS_H
/*
 * views: what of an image a class should not be readable from, unless something was added to the image
 * for each class. All work on the residual, the image without a Gaussian blur of .7 pixels, in grey
 * levels.
 *
 * pattern: the residual where the image is smooth: where the root of its mean square, under a
 *   Gaussian of 1.5 pixels and of the strongest channel, is below 16 grey levels. Edges of objects are
 *   mostly left out, and added noise of 8/255 or less is kept.
 * texture: what neighbours in that have to do with each other: covariances of all channels with all at
 *   distances of up to 2 pixels, over the mean square, and the logarithm of each channel's variance.
 *   Independent of where in the image it is.
 * spot: the one pixel that differs most from the median of its 3x3 neighbourhood, by how much; zero
 *   elsewhere.
 *
 * Private to train; pure, any thread.
 */
#include "base/base.h"

#include <stdint.h>

enum view { VIEW_PATTERN, VIEW_TEXTURE, VIEW_SPOT, VIEW_COUNT };
struct view_frame {
    int width, height, channels; /* 1 or 3; each side at least VIEW_SIDE_MIN */
};
enum { VIEW_SIDE_MIN = 8 };

/* Floats of a view of one image. */
size_t view_size(enum view v, struct view_frame f);
/* The middle of an image of 8-bit pixels (height,width,C), at least as large -> (H,W,C). */
void view_middle(struct view_frame f, const uint8_t *pixels, int width, int height, float *out);
/* image (H,W,C) in grey levels -> view_size floats. NOMEM. */
status view_make(enum view v, struct view_frame f, const float *image, float *out) MUST_USE;

#endif
