#ifndef NN_OPS_XENT_H
#define NN_OPS_XENT_H
/* What the reference kernels of both cross entropies share. */

/* log(sum exp(x[0..k-1])), k >= 1 */
double nn_log_sum_exp(const float *x, int k);

#endif
