/* softmax along rows (kernels.h). */
#include "kernels/kernels.h"
#include "kernels/lanes.h"

enum { VECTORS = NN_SUMS / NN_LANES };

static float largest(const float *p, int n)
{
    nn_lanes most[VECTORS];
    float max = p[0], lane[NN_SUMS];
    int i = 0;
    for (int j = 0; j < VECTORS; j++)
        most[j] = nn_lanes_all(max);
    for (; i + NN_SUMS <= n; i += NN_SUMS)
        for (int j = 0; j < VECTORS; j++)
            most[j] = nn_lanes_max(nn_lanes_load(p + i + j * NN_LANES), most[j]);
    for (int j = 0; j < VECTORS; j++)
        nn_lanes_store(lane + j * NN_LANES, most[j]);
    for (int k = 0; k < NN_SUMS; k++)
        max = lane[k] > max ? lane[k] : max;
    for (; i < n; i++)
        max = p[i] > max ? p[i] : max;
    return max;
}

/* bf16 is a constant where this is used. */
static inline __attribute__((always_inline)) void softmax_row(bool bf16, float *p, int n,
                                                              float scale, void *to)
{
    float max = largest(p, n), total[NN_SUMS];
    nn_lanes sum[VECTORS];
    int i = 0;
    for (int j = 0; j < VECTORS; j++)
        sum[j] = nn_lanes_all(0);
    for (; i + NN_SUMS <= n; i += NN_SUMS)
        for (int j = 0; j < VECTORS; j++) {
            float *at = p + i + j * NN_LANES;
            nn_lanes v = nn_lanes_all(scale) * (nn_lanes_load(at) - nn_lanes_all(max));
            v = bf16 ? nn_lanes_exp_bf16(v) : nn_lanes_exp(v);
            nn_lanes_store(at, v);
            sum[j] += v;
        }
    for (int j = 0; j < VECTORS; j++)
        nn_lanes_store(total + j * NN_LANES, sum[j]);
    for (int k = 0; i < n; i++, k++) {
        float v = scale * (p[i] - max);
        p[i] = bf16 ? nn_expf_bf16(v) : nn_expf(v);
        total[k] += p[i];
    }
    float f = 1 / nn_total(total);
    for (i = 0; i + NN_LANES <= n; i += NN_LANES)
        nn_lanes_store_at(to, bf16, i, nn_lanes_all(f) * nn_lanes_load(p + i));
    for (; i < n; i++)
        nn_store_at(to, bf16, i, f * p[i]);
}

void nn_softmax(float *p, int rows, int n, float scale, uint16_t *bf16)
{
    for (int64_t r = 0; r < rows; r++)
        if (bf16)
            softmax_row(true, p + r * n, n, scale, bf16 + r * n);
        else
            softmax_row(false, p + r * n, n, scale, p + r * n);
}
