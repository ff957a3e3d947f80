#ifndef NN_OPENBLAS_H
#define NN_OPENBLAS_H
/*
 * openblas: products in f32 by OpenBLAS's sgemm, the portable device and the oracle of the others.
 *
 * Parallelism is ours: each of our threads calls sgemm on its own part, and OpenBLAS itself is told
 * once, when the first plan opens the device, to stay on the calling thread. Products are made per
 * image, so that a sample's bits do not depend on the batch around it. bf16 tensors are converted
 * on the way in and out; arithmetic is always f32.
 */
#include "kernels/kernels.h"

extern const struct nn_kernel nn_openblas_conv2d, nn_openblas_conv2d_data,
    nn_openblas_conv2d_weights, nn_openblas_attention, nn_openblas_attention_back,
    nn_openblas_linear, nn_openblas_linear_data, nn_openblas_linear_weights;

/* Row-major c (m,n) = alpha op(a) op(b) + beta c; lda, ldb, ldc are row lengths. */
void nn_gemm(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda,
             const float *b, int ldb, float beta, float *c, int ldc);

#endif
