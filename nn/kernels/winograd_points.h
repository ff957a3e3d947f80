#ifndef NN_WINOGRAD_POINTS_H
#define NN_WINOGRAD_POINTS_H
/*
 * winograd_points: the one-dimensional transforms of winograd.h, on vectors of channels.
 *
 * The points are 0, `pairs` pairs of p and -p, and infinity; elements are in the order 0, p1, -p1,
 * p2, -p2, ..., infinity. The polynomials of a pair share their even and their odd part, so that
 * one sum serves both. A tile has 2 pairs outputs a side and 2 pairs + 2 inputs.
 *
 * `pairs` and the table are constants where these are used: loops are unrolled and tables folded.
 */
#include "kernels/lanes.h"

enum { NN_POINT_PAIRS = 4, NN_POINT_POWERS = 2 * NN_POINT_PAIRS }; /* at most */

struct nn_points {
    float power[NN_POINT_PAIRS][NN_POINT_POWERS]; /* p^i */
    /* Product over the other pairs of (z - q^2), z the square of a variable: coefficients from z^0
       on, the last is 1. Then the product over all pairs. */
    float others[NN_POINT_PAIRS][NN_POINT_PAIRS], all[NN_POINT_PAIRS + 1];
    /* 1 / product over the other points of (point - other), times p^i; the same of the point 0. */
    float weight[NN_POINT_PAIRS][3], weight_0;
};

#define UNROLL _Pragma("GCC unroll 10")
#define POINT_FMA(f, x, y) nn_lanes_fma(nn_lanes_all(f), x, y)
#define POINT_TRANSFORM static inline __attribute__((always_inline)) void

/* out = B' in: span -> span */
POINT_TRANSFORM nn_points_pixels(int pairs, const struct nn_points *t, const nn_lanes *in,
                                 nn_lanes *out)
{
    int last = 2 * pairs + 1;
    UNROLL for (int a = 0; a < pairs; a++)
    {
        nn_lanes even = in[2 * pairs], odd = in[2 * pairs - 1];
        UNROLL for (int k = pairs - 2; k >= 0; k--)
        {
            even = POINT_FMA(t->others[a][k], in[2 * k + 2], even);
            odd = POINT_FMA(t->others[a][k], in[2 * k + 1], odd);
        }
        odd = nn_lanes_all(t->power[a][1]) * odd;
        out[2 * a + 1] = even + odd;
        out[2 * a + 2] = even - odd;
    }
    nn_lanes zero = in[2 * pairs], infinity = in[last];
    UNROLL for (int k = pairs - 1; k >= 0; k--)
    {
        zero = POINT_FMA(t->all[k], in[2 * k], zero);
        infinity = POINT_FMA(t->all[k], in[2 * k + 1], infinity);
    }
    out[0] = zero;
    out[last] = infinity;
}

/* out = A' in: span -> tile */
POINT_TRANSFORM nn_points_results(int pairs, const struct nn_points *t, const nn_lanes *in,
                                  nn_lanes *out)
{
    nn_lanes part[2][NN_POINT_PAIRS]; /* sums, differences */
    UNROLL for (int a = 0; a < pairs; a++)
    {
        part[0][a] = in[2 * a + 1] + in[2 * a + 2];
        part[1][a] = in[2 * a + 1] - in[2 * a + 2];
    }
    nn_lanes first = in[0];
    UNROLL for (int a = 0; a < pairs; a++) first += part[0][a];
    out[0] = first;
    UNROLL for (int i = 1; i < 2 * pairs; i++)
    {
        int from = pairs - 1;
        nn_lanes sum = in[2 * pairs + 1];
        if (i < 2 * pairs - 1)
            sum = nn_lanes_all(t->power[from][i]) * part[i % 2][from], from--;
        UNROLL for (int a = from; a >= 0; a--) sum = POINT_FMA(t->power[a][i], part[i % 2][a], sum);
        out[i] = sum;
    }
}

/* out = A in: tile -> span */
POINT_TRANSFORM nn_points_gradients(int pairs, const struct nn_points *t, const nn_lanes *in,
                                    nn_lanes *out)
{
    UNROLL for (int a = 0; a < pairs; a++)
    {
        nn_lanes even = in[0], odd = nn_lanes_all(t->power[a][1]) * in[1];
        UNROLL for (int i = 2; i < 2 * pairs; i += 2)
        {
            even = POINT_FMA(t->power[a][i], in[i], even);
            odd = POINT_FMA(t->power[a][i + 1], in[i + 1], odd);
        }
        out[2 * a + 1] = even + odd;
        out[2 * a + 2] = even - odd;
    }
    out[0] = in[0];
    out[2 * pairs + 1] = in[2 * pairs - 1];
}

