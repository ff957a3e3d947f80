#include "kernels/moments.h"
#include "kernels/lanes.h"

/* Channels k .. k + width vectors. */
static inline __attribute__((always_inline)) void add_vectors(int width, const void *x, bool bf16,
                                                              int pixels, int c, int k,
                                                              const float *pivot, float *sum,
                                                              float *square)
{
    nn_lanes s[2], q[2], middle[2];
    for (int j = 0; j < width; j++) {
        s[j] = nn_lanes_load(sum + k + j * NN_LANES);
        q[j] = nn_lanes_load(square + k + j * NN_LANES);
        middle[j] = nn_lanes_load(pivot + k + j * NN_LANES);
    }
    for (int64_t i = 0; i < pixels; i++)
        for (int j = 0; j < width; j++) {
            nn_lanes d = nn_lanes_load_at(x, bf16, i * c + k + j * NN_LANES) - middle[j];
            s[j] += d;
            q[j] = nn_lanes_fma(d, d, q[j]);
        }
    for (int j = 0; j < width; j++) {
        nn_lanes_store(sum + k + j * NN_LANES, s[j]);
        nn_lanes_store(square + k + j * NN_LANES, q[j]);
    }
}

/* sum[c] and square[c] over the row's pixels; two vectors of channels at a time stay in registers,
   so that one's sums need not wait for their own. */
static inline __attribute__((always_inline)) void add_pixels(const void *x, bool bf16, int pixels,
                                                             int c, const float *pivot, float *sum,
                                                             float *square)
{
    int k = 0;
    for (; k + 2 * NN_LANES <= c; k += 2 * NN_LANES)
        add_vectors(2, x, bf16, pixels, c, k, pivot, sum, square);
    for (; k + NN_LANES <= c; k += NN_LANES)
        add_vectors(1, x, bf16, pixels, c, k, pivot, sum, square);
    for (int64_t i = 0; k < c && i < pixels; i++)
        for (int j = k; j < c; j++) {
            float d = nn_load_at(x, bf16, i * c + j) - pivot[j];
            sum[j] += d;
            square[j] = nn_fma(d, d, square[j]);
        }
}

static void add_row(const void *x, bool bf16, int pixels, int c, const float *pivot, float *sum,
                    float *square)
{
    if (bf16)
        add_pixels(x, true, pixels, c, pivot, sum, square);
    else
        add_pixels(x, false, pixels, c, pivot, sum, square);
}

void nn_moments(const struct nn_tensor *t, int64_t pivot, int64_t first, int64_t last, int c,
                struct nn_sums out)
{
    _Alignas(64) float sx[NN_ROW_MAX], sum[NN_ROW_MAX], square[NN_ROW_MAX];
    memset(out.first, 0, 2 * (size_t)c * sizeof *out.first);
    memcpy(out.pivot, nn_row(t, pivot * c, c, sx), (size_t)c * sizeof *out.pivot);
    int step = nn_row_pixels(c);
    for (int64_t block = first; block < last; block += NN_SUMS_BLOCK) {
        int64_t end = nn_min(block + NN_SUMS_BLOCK, last);
        memset(sum, 0, (size_t)c * sizeof *sum);
        memset(square, 0, (size_t)c * sizeof *square);
        for (int64_t i = block; i < end; i += step) {
            int n = (int)nn_min(step, end - i);
            const char *x = (const char *)t->data + (size_t)(i * c) * nn_store_bytes(t->store);
            add_row(x, t->store == NN_STORE_BF16, n, c, out.pivot, sum, square);
        }
#pragma omp simd
        for (int j = 0; j < c; j++) {
            out.first[j] += (double)sum[j];
            out.second[j] += (double)square[j];
        }
    }
}

void nn_sums_add(struct nn_sums a, struct nn_sums b, int c)
{
    for (int j = 0; j < c; j++) {
        a.first[j] += b.first[j];
        a.second[j] += b.second[j];
    }
}
