#include "autoregress.h"

double autoregress_predict(const double *filter, const double *x, ptrdiff_t width)
{
    const double *above = x - 2 * width - 2, *left = x - width - 2, *row = x - 2;
    return filter[0] * above[0] + filter[1] * above[1] + filter[2] * above[2] +
           filter[3] * left[0] + filter[4] * left[1] + filter[5] * left[2] + filter[6] * row[0] +
           filter[7] * row[1];
}

void autoregress_sweep(const double *filter, double *x, int h, int w)
{
    for (int y = 2; y < h; y++)
        for (int i = 2; i < w; i++) {
            double *at = x + (ptrdiff_t)y * w + i;
            *at = autoregress_predict(filter, at, w);
        }
}
