#ifndef NN_PATCHES_H
#define NN_PATCHES_H
/*
 * patches: the geometry of a convolution as a matrix product, and im2col.
 *
 * A block of output pixels becomes rows of patches: row = pixel, column = (i, j, c). A 1x1
 * convolution with stride 1 and no padding needs no patches: the image is the matrix.
 *
 * Names: K = Kh*Kw*C/groups columns of a patch, per group O/groups outputs.
 */
#include "openblas/openblas.h"

/* A convolution in the form the product needs: from (src) to (dst), for one of the three ops. */
struct nn_patches {
    int n, h, w, c; /* the image that patches are copied from */
    int p, q, o;    /* the image that has one pixel per patch */
    int kh, kw, stride, top, left;
    int groups, cg, og, k; /* per group: channels in, channels out, patch columns */
    int block;             /* patches at a time */
    bool direct;           /* patches are the image itself */
};
/* The geometry of each op. For the data gradient as a convolution image and pixels change places. */
struct nn_patches nn_patches_of(const struct nn_step *s);
/* Whether the data gradient of the step is itself a convolution, of dy with the flipped kernel. */
bool nn_patches_data_is_conv(const struct nn_step *s);
/* How many threads the products of all patches pay for. */
int nn_patches_threads(const struct nn_step *s, const struct nn_patches *g);

/* n elements from `at` on, f32 or bf16, as floats. */
void nn_patches_floats(const struct nn_tensor *t, int64_t at, int n, float *to);
/* Fills rows first..first+rows-1 of image n, group `group`, into out (rows, k). */
void nn_patches_im2col(const struct nn_patches *g, const struct nn_tensor *t, int n, int group,
                       int first, int rows, float *out);
/* Adds rows of patches to the pixels they are copies of, in image (H,W,C). */
void nn_patches_col2im(const struct nn_patches *g, const float *in, int group, int first, int rows,
                       float *image);
/* Index in w (O,C/groups,Kh,Kw) of the weight that links output o and patch column (i,j,c) of
 * group. */
static inline int64_t nn_patches_weight(int cg, int kh, int kw, int o, int c, int i, int j)
{
    return (((int64_t)o * cg + c) * kh + i) * kw + j;
}

#endif
