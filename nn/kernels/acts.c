/*
 * Activations (acts.h) on rows of floats. For each of the table's lines three loops:
 *
 *     name_row(y, n)                  y = act(y)
 *     name_back(dy, x, dx, n)         dx = dy act'(x), x the value before the activation
 *     name_back_saved(dy, v, dx, n)   the same from what the table says is saved
 */
#include "ops/acts.h"
#include "kernels/kernels.h"

#include <math.h>

static void relu_row(float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = y[i] < 0 ? 0 : y[i];
}
static void relu_back(const float *dy, const float *x, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = x[i] <= 0 ? 0 : dy[i];
}
#define relu_back_saved relu_back /* the result is positive where the input is */

static void silu_row(float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = nn_siluf(y[i]);
}
static void silu_back(const float *dy, const float *x, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float sigma = nn_sigmoidf(x[i]);
        dx[i] = dy[i] * (sigma * (1 + x[i] * (1 - sigma)));
    }
}
#define silu_back_saved silu_back /* the input is what is saved */

static void sigmoid_row(float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = nn_sigmoidf(y[i]);
}
static void sigmoid_back(const float *dy, const float *x, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float sigma = nn_sigmoidf(x[i]);
        dx[i] = dy[i] * (sigma * (1 - sigma));
    }
}
static void sigmoid_back_saved(const float *dy, const float *y, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = dy[i] * (y[i] * (1 - y[i]));
}

static void tanh_row(float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = tanhf(y[i]);
}
static void tanh_back(const float *dy, const float *x, float *dx, int n)
{
    for (int i = 0; i < n; i++) {
        float t = tanhf(x[i]);
        dx[i] = dy[i] * (1 - t * t);
    }
}
static void tanh_back_saved(const float *dy, const float *y, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = dy[i] * (1 - y[i] * y[i]);
}

static void relu6_row(float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = y[i] < 0 ? 0 : y[i] > 6 ? 6 : y[i];
}
static void relu6_back(const float *dy, const float *x, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = x[i] <= 0 || x[i] >= 6 ? 0 : dy[i];
}
#define relu6_back_saved                                                                           \
    relu6_back /* the result is 0 or 6 where the input is at most or at least */

/*
 * Phi(x) of the standard normal distribution, given e = exp(-x^2 / 2): the smaller of Phi(x) and
 * Phi(-x) by Abramowitz & Stegun 7.1.26, so that small values keep their digits; 7.5e-8.
 */
static inline float normal_cdf(float x, float e)
{
    const float a[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
    float t = 1 / nn_fma(0.3275911f * 0.70710678f, fabsf(x), 1), p = a[0];
    for (int i = 1; i < 5; i++)
        p = nn_fma(p, t, a[i]);
    float smaller = 0.5f * p * t * e;
    return x < 0 ? smaller : 1 - smaller;
}
static void gelu_row(float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = y[i] * normal_cdf(y[i], nn_expf(-0.5f * y[i] * y[i]));
}
static void gelu_back(const float *dy, const float *x, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float e = nn_expf(-0.5f * x[i] * x[i]);
        dx[i] = dy[i] * nn_fma(x[i] * 0.39894228f, e, normal_cdf(x[i], e));
    }
}
#define gelu_back_saved gelu_back

static void exp_row(float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = nn_expf(y[i]);
}
static void exp_back(const float *dy, const float *x, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = dy[i] * nn_expf(x[i]);
}
static void exp_back_saved(const float *dy, const float *y, float *dx, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = dy[i] * y[i];
}

static const struct {
    void (*row)(float *y, int n);
    void (*back)(const float *dy, const float *x, float *dx, int n);
    void (*back_saved)(const float *dy, const float *v, float *dx, int n);
} acts[NN_ACT_COUNT] = {
#define X(NAME, name, saves, algorithm) [NN_##NAME] = {name##_row, name##_back, name##_back_saved},
    NN_ACT_TABLE(X)
#undef X
};

void nn_post_row(int post, float *y, int n)
{
    if (post != NN_POST_NONE)
        acts[NN_POST_KIND(post)].row(y, n);
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
    _Alignas(64) float buffer[NN_ROW_MAX];
    for (int64_t at = first; at < last; at += NN_ROW_MAX) {
        int n = (int)nn_min(NN_ROW_MAX, last - at);
        float *y = nn_row_out(t, at, buffer);
        nn_row(t, at, n, buffer);
        nn_post_row(post, y, n);
        nn_row_put(t, at, n, y);
    }
}

void nn_post_back_row(int post, const float *dy, const float *v, float *dx, int n)
{
    if (post != NN_POST_NONE)
        acts[NN_POST_KIND(post)].back(dy, v, dx, n);
    else if (dx != dy)
        memcpy(dx, dy, (size_t)n * sizeof *dx);
}

void nn_act_back_row(enum nn_act_kind kind, const float *dy, const float *saved, float *dx, int n)
{
    acts[kind].back_saved(dy, saved, dx, n);
}
