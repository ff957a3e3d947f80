/* softmax along rows (kernels.h). */
#include "kernels/kernels.h"
#include "kernels/lanes.h"
#include "kernels/panels.h"

enum { VECTORS = NN_SUMS / NN_LANES };
_Static_assert((int)NN_SUMS == (int)NN_PANEL, "a panel holds sixteen elements of a row");

/* Sixteen elements of a row lie together, the next sixteen `step` floats further. */
struct row {
    float *p;
    int64_t step;
    int n;
};

static float largest(const struct row *r)
{
    nn_lanes most[VECTORS];
    float max = r->p[0], lane[NN_SUMS];
    const float *p = r->p;
    int i = 0;
    for (int j = 0; j < VECTORS; j++)
        most[j] = nn_lanes_all(max);
    for (; i + NN_SUMS <= r->n; i += NN_SUMS, p += r->step)
        for (int j = 0; j < VECTORS; j++)
            most[j] = nn_lanes_max(nn_lanes_load(p + j * NN_LANES), most[j]);
    for (int j = 0; j < VECTORS; j++)
        nn_lanes_store(lane + j * NN_LANES, most[j]);
    for (int k = 0; k < NN_SUMS; k++)
        max = lane[k] > max ? lane[k] : max;
    for (int k = 0; i + k < r->n; k++)
        max = p[k] > max ? p[k] : max;
    return max;
}

/* To bf16 where that is given, else in place; which of them is constant where this is used. */
static inline __attribute__((always_inline)) void softmax_row(const struct row *r, float scale,
                                                              uint16_t *bf16)
{
    float max = largest(r), total[NN_SUMS], *p = r->p;
    nn_lanes sum[VECTORS];
    int i = 0;
    for (int j = 0; j < VECTORS; j++)
        sum[j] = nn_lanes_all(0);
    for (; i + NN_SUMS <= r->n; i += NN_SUMS, p += r->step)
        for (int j = 0; j < VECTORS; j++) {
            float *at = p + j * NN_LANES;
            nn_lanes v = nn_lanes_all(scale) * (nn_lanes_load(at) - nn_lanes_all(max));
            v = bf16 ? nn_lanes_exp_bf16(v) : nn_lanes_exp(v);
            nn_lanes_store(at, v);
            sum[j] += v;
        }
    for (int j = 0; j < VECTORS; j++)
        nn_lanes_store(total + j * NN_LANES, sum[j]);
    for (int k = 0; i + k < r->n; k++) {
        float v = scale * (p[k] - max);
        p[k] = bf16 ? nn_expf_bf16(v) : nn_expf(v);
        total[k] += p[k];
    }
    float f = 1 / nn_total(total);
    for (i = 0, p = r->p; i + NN_SUMS <= r->n; i += NN_SUMS, p += r->step)
        for (int j = 0; j < NN_SUMS; j += NN_LANES)
            nn_lanes_store_at(bf16 ? (void *)(bf16 + i) : p, bf16, j,
                              nn_lanes_all(f) * nn_lanes_load(p + j));
    for (int k = 0; i + k < r->n; k++)
        nn_store_at(bf16 ? (void *)(bf16 + i) : p, bf16, k, f * p[k]);
}

void nn_softmax(float *p, int rows, int n, float scale, uint16_t *bf16)
{
    for (int64_t i = 0; i < rows; i++) {
        const struct row r = {p + i * n, NN_SUMS, n};
        if (bf16)
            softmax_row(&r, scale, bf16 + i * n);
        else
            softmax_row(&r, scale, NULL);
    }
}

void nn_softmax_panels(float *p, int rows, int n)
{
    for (int64_t i = 0; i < rows; i++)
        softmax_row(&(struct row){p + i * NN_PANEL, (int64_t)rows * NN_PANEL, n}, 1, NULL);
}
