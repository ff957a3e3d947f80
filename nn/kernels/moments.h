#ifndef NN_MOMENTS_H
#define NN_MOMENTS_H
/*
 * Per-channel sums over many pixels, for the norms.
 *
 * Squares are summed around a pivot (the first pixel's value), so that a mean far from zero costs
 * no digits; a block of pixels at a time in f32, those sums in double.
 */
#include "kernels/kernels.h"

enum { NN_SUMS_BLOCK = 64 };

struct nn_sums {
    double *first;  /* (C) sum of x - pivot */
    double *second; /* (C) sum of (x - pivot)^2 */
    float *pivot;   /* (C) */
};
/* Doubles one nn_sums takes for c channels, its pivot included. */
static inline size_t nn_sums_doubles(int c)
{
    return 2 * (size_t)c + ((size_t)c + 1) / 2;
}
static inline struct nn_sums nn_sums_at(double *memory, int c)
{
    return (struct nn_sums){memory, memory + c, (float *)(memory + 2 * (size_t)c)};
}
/* Sets out to the sums of pixels [first,last) of t, counted from its start, around pixel `pivot`.
 */
void nn_moments(const struct nn_tensor *t, int64_t pivot, int64_t first, int64_t last, int c,
                struct nn_sums out);
/* Adds b's sums to a; both around the same pivot. */
void nn_sums_add(struct nn_sums a, struct nn_sums b, int c);

#endif
