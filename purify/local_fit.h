#ifndef PURIFY_LOCAL_FIT_H
#define PURIFY_LOCAL_FIT_H
/*
 * Linear fits of an image by a guide over square windows (He et al. 2010, section 3.4), for a block
 * of pixels: each channel of the input as offset + slopes * guide, by least squares with a ridge of
 * eps; at a pixel the fits of all windows that hold it are averaged.
 *
 *     local_fit_add of every pixel of the block
 *     local_fit_run
 *     local_fit_value of the pixels that are 2 radius and more from the block's sides
 */
#include <stddef.h>

/* Sums of a window: the guide, its products, the input, its products with the guide. */
enum { LOCAL_FIT_SUMS_MAX = 3 + 6 + 3 + 9 };

/* One block: side_x x side_y pixels, of which the inner ones are the output. */
struct local_fit {
    int channels, radius;
    double eps;
    int x, y, width, height; /* the output, in the image */
    int side_x, side_y;      /* with 2 radius around it */
    double *plane;           /* (LOCAL_FIT_SUMS_MAX,side_y,side_x) */
    double *guide;           /* (channels,side_y,side_x) */
    double *line;            /* (side_x) */
};

static inline size_t local_fit_area(const struct local_fit *b)
{
    return (size_t)b->side_x * (size_t)b->side_y;
}
/* Guide and input, (channels) each, of pixel k of the block. */
void local_fit_add(struct local_fit *b, size_t k, const double *guide, const double *in);
void local_fit_run(struct local_fit *b);
double local_fit_value(const struct local_fit *b, size_t k, int c);

#endif
