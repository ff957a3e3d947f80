#ifndef TRAIN_AUDIT_FIELD_H
#define TRAIN_AUDIT_FIELD_H
/*
 * field: marks of one perturbation, or of what is left of it: numbers that say how it is made, whatever
 * its size, its colours and its place. Of a field r, (side,side,C):
 *
 * - how few pixels make it: the logarithm of its kurtosis, the largest pixel's share of its energy, and
 *   the share of values below half of the usual one;
 * - what pixels at seven distances have to do with each other: mean and root of the mean square of the
 *   correlations over all directions;
 * - for squares of 2, 4, 8 and 16 pixels, how much more neighbours differ across their borders than
 *   elsewhere, wherever the first border is;
 * - how much of each value follows from the eight before it in its 3x3 window;
 * - of its spectrum: the largest wave's share, how flat it is, and the shares of bands.
 *
 * Private to train; pure, any thread.
 */
#include "audit/residue.h"

enum {
    FIELD_SPARSE = 3,
    FIELD_RINGS = 7,
    FIELD_SQUARES = 4,
    FIELD_BANDS = 5,
    FIELD_MARKS = FIELD_SPARSE + 2 * FIELD_RINGS + FIELD_SQUARES + 1 + 2 + FIELD_BANDS
};
/* NOMEM. */
status field_marks(struct squares s, const float *r, float out[FIELD_MARKS]) MUST_USE;

/* ---- field_fit.c ---- */
enum { FIT_MAX = 10 };
/* Least squares, summed up value by value: what share of y^2 follows from x. */
struct field_fit {
    int n;
    double xx[FIT_MAX][FIT_MAX], xy[FIT_MAX], yy;
};
void field_fit_add(struct field_fit *f, const double *x, double y);
double field_fit_share(const struct field_fit *f); /* 0..1 */
/* Each value of a channel from the eight before it. */
void field_fit_before(struct squares s, const float *r, int channel, struct field_fit *f);

/* ---- field_waves.c ---- */
/* The largest wave's share, flatness, and bands. NOMEM. */
status field_waves(struct squares s, const float *r, float out[2 + FIELD_BANDS]) MUST_USE;

#endif
