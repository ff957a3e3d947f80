/* Fully connected layers: y = x w' + b, dx = dy w, dw = dy' x, db = sum of dy. */
#include "openblas/openblas.h"

/* Sizes from the tensors that play x, w and y in any of the three ops. */
struct dims {
    int rows, c, o;
};

static struct dims dims_of(const struct nn_step *s)
{
    const struct nn_tensor *x = s->op == NN_OP_LINEAR_DATA ? &s->out[0] : &s->in[0];
    const struct nn_tensor *y = s->op == NN_OP_LINEAR        ? &s->out[0]
                                : s->op == NN_OP_LINEAR_DATA ? &s->in[0]
                                                             : &s->in[1];
    return (struct dims){x->shape.dim[0], x->shape.dim[1], y->shape.dim[1]};
}

/* ---- items are blocks of rows ---- */

static void forward_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct dims d = dims_of(s);
    const float *x = nn_f32(&s->in[0]) + first * d.c, *bias = nn_f32(&s->in[2]);
    float *y = nn_f32(&s->out[0]) + first * d.o;
    (void)thread;
    for (int64_t r = 0; bias && r < last - first; r++)
        memcpy(y + r * d.o, bias, (size_t)d.o * sizeof *y);
    nn_gemm(false, true, (int)(last - first), d.o, d.c, 1, x, d.c, nn_f32(&s->in[1]), d.c,
            bias ? 1 : 0, y, d.o);
}

static void data_rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct dims d = dims_of(s);
    (void)thread;
    nn_gemm(false, false, (int)(last - first), d.c, d.o, 1, nn_f32(&s->in[0]) + first * d.o, d.o,
            nn_f32(&s->in[1]), d.c, 0, nn_f32(&s->out[0]) + first * d.c, d.c);
}

/* Samples that are apart one by one, so that a sample's bits are its own. */
static status run_rows(const struct nn_step *s, nn_range_fn *fn)
{
    enum { BLOCK = 64 };
    int rows = s->in[0].shape.dim[0], each = nn_linear_rows(s);
    if (!s->apart) {
        nn_for_blocks(s->threads, rows, BLOCK, fn, s);
        return STATUS_OK;
    }
    for (int r = 0; r < rows; r += each)
        fn(s, r, r + each, 0);
    return STATUS_OK;
}
static status forward_run(const struct nn_step *s)
{
    return run_rows(s, forward_rows);
}
static status data_run(const struct nn_step *s)
{
    return run_rows(s, data_rows);
}

/* ---- items are outputs ---- */

static void weights_outputs(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct dims d = dims_of(s);
    const float *dy = nn_f32(&s->in[1]);
    float *db = nn_f32(&s->out[1]);
    (void)thread;
    nn_gemm(true, false, (int)(last - first), d.c, d.rows, 1, dy + first, d.o, nn_f32(&s->in[0]),
            d.c, 0, nn_f32(&s->out[0]) + first * d.c, d.c);
    for (int64_t j = first; db && j < last; j += NN_LINE_FLOATS) {
        int n = (int)nn_min(NN_LINE_FLOATS, last - j);
        double sum[NN_LINE_FLOATS] = {0};
        for (int64_t r = 0; r < d.rows; r++)
            for (int k = 0; k < n; k++)
                sum[k] += (double)dy[r * d.o + j + k];
        for (int k = 0; k < n; k++)
            db[j + k] = (float)sum[k];
    }
}

static status weights_run(const struct nn_step *s)
{
    nn_for_blocks(s->threads, dims_of(s).o, NN_LINE_FLOATS, weights_outputs, s);
    return STATUS_OK;
}

const struct nn_kernel nn_openblas_linear = {
    .op = NN_OP_LINEAR, .name = "openblas.linear", .supports = nn_linear_pays, .run = forward_run};
const struct nn_kernel nn_openblas_linear_data = {.op = NN_OP_LINEAR_DATA,
                                                  .name = "openblas.linear_data",
                                                  .supports = nn_linear_pays,
                                                  .run = data_run};
const struct nn_kernel nn_openblas_linear_weights = {.op = NN_OP_LINEAR_WEIGHTS,
                                                     .name = "openblas.linear_weights",
                                                     .supports = nn_linear_pays,
                                                     .run = weights_run};
