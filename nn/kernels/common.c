#include "kernels/kernels.h"

#include <math.h>

void nn_post_row(int post, float *y, int n)
{
    switch (post) {
    case NN_POST(NN_RELU):
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[i] = y[i] > 0 ? y[i] : 0;
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

void nn_post_back_row(int post, const float *dy, const float *v, float *dx, int n)
{
    switch (post) {
    case NN_POST(NN_RELU):
#pragma omp simd
        for (int i = 0; i < n; i++)
            dx[i] = v[i] > 0 ? dy[i] : 0;
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

void nn_softmax_row(float *p, int n, float scale)
{
    float max = p[0], sum[NN_SUMS] = {0};
#pragma omp simd reduction(max : max)
    for (int i = 1; i < n; i++)
        max = p[i] > max ? p[i] : max;
    for (int i = 0; i < n; i += NN_SUMS) {
        int len = (int)nn_min(NN_SUMS, n - i);
#pragma omp simd
        for (int k = 0; k < len; k++) {
            p[i + k] = nn_expf(scale * (p[i + k] - max));
            sum[k] += p[i + k];
        }
    }
    float f = 1 / nn_total(sum);
#pragma omp simd
    for (int i = 0; i < n; i++)
        p[i] *= f;
}
