/*
 * The matrix products in between. Six tiles by sixteen outputs stay in registers (twelve of the
 * sixteen vector registers) while the inputs pass; backwards, four inputs by sixteen outputs while
 * the tiles pass.
 */
#include "kernels/lanes.h"
#include "kernels/winograd.h"

enum { LANES = NN_WINO_LANES, ROWS = 6, DEPTH = 4 };

/* rows is a constant where this is used. */
static inline __attribute__((always_inline)) void multiply_rows(int rows, const float *v,
                                                                int64_t panel, const float *u,
                                                                float *m, int inputs)
{
    nn_lanes sum[ROWS][2] = {{{0}}};
    for (int i = 0; i < inputs; i += LANES, v += panel)
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

void nn_wino_multiply(const float *v, const float *u, float *m, int tiles, int inputs)
{
    int64_t panel = (int64_t)tiles * LANES;
    int t = 0;
    for (; t + ROWS <= tiles; t += ROWS)
        multiply_rows(ROWS, v + t * LANES, panel, u, m + t * LANES, inputs);
    v += t * LANES, m += t * LANES;
    switch (tiles - t) {
    case 1:
        multiply_rows(1, v, panel, u, m, inputs);
        break;
    case 2:
        multiply_rows(2, v, panel, u, m, inputs);
        break;
    case 3:
        multiply_rows(3, v, panel, u, m, inputs);
        break;
    case 4:
        multiply_rows(4, v, panel, u, m, inputs);
        break;
    case 5:
        multiply_rows(5, v, panel, u, m, inputs);
        break;
    default:
        break;
    }
}

static void correlate_rows(const float *v, const float *z, float *u, int tiles, bool add)
{
    nn_lanes sum[DEPTH][2] = {{{0}}};
    for (int t = 0; t < tiles; t++, v += LANES, z += LANES) {
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

void nn_wino_correlate(const float *v, const float *z, float *u, int tiles, int inputs, bool add)
{
    for (int i = 0; i < inputs; i += LANES, v += (int64_t)tiles * LANES)
        for (int r = 0; r < LANES; r += DEPTH)
            correlate_rows(v + r, z, u + (i + r) * LANES, tiles, add);
}
