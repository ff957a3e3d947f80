#include "audit/field.h"

#include <math.h>
#include <stdlib.h>

static const double nothing = .02; /* mean square in grey levels, so that no field is empty */

struct moments {
    double square, fourth, pixel; /* two sums, and the largest pixel's square */
};

static struct moments moments_of(struct squares s, const float *r)
{
    struct moments m = {.pixel = 0};
    for (int p = 0; p < s.side * s.side; p++) {
        double square = 0;
        for (int c = 0; c < s.channels; c++) {
            double v = (double)r[p * s.channels + c];
            square += v * v;
            m.fourth += v * v * v * v;
        }
        m.square += square;
        m.pixel = square > m.pixel ? square : m.pixel;
    }
    return m;
}

static float *sparse(struct squares s, const float *r, float *out)
{
    struct moments m = moments_of(s, r);
    double n = (double)squares_values(s), square = m.square / n + nothing;
    float half = (float)(.5 * sqrt(square));
    int below = 0;
    for (size_t i = 0; i < squares_values(s); i++)
        below += fabsf(r[i]) < half;
    *out++ = (float)log(m.fourth / n / (square * square) + .1);
    *out++ = (float)log(m.pixel / (n * square) + 1e-3);
    *out++ = (float)(below / n);
    return out;
}

/* ---- distances ---- */

/* Of values (dx,dy) away, over the mean square. */
static double correlation(struct squares s, const float *r, int dx, int dy, double square)
{
    int c = s.channels, from = dx < 0 ? -dx : 0, to = s.side - (dx > 0 ? dx : 0);
    double sum = 0;
    for (int y = 0; y < s.side - dy; y++) {
        const float *a = r + (y * s.side + from) * c, *b = a + (dy * s.side + dx) * c;
        float line = 0;
        for (int i = 0; i < (to - from) * c; i++)
            line += a[i] * b[i];
        sum += (double)line;
    }
    return sum / ((double)c * (s.side - dy) * (to - from)) / square;
}

static float *rings(struct squares s, const float *r, float *out)
{
    static const int at[FIELD_RINGS][4][2] = {
        {{1, 0}, {0, 1}, {1, 0}, {0, 1}},  {{1, 1}, {-1, 1}, {1, 1}, {-1, 1}},
        {{2, 0}, {0, 2}, {2, 0}, {0, 2}},  {{3, 0}, {0, 3}, {2, 2}, {-2, 2}},
        {{4, 0}, {0, 4}, {4, 4}, {-4, 4}}, {{5, 0}, {0, 5}, {3, 4}, {-4, 3}},
        {{7, 0}, {0, 7}, {5, 5}, {-5, 5}},
    };
    double square = nothing;
    for (size_t i = 0; i < squares_values(s); i++)
        square += (double)(r[i] * r[i]) / (double)squares_values(s);
    for (int k = 0; k < FIELD_RINGS; k++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < 4; i++) {
            double v = correlation(s, r, at[k][i][0], at[k][i][1], square);
            sum += v / 4;
            squares += v * v / 4;
        }
        *out++ = (float)sum;
        *out++ = (float)sqrt(squares);
    }
    return out;
}

/* ---- squares ---- */

enum { SIDE_MAX = 64 };

/* along[i]: sum of squared differences of row or column i from the one before it. */
static void differences(struct squares s, const float *r, int step, int line, double *along)
{
    for (int i = 1; i < s.side; i++) {
        along[i] = 0;
        for (int j = 0; j < s.side; j++)
            for (int c = 0; c < s.channels; c++) {
                const float *at = r + i * step + j * line + c;
                double d = (double)(at[0] - at[-step]);
                along[i] += d * d;
            }
    }
}

/* The logarithm of how much more differs at every `side`th of n - 1 borders than at all, for the best
   of the places where the first can be. */
static double excess(const double *along, int n, int side)
{
    double all = 1e-9, most = 0;
    for (int i = 1; i < n; i++)
        all += along[i] / (n - 1);
    for (int first = 1; first <= side && first < n; first++) {
        double sum = 0;
        int count = 0;
        for (int i = first; i < n; i += side, count++)
            sum += along[i];
        most = sum / count > most ? sum / count : most;
    }
    return log(most / all + .1);
}

static float *borders(struct squares s, const float *r, float *out)
{
    double along[SIDE_MAX], down[SIDE_MAX];
    differences(s, r, s.channels, s.side * s.channels, along);
    differences(s, r, s.side * s.channels, s.channels, down);
    for (int k = 0; k < FIELD_SQUARES; k++)
        *out++ = (float)(excess(along, s.side, 2 << k) + excess(down, s.side, 2 << k)) / 2;
    return out;
}

status field_marks(struct squares s, const float *r, float out[FIELD_MARKS])
{
    float *to = borders(s, r, rings(s, r, sparse(s, r, out)));
    *to = 0;
    for (int c = 0; c < s.channels; c++) {
        struct field_fit f = {.n = 0};
        field_fit_before(s, r, c, &f);
        *to += (float)field_fit_share(&f) / (float)s.channels;
    }
    return field_waves(s, r, to + 1);
}
