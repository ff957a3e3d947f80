#include "kernels/kernels.h"

#include <math.h>

void nn_post_row(int post, float *y, int n)
{
    switch (post) {
    case NN_POST(NN_RELU):
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[i] = y[i] < 0 ? 0 : y[i];
        break;
    case NN_POST(NN_SILU):
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[i] = nn_siluf(y[i]);
        break;
    case NN_POST(NN_SIGMOID):
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[i] = nn_sigmoidf(y[i]);
        break;
    case NN_POST(NN_TANH):
        for (int i = 0; i < n; i++)
            y[i] = tanhf(y[i]);
        break;
    default:
        break;
    }
}

/* ReLU on bf16: what is below -0 and no NaN becomes 0. */
static void relu_bf16(uint16_t *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint16_t)(y[i] - 0x8001) <= 0xff80 - 0x8001 ? 0 : y[i];
}

void nn_post(const struct nn_tensor *t, int post, int64_t first, int64_t last)
{
    if (post == NN_POST(NN_RELU) && t->store == NN_STORE_BF16) {
        relu_bf16((uint16_t *)t->data + first, last - first);
        return;
    }
    _Alignas(64) float room[NN_ROW_MAX];
    for (int64_t at = first; at < last; at += NN_ROW_MAX) {
        int n = (int)nn_min(NN_ROW_MAX, last - at);
        float *y = nn_row_out(t, at, room);
        nn_row(t, at, n, room);
        nn_post_row(post, y, n);
        nn_row_put(t, at, n, y);
    }
}

void nn_post_back_row(int post, const float *dy, const float *v, float *dx, int n)
{
    switch (post) {
    case NN_POST(NN_RELU):
#pragma omp simd
        for (int i = 0; i < n; i++)
            dx[i] = v[i] <= 0 ? 0 : dy[i];
        break;
    case NN_POST(NN_SILU):
#pragma omp simd
        for (int i = 0; i < n; i++) {
            float sigma = nn_sigmoidf(v[i]);
            dx[i] = dy[i] * (sigma * (1 + v[i] * (1 - sigma)));
        }
        break;
    case NN_POST(NN_SIGMOID):
#pragma omp simd
        for (int i = 0; i < n; i++) {
            float sigma = nn_sigmoidf(v[i]);
            dx[i] = dy[i] * (sigma * (1 - sigma));
        }
        break;
    case NN_POST(NN_TANH):
        for (int i = 0; i < n; i++) {
            float t = tanhf(v[i]);
            dx[i] = dy[i] * (1 - t * t);
        }
        break;
    default:
        if (dx != dy)
            memcpy(dx, dy, (size_t)n * sizeof *dx);
    }
}
