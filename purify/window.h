#ifndef PURIFY_WINDOW_H
#define PURIFY_WINDOW_H
/*
 * Purifiers that compute a row of pixels from the rows around it, in one pass or several. Values
 * are floats in [0,255]; between the passes of one purifier they are not rounded, at its end they
 * are clipped and rounded half to even. Beyond its edge an image is mirrored without repeating the
 * edge (OpenCV's default), a side of one pixel is constant; or the edge pixels are repeated
 * (repeats_edge).
 *
 * Rows are computed in place, with the margin's rows kept as they were: a run takes the result and,
 * for several passes, one copy in floats.
 */
#include "purifier.h"

extern const struct purifier_kind purifier_window;

enum { WINDOW_MARGIN_MAX = 31 };
/* What a purifier's row() is given. */
struct window {
    const void *values, *plan;
    int margin;
    int width, channels;
    /* (width,channels) of 2 margin + 1 rows, row[margin] that which is wanted; each is extended by
       `margin` pixels on either side. */
    const float *row[2 * WINDOW_MARGIN_MAX + 1];
    /* Scratch memory for row(): line is as long as a row with its margins, bytes is (width). */
    float *line;
    uint8_t *bytes;
};

/* Pixel i of n, mirrored into 0..n-1. */
int window_mirror(int i, int n);

#endif
