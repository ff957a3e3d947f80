/*
 * Forward, six rows by sixteen outputs stay in registers (twelve of the sixteen vector registers)
 * while the inner dimension passes, a stretch at a time, so that u's stretch stays in the first
 * cache for all rows. Backward, four of the inner dimension by sixteen outputs stay while the rows
 * pass.
 */
#include "kernels/panels.h"
#include "kernels/lanes.h"

enum { LANES = NN_PANEL, ROWS = 6, DEPTH = 4, STRETCH = 256 };

/* rows is a constant where this is used. */
static inline __attribute__((always_inline)) void multiply_rows(int rows, const float *v,
                                                                int64_t panel, const float *u,
                                                                float *m, int inner, bool add)
{
    nn_lanes sum[ROWS][2] = {{{0}}};
#pragma GCC unroll 6
    for (int r = 0; add && r < rows; r++) {
        sum[r][0] = nn_lanes_load(m + r * LANES);
        sum[r][1] = nn_lanes_load(m + r * LANES + 8);
    }
    for (int i = 0; i < inner; i += LANES, v += panel)
        for (int k = 0; k < LANES; k++, u += LANES) {
            nn_lanes u0 = nn_lanes_load(u), u1 = nn_lanes_load(u + 8);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                nn_lanes f = nn_lanes_all(v[r * LANES + k]);
                sum[r][0] = nn_lanes_fma(f, u0, sum[r][0]);
                sum[r][1] = nn_lanes_fma(f, u1, sum[r][1]);
            }
        }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        nn_lanes_store(m + r * LANES, sum[r][0]);
        nn_lanes_store(m + r * LANES + 8, sum[r][1]);
    }
}

static void multiply_stretch(const float *v, int64_t panel, const float *u, float *m, int rows,
                             int inner, bool add)
{
    int left = rows;
    for (; left >= ROWS; left -= ROWS, v += ROWS * LANES, m += ROWS * LANES)
        multiply_rows(ROWS, v, panel, u, m, inner, add);
    switch (left) {
    case 1:
        multiply_rows(1, v, panel, u, m, inner, add);
        break;
    case 2:
        multiply_rows(2, v, panel, u, m, inner, add);
        break;
    case 3:
        multiply_rows(3, v, panel, u, m, inner, add);
        break;
    case 4:
        multiply_rows(4, v, panel, u, m, inner, add);
        break;
    case 5:
        multiply_rows(5, v, panel, u, m, inner, add);
        break;
    default:
        break;
    }
}

void nn_panel_multiply(const float *v, const float *u, float *m, int rows, int inner)
{
    int64_t panel = (int64_t)rows * LANES;
    int i = 0;
    do { /* once for an empty inner dimension, too: m becomes 0 */
        int n = inner - i < STRETCH ? inner - i : STRETCH;
        multiply_stretch(v + i / LANES * panel, panel, u + (int64_t)i * LANES, m, rows, n, i > 0);
        i += n;
    } while (i < inner);
}

static void correlate_rows(const float *v, const float *z, float *u, int rows, bool add)
{
    nn_lanes sum[DEPTH][2] = {{{0}}};
    for (int t = 0; t < rows; t++, v += LANES, z += LANES) {
        nn_lanes z0 = nn_lanes_load(z), z1 = nn_lanes_load(z + 8);
#pragma GCC unroll 4
        for (int r = 0; r < DEPTH; r++) {
            nn_lanes f = nn_lanes_all(v[r]);
            sum[r][0] = nn_lanes_fma(f, z0, sum[r][0]);
            sum[r][1] = nn_lanes_fma(f, z1, sum[r][1]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < DEPTH; r++) {
        float *to = u + r * LANES;
        nn_lanes_store(to, add ? nn_lanes_load(to) + sum[r][0] : sum[r][0]);
        nn_lanes_store(to + 8, add ? nn_lanes_load(to + 8) + sum[r][1] : sum[r][1]);
    }
}

void nn_panel_correlate(const float *v, const float *z, float *u, int rows, int inner, bool add)
{
    for (int i = 0; i < inner; i += LANES, v += (int64_t)rows * LANES)
        for (int r = 0; r < LANES; r += DEPTH)
            correlate_rows(v + r, z, u + (int64_t)(i + r) * LANES, rows, add);
}
