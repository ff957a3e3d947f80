/* The two squared distances and their gradients. Items are samples. */
#include "kernels/kernels.h"

static bool fits(const struct nn_step *s)
{
    const struct nn_tensor *x = &s->in[1];
    return x->shape.dim[x->shape.rank - 1] <= NN_ROW_MAX;
}

/* sum over n elements of w (a-b)^2; w NULL counts as 1. */
static float squares(const float *a, const float *b, const float *w, int n)
{
    float sum[NN_SUMS] = {0};
    for (int i = 0; i < n; i += NN_SUMS) {
        int len = (int)nn_min(NN_SUMS, n - i);
#pragma omp simd
        for (int k = 0; k < len; k++) {
            float d = a[i + k] - b[i + k];
            sum[k] += (w ? w[i + k] : 1) * d * d;
        }
    }
    return nn_total(sum);
}

/* The same, the weights repeating every c. */
static float row_distance(const float *a, const float *b, const float *w, int n, int c)
{
    if (!w)
        return squares(a, b, NULL, n);
    float sum = 0;
    for (int i = 0; i < n; i += c)
        sum += squares(a + i, b + i, w, c);
    return sum;
}

static void distance_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    bool weighted = s->op == NN_OP_WSQ_DIFF;
    struct nn_shape as = s->in[0].shape;
    int c = weighted ? as.dim[3] : 1, step = NN_ROW_MAX / c * c;
    int64_t per = nn_shape_count(as) / as.dim[0];
    _Alignas(64) float sa[NN_ROW_MAX], sb[NN_ROW_MAX];
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        double sum = 0;
        for (int64_t i = n * per; i < (n + 1) * per; i += step) {
            int len = (int)nn_min(step, (n + 1) * per - i);
            const float *a = nn_row(&s->in[0], i, len, sa), *b = nn_row(&s->in[1], i, len, sb);
            sum += (double)row_distance(a, b, weighted ? nn_f32(&s->in[2]) : NULL, len, c);
        }
        nn_f32(&s->out[0])[n] = (float)(sum / (double)(per / c));
    }
}

static void distance_back_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    bool weighted = s->op == NN_OP_WSQ_DIFF_BACK;
    struct nn_shape as = s->in[1].shape;
    int c = weighted ? as.dim[3] : 1, step = NN_ROW_MAX / c * c;
    int64_t per = nn_shape_count(as) / as.dim[0];
    const float *w = weighted ? nn_f32(&s->in[3]) : NULL;
    _Alignas(64) float sa[NN_ROW_MAX], sb[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        float f = 2 * nn_f32(&s->in[0])[n] / (float)(per / c);
        for (int64_t i = n * per; i < (n + 1) * per; i += step) {
            int len = (int)nn_min(step, (n + 1) * per - i);
            const float *a = nn_row(&s->in[1], i, len, sa), *b = nn_row(&s->in[2], i, len, sb);
            float *y = nn_row_out(&s->out[0], i, sy);
            if (!w) {
#pragma omp simd
                for (int k = 0; k < len; k++)
                    y[k] = f * (a[k] - b[k]);
            } else {
                for (int r = 0; r < len; r += c)
#pragma omp simd
                    for (int k = 0; k < c; k++)
                        y[r + k] = f * w[k] * (a[r + k] - b[r + k]);
            }
            nn_row_put(&s->out[0], i, len, y);
        }
    }
}

static status distance_run(const struct nn_step *s)
{
    int64_t n = nn_shape_count(s->in[0].shape);
    nn_for_range(nn_threads_for(s, n), s->in[0].shape.dim[0], distance_samples, s);
    return STATUS_OK;
}
static status distance_back_run(const struct nn_step *s)
{
    int64_t n = nn_shape_count(s->in[1].shape);
    nn_for_range(nn_threads_for(s, n), s->in[1].shape.dim[0], distance_back_samples, s);
    return STATUS_OK;
}

/* dw is wanted only while LPIPS' own weights are learned: left to the reference. */
static bool back_fits(const struct nn_step *s)
{
    return fits(s) && !nn_has(&s->out[1]);
}

#define DISTANCE(OP, row, supports_, run_)                                                         \
    const struct nn_kernel nn_common_##row = {                                                     \
        .op = NN_OP_##OP, .name = "common." #row, .supports = supports_, .run = run_};
DISTANCE(WSQ_DIFF, wsq_diff, fits, distance_run)
DISTANCE(WSQ_DIFF_BACK, wsq_diff_back, back_fits, distance_back_run)
DISTANCE(MSE, mse, fits, distance_run)
DISTANCE(MSE_BACK, mse_back, fits, distance_back_run)
