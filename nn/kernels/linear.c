/*
 * Fully connected layers of few rows or narrow ones, f32. Each output is one dot product (or sum) in an order that does not
 * depend on the batch, so that a sample's bits are its own; weights are read once for all samples.
 */
#include "kernels/kernels.h"

/* y[i] += f x[i] */
static void add_scaled(float f, const float *x, float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = nn_fma(f, x[i], y[i]);
}

enum { TOGETHER = 4 };

/* y[i] = nn_dot of sample i and w, for four samples whose sums do not wait for each other. */
static void dot_samples(const float *x, const float *w, int c, float *y)
{
    float sum[TOGETHER][NN_SUMS] = {{0}};
    int k = 0;
    for (; k + NN_SUMS <= c; k += NN_SUMS)
#pragma GCC unroll 4
        for (int i = 0; i < TOGETHER; i++)
#pragma omp simd
            for (int j = 0; j < NN_SUMS; j++)
                sum[i][j] = nn_fma(x[i * c + k + j], w[k + j], sum[i][j]);
    for (int i = 0; i < TOGETHER; i++) {
        for (int j = 0; k + j < c; j++)
            sum[i][j] = nn_fma(x[i * c + k + j], w[k + j], sum[i][j]);
        y[i] = nn_total(sum[i]);
    }
}

static void linear_outputs(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int n = s->in[0].shape.dim[0], c = s->in[0].shape.dim[1], o = s->out[0].shape.dim[1];
    const float *x = nn_f32(&s->in[0]), *w = nn_f32(&s->in[1]), *b = nn_f32(&s->in[2]);
    (void)thread;
    for (int64_t j = first; j < last; j++) {
        float *y = nn_f32(&s->out[0]) + j, shift = b ? b[j] : 0, four[TOGETHER];
        int64_t i = 0;
        for (; i + TOGETHER <= n; i += TOGETHER) {
            dot_samples(x + i * c, w + j * c, c, four);
            for (int r = 0; r < TOGETHER; r++)
                y[(i + r) * o] = four[r] + shift;
        }
        for (; i < n; i++)
            y[i * o] = nn_dot(x + i * c, w + j * c, c) + shift;
    }
}

static void data_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int o = s->in[0].shape.dim[1], c = s->out[0].shape.dim[1];
    const float *dy = nn_f32(&s->in[0]), *w = nn_f32(&s->in[1]);
    float *dx = nn_f32(&s->out[0]);
    (void)thread;
    memset(dx + first * c, 0, (size_t)(last - first) * (size_t)c * sizeof *dx);
    for (int64_t j = 0; j < o; j++)
        for (int64_t i = first; i < last; i++)
            add_scaled(dy[i * o + j], w + j * c, dx + i * c, c);
}

static void weights_outputs(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    int n = s->in[0].shape.dim[0], c = s->in[0].shape.dim[1], o = s->in[1].shape.dim[1];
    const float *x = nn_f32(&s->in[0]), *dy = nn_f32(&s->in[1]);
    float *dw = nn_f32(&s->out[0]), *db = nn_f32(&s->out[1]);
    (void)thread;
    for (int64_t j = first; j < last; j++) {
        float sum = 0;
        if (dw)
            memset(dw + j * c, 0, (size_t)c * sizeof *dw);
        for (int64_t i = 0; i < n; i++) {
            sum += dy[i * o + j];
            if (dw)
                add_scaled(dy[i * o + j], x + i * c, dw + j * c, c);
        }
        if (db)
            db[j] = sum;
    }
}

int nn_linear_rows(const struct nn_step *s)
{
    return s->apart ? s->attr.tokens : s->in[0].shape.dim[0];
}

bool nn_linear_pays(const struct nn_step *s)
{
    enum { ROWS_MIN = 32, WIDTH_MIN = 64 };
    struct nn_shape w = s->op == NN_OP_LINEAR_WEIGHTS ? s->out[0].shape : s->in[1].shape;
    return nn_plain_step(s) && w.rank == 2 && nn_linear_rows(s) >= ROWS_MIN &&
           w.dim[0] >= WIDTH_MIN && w.dim[1] >= WIDTH_MIN;
}

static int threads_of(const struct nn_step *s)
{
    struct nn_shape x = s->in[0].shape, w = s->in[1].shape;
    return nn_threads_for(s, nn_shape_count(x) * w.dim[1] /
                                 16); /* a product costs less than an element */
}
static status linear_run(const struct nn_step *s)
{
    nn_for_range(threads_of(s), s->out[0].shape.dim[1], linear_outputs, s);
    return STATUS_OK;
}
static status data_run(const struct nn_step *s)
{
    enum { SAMPLES = 16 }; /* for which w is read once */
    nn_for_blocks(threads_of(s), s->in[0].shape.dim[0], SAMPLES, data_samples, s);
    return STATUS_OK;
}
static status weights_run(const struct nn_step *s)
{
    nn_for_range(threads_of(s), s->in[1].shape.dim[1], weights_outputs, s);
    return STATUS_OK;
}

const struct nn_kernel nn_common_linear = {
    .op = NN_OP_LINEAR, .name = "common.linear", .run = linear_run};
const struct nn_kernel nn_common_linear_data = {
    .op = NN_OP_LINEAR_DATA, .name = "common.linear_data", .run = data_run};
const struct nn_kernel nn_common_linear_weights = {
    .op = NN_OP_LINEAR_WEIGHTS, .name = "common.linear_weights", .run = weights_run};