/* out = G in: 3 -> span */
POINT_TRANSFORM nn_points_filter(int pairs, const struct nn_points *t, const nn_lanes *in,
                                 nn_lanes *out)
{
    UNROLL for (int a = 0; a < pairs; a++)
    {
        nn_lanes even = nn_lanes_all(t->weight[a][0]) * POINT_FMA(t->power[a][2], in[2], in[0]);
        nn_lanes odd = nn_lanes_all(t->weight[a][1]) * in[1];
        out[2 * a + 1] = even + odd;
        out[2 * a + 2] = even - odd;
    }
    out[0] = nn_lanes_all(t->weight_0) * in[0];
    out[2 * pairs + 1] = in[2];
}

/* out = G' in: span -> 3 */
POINT_TRANSFORM nn_points_filter_back(int pairs, const struct nn_points *t, const nn_lanes *in,
                                      nn_lanes *out)
{
    int end = pairs - 1;
    nn_lanes sum = in[2 * end + 1] + in[2 * end + 2],
             difference = in[2 * end + 1] - in[2 * end + 2];
    out[0] = nn_lanes_all(t->weight[end][0]) * sum;
    out[1] = nn_lanes_all(t->weight[end][1]) * difference;
    out[2] = POINT_FMA(t->weight[end][2], sum, in[2 * pairs + 1]);
    UNROLL for (int a = end - 1; a >= 0; a--)
    {
        sum = in[2 * a + 1] + in[2 * a + 2], difference = in[2 * a + 1] - in[2 * a + 2];
        out[0] = POINT_FMA(t->weight[a][0], sum, out[0]);
        out[1] = POINT_FMA(t->weight[a][1], difference, out[1]);
        out[2] = POINT_FMA(t->weight[a][2], sum, out[2]);
    }
    out[0] = POINT_FMA(t->weight_0, in[0], out[0]);
}

/* ---- the two tables ---- */

#define POWERS(p)                                                                                  \
    {                                                                                              \
        1, p, p *p, p *p *p, p *p *p *p, p *p *p *p *p, p *p *p *p *p *p, p *p *p *p *p *p *p      \
    }
#define WEIGHTED(p, w)                                                                             \
    {                                                                                              \
        (w), (w) * (p), (w) * (p) * (p)                                                            \
    }

/* Of 4x4: 3/4 and 3/2. */
#define P 0.75
#define Q 1.5
#define WEIGHT(p, q) WEIGHTED(p, 1 / (2 * p * p * (p * p - q * q)))
static const struct nn_points nn_points_4 = {
    .power = {POWERS(P), POWERS(Q)},
    .others = {{-(Q * Q), 1}, {-(P * P), 1}},
    .all = {P * P * Q * Q, -(P *P + Q * Q), 1},
    .weight = {WEIGHT(P, Q), WEIGHT(Q, P)},
    .weight_0 = 1 / (P * P * Q * Q),
};
#undef P
#undef Q
#undef WEIGHT

/* Of 8x8: 3/8, 7/8, 5/4 and 5/2; their squares. */
#define P 0.140625
#define Q 0.765625
#define R 1.5625
#define S 6.25
#define OTHERS(a, b, c)                                                                            \
    {                                                                                              \
        -(a * b * c), a *b + a *c + b *c, -(a + b + c), 1                                          \
    }
#define WEIGHT(root, p, a, b, c) WEIGHTED(root, 1 / (2 * p * (p - a) * (p - b) * (p - c)))
static const struct nn_points nn_points_8 = {
    .power = {POWERS(0.375), POWERS(0.875), POWERS(1.25), POWERS(2.5)},
    .others = {OTHERS(Q, R, S), OTHERS(P, R, S), OTHERS(P, Q, S), OTHERS(P, Q, R)},
    .all = {P * Q * R * S, -(P *Q *R + P * Q * S + P * R * S + Q * R * S),
            P *Q + P *R + P *S + Q *R + Q *S + R *S, -(P + Q + R + S), 1},
    .weight = {WEIGHT(0.375, P, Q, R, S), WEIGHT(0.875, Q, P, R, S), WEIGHT(1.25, R, P, Q, S),
               WEIGHT(2.5, S, P, Q, R)},
    .weight_0 = 1 / (P * Q * R * S),
};
#undef P
#undef Q
#undef R
#undef S
#undef OTHERS
#undef WEIGHT
#undef POWERS
#undef WEIGHTED

#endif
