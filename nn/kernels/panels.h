#ifndef NN_PANELS_H
#define NN_PANELS_H
/*
 * panels: the matrix products of convolutions, f32.
 *
 * A matrix (rows, columns) lies in panels of sixteen columns: [columns/16][rows][16]. Products of
 * panels read every operand front to back in whole cache lines, and a convolution copies or
 * transforms its pixels anyway and writes them into panels then. Counts of columns are multiples of 16.
 *
 * Every element of a result is one sum in the order of the inner dimension, whatever the number of
 * rows and panels: its bits do not depend on its neighbours, nor on the width of vectors.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
    NN_PANEL = 16,
    NN_PANEL_GROUP = 2, /* panels that are best multiplied together */
    NN_PANEL_ROWS = 12  /* blocks of a multiple of so many rows are multiplied without a tail */
};

/* m (rows, 16 panels) = v (rows, inner) u (inner, 16 panels). */
void nn_panel_multiply(const float *v, const float *u, float *m, int rows, int inner, int panels);
/* u (inner, 16 panels) = or += v' (inner, rows) z (rows, 16 panels). */
void nn_panel_correlate(const float *v, const float *z, float *u, int rows, int inner, int panels,
                        bool add);
/* The same of operands in bf16 in VNNI layout, pairs of rows interleaved: [columns/16][rows/2][16][2].
   u is f32 as above. Only in builds for AVX512-BF16. */
void nn_panel_correlate_vnni(const uint16_t *v, const uint16_t *z, float *u, int pairs, int inner,
                             int panels, bool add);

#endif
