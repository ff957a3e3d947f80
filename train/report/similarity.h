#ifndef TRAIN_REPORT_SIMILARITY_H
#define TRAIN_REPORT_SIMILARITY_H
/* similarity: how near one image is to another of the same size and channels. Alpha has no part. */
#include "base/base.h"
#include "image/image.h"

/* Sum over pixels and channels of the squared difference; *out_n: how many there are. */
double train_square_error(const struct image *a, const struct image *b, double *out_n);
/* 10 log10(255^2 n / sum), dB; INFINITY for equal images. */
double train_psnr(double square_error, double n);
/*
 * Structural similarity, Wang et al. 2004 (IEEE TIP 13(4), eq. 13): 11x11 windows with Gaussian
 * weights (sigma 1.5), K1 = 0.01, K2 = 0.03, L = 255, the mean over all windows that lie within the
 * image, and over channels. 1 for equal images; *out NAN where a side is shorter than a window.
 */
status train_ssim(const struct image *a, const struct image *b, double *out) MUST_USE;

#endif
