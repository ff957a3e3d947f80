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
