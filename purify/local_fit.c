#include "local_fit.h"

#include <math.h>
#include <string.h>

void local_fit_add(struct local_fit *b, size_t k, const double *guide, const double *in)
{
    int n = b->channels, at = 0;
    size_t step = local_fit_area(b);
    for (int c = 0; c < n; c++)
        b->plane[(size_t)at++ * step + k] = guide[c];
    for (int c = 0; c < n; c++)
        for (int d = c; d < n; d++)
            b->plane[(size_t)at++ * step + k] = guide[c] * guide[d];
    for (int c = 0; c < n; c++)
        b->plane[(size_t)at++ * step + k] = in[c];
    for (int c = 0; c < n; c++)
        for (int d = 0; d < n; d++)
            b->plane[(size_t)at++ * step + k] = in[c] * guide[d];
    for (int c = 0; c < n; c++)
        b->guide[(size_t)c * step + k] = guide[c];
}

/* Means over windows of a plane, in place: of side_x x side_y values, those that are `inset` and
   more from its sides become means of what is up to a radius around them. */
static void box(const struct local_fit *b, double *plane, int inset)
{
    int r = b->radius, w = b->side_x;
    double scale = 1.0 / ((2 * r + 1) * (2 * r + 1));
    for (int y = 0; y < b->side_y; y++) {
        double *p = plane + (size_t)y * (size_t)w;
        for (int x = inset; x < w - inset; x++) {
            double sum = 0;
            for (int d = -r; d <= r; d++)
                sum += p[x + d];
            b->line[x] = sum;
        }
        memcpy(p + inset, b->line + inset, (size_t)(w - 2 * inset) * sizeof *p);
    }
    /* A row is stored where it is read for the last time, r rows above. */
    for (int y = inset; y < b->side_y - inset; y++) {
        double *to = plane + (size_t)(y - r) * (size_t)w;
        for (int x = inset; x < w - inset; x++) {
            double sum = 0;
            for (int d = 0; d <= 2 * r; d++)
                sum += to[(size_t)d * (size_t)w + (size_t)x];
            to[x] = sum * scale;
        }
    }
    for (int y = b->side_y - inset - 1; y >= inset; y--)
        memcpy(plane + (size_t)y * (size_t)w + inset, plane + (size_t)(y - r) * (size_t)w + inset,
               (size_t)(w - 2 * inset) * sizeof *plane);
}

/* m x = v for a symmetric positive definite m of n <= 3 rows, by Cholesky. */
static void solve(int n, double m[3][3], double v[3])
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double s = m[i][j];
            for (int k = 0; k < j; k++)
                s -= m[i][k] * m[j][k];
            m[i][j] = i == j ? sqrt(s) : s / m[j][j];
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            v[i] -= m[i][k] * v[k];
        v[i] /= m[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            v[i] -= m[k][i] * v[k];
        v[i] /= m[i][i];
    }
}

/* Means at pixel k to the fits there, in the first planes: for each channel n slopes, an offset. */
static void fit(struct local_fit *b, size_t k)
{
    int n = b->channels, at = 0;
    size_t step = local_fit_area(b);
    double mean[LOCAL_FIT_SUMS_MAX], cov[3][3];
    for (int i = 0; i < n + n * (n + 1) / 2 + n + n * n; i++)
        mean[i] = b->plane[(size_t)i * step + k];
    const double *guide = mean, *in = mean + n + n * (n + 1) / 2, *product = in + n;
    for (int c = 0; c < n; c++)
        for (int d = c; d < n; d++, at++)
            cov[d][c] = mean[n + at] - guide[c] * guide[d] + (c == d ? b->eps : 0);
    for (int c = 0; c < n; c++) {
        double m[3][3], slope[3], offset = in[c];
        memcpy(m, cov, sizeof m);
        for (int d = 0; d < n; d++)
            slope[d] = product[c * n + d] - in[c] * guide[d];
        solve(n, m, slope);
        for (int d = 0; d < n; d++) {
            offset -= slope[d] * guide[d];
            b->plane[(size_t)(c * (n + 1) + d) * step + k] = slope[d];
        }
        b->plane[(size_t)(c * (n + 1) + n) * step + k] = offset;
    }
}

void local_fit_run(struct local_fit *b)
{
    int n = b->channels, sums = n + n * (n + 1) / 2 + n + n * n, r = b->radius;
    size_t step = local_fit_area(b);
    for (int i = 0; i < sums; i++)
        box(b, b->plane + (size_t)i * step, r);
    for (int y = r; y < b->side_y - r; y++)
        for (int x = r; x < b->side_x - r; x++)
            fit(b, (size_t)y * (size_t)b->side_x + (size_t)x);
    for (int i = 0; i < n * (n + 1); i++)
        box(b, b->plane + (size_t)i * step, 2 * r);
}

double local_fit_value(const struct local_fit *b, size_t k, int c)
{
    int n = b->channels;
    size_t step = local_fit_area(b);
    double v = b->plane[(size_t)(c * (n + 1) + n) * step + k];
    for (int d = 0; d < n; d++)
        v += b->plane[(size_t)(c * (n + 1) + d) * step + k] * b->guide[(size_t)d * step + k];
    return v;
}
