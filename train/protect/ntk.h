#ifndef TRAIN_PROTECT_NTK_H
#define TRAIN_PROTECT_NTK_H
/*
 * ntk: the neural tangent kernel (Jacot, Gabriel and Hongler 2018) of a fully connected network of
 * infinite width, layers of (linear, erf), the last of which are its outputs, in closed form. With x, x'
 * two images' values, <.> the mean over them of a product, and a, b, c the covariances of (x,x),
 * (x',x'), (x,x') before an activation:
 *
 *     c_0 = w <x x'> + v                 t_0 = c_0                        w, v: variances of weights, biases
 *     c_(l+1) = w T(c_l) + v             t_(l+1) = c_(l+1) + w S(c_l) t_l
 *     kernel = S(c_(L-1)) t_(L-1)
 *     T = 2/pi asin(2c / sqrt((1+2a) (1+2b)))       (Williams 1998: the mean of erf erf')
 *     S = 4/pi / sqrt((1+2a) (1+2b) - 4c^2)         (that of their slopes)
 *
 * and a and b go the way of c, with themselves for a and b. Gradients are written out beside values.
 * Nothing here allocates; any thread.
 */

enum { NTK_LAYERS_MAX = 32 };
struct ntk {
    int layers;          /* 1..NTK_LAYERS_MAX */
    double weight, bias; /* variances */
};
/* self (layers): a_l of an image whose squares have this mean. */
void ntk_self(const struct ntk *k, double mean_square, double *self);
/* The kernel of two images with these selves; mean: <x x'>. */
double ntk_pair(const struct ntk *k, double mean, const double *self, const double *other);
/* Adds `weight` times the kernel's gradient: with respect to self and other to self_grad and other_grad
   (layers); returns that with respect to mean. */
double ntk_pair_gradient(const struct ntk *k, double mean, const double *self, const double *other,
                         double weight, double *self_grad, double *other_grad);
/* From a gradient with respect to self to that with respect to mean_square. */
double ntk_self_gradient(const struct ntk *k, const double *self, const double *self_grad);

#endif
