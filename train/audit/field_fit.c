#include "audit/field.h"

#include "autoregress.h"

#include <math.h>
#include <string.h>

void field_fit_add(struct field_fit *f, const double *x, double y)
{
    for (int i = 0; i < f->n; i++) {
        for (int j = 0; j <= i; j++)
            f->xx[i][j] += x[i] * x[j];
        f->xy[i] += x[i] * y;
    }
    f->yy += y * y;
}

/* The solution's part of y^2 is |L^-1 xy|^2, with L L' = xx: of a Cholesky factor, row by row. */
double field_fit_share(const struct field_fit *f)
{
    double l[FIT_MAX][FIT_MAX], z[FIT_MAX], share = 0, ridge = 0;
    for (int i = 0; i < f->n; i++)
        ridge += 1e-4 * f->xx[i][i] / f->n;
    for (int i = 0; i < f->n; i++) {
        for (int j = 0; j <= i; j++) {
            double v = f->xx[i][j] + (i == j ? ridge + 1e-9 : 0);
            for (int k = 0; k < j; k++)
                v -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(fmax(v, 1e-12)) : v / l[j][j];
        }
        z[i] = f->xy[i];
        for (int k = 0; k < i; k++)
            z[i] -= l[i][k] * z[k];
        z[i] /= l[i][i];
        share += z[i] * z[i];
    }
    share /= f->yy + 1e-9;
    return share > 1 ? 1 : share;
}

void field_fit_before(struct squares s, const float *r, int channel, struct field_fit *f)
{
    int c = s.channels;
    f->n = AUTOREGRESS_TAPS;
    for (int y = 2; y < s.side; y++)
        for (int x = 2; x < s.side; x++) {
            double before[AUTOREGRESS_TAPS];
            for (int i = 0; i < AUTOREGRESS_TAPS; i++)
                before[i] = (double)r[((y - 2 + i / 3) * s.side + x - 2 + i % 3) * c + channel];
            field_fit_add(f, before, (double)r[(y * s.side + x) * c + channel]);
        }
}
