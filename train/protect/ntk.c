#include "protect/ntk.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double mean_of_erf(double a, double b, double c)
{
    return 2 / pi * asin(2 * c / sqrt((1 + 2 * a) * (1 + 2 * b)));
}

/* At least 1 where c^2 <= ab. */
static double determinant(double a, double b, double c)
{
    return (1 + 2 * a) * (1 + 2 * b) - 4 * c * c;
}

static double mean_of_slope(double a, double b, double c)
{
    return 4 / pi / sqrt(determinant(a, b, c));
}

void ntk_self(const struct ntk *k, double mean_square, double *self)
{
    self[0] = k->weight * mean_square + k->bias;
    for (int l = 1; l < k->layers; l++) {
        double a = self[l - 1];
        self[l] = k->weight * mean_of_erf(a, a, a) + k->bias;
    }
}

double ntk_self_gradient(const struct ntk *k, const double *self, const double *self_grad)
{
    double grad = self_grad[k->layers - 1];
    for (int l = k->layers - 2; l >= 0; l--) {
        double slope = 4 / pi / ((1 + 2 * self[l]) * sqrt(1 + 4 * self[l]));
        grad = self_grad[l] + grad * k->weight * slope;
    }
    return grad * k->weight;
}

/* What the layers make of two images. */
struct course {
    double c[NTK_LAYERS_MAX], t[NTK_LAYERS_MAX], slope[NTK_LAYERS_MAX];
};

static double run(const struct ntk *k, double mean, const double *a, const double *b,
                  struct course *o)
{
    int last = k->layers - 1;
    o->c[0] = o->t[0] = k->weight * mean + k->bias;
    for (int l = 0; l <= last; l++) {
        o->slope[l] = mean_of_slope(a[l], b[l], o->c[l]);
        if (l == last)
            break;
        o->c[l + 1] = k->weight * mean_of_erf(a[l], b[l], o->c[l]) + k->bias;
        o->t[l + 1] = o->c[l + 1] + k->weight * o->slope[l] * o->t[l];
    }
    return o->slope[last] * o->t[last];
}

double ntk_pair(const struct ntk *k, double mean, const double *self, const double *other)
{
    struct course o;
    return run(k, mean, self, other, &o);
}

double ntk_pair_gradient(const struct ntk *k, double mean, const double *self, const double *other,
                         double weight, double *self_grad, double *other_grad)
{
    struct course o;
    (void)run(k, mean, self, other, &o);
    /* With respect to t_(l+1) and c_(l+1), the latter by itself and not by way of t_(l+1). */
    double by_t = weight, by_c = 0, scale = 1;
    for (int l = k->layers - 1; l >= 0; l--) {
        double a = self[l], b = other[l], c = o.c[l], slope = o.slope[l];
        double by_slope = by_t * scale * o.t[l] * slope / determinant(a, b, c);
        double by_erf = l == k->layers - 1 ? 0 : (by_t + by_c) * k->weight * slope;
        self_grad[l] -= by_erf * c / (1 + 2 * a) + by_slope * (1 + 2 * b);
        other_grad[l] -= by_erf * c / (1 + 2 * b) + by_slope * (1 + 2 * a);
        by_c = by_erf + by_slope * 4 * c;
        by_t *= scale * slope;
        scale = k->weight;
    }
    return (by_t + by_c) * k->weight;
}
