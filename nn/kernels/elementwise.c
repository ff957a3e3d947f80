/* Sum, difference, product, affine map, copy (and cast), activations: any shape, any mix of stores. */
#include "kernels/kernels.h"

static bool anything(const struct nn_step *s)
{
    (void)s;
    return true;
}

typedef void row_fn(const struct nn_attr *attr, const float *a, const float *b, float *y, int n);

static void add_row(const struct nn_attr *attr, const float *a, const float *b, float *y, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = a[i] + b[i];
    nn_post_row(attr->post, y, n);
}
static void sub_row(const struct nn_attr *attr, const float *a, const float *b, float *y, int n)
{
    (void)attr;
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = a[i] - b[i];
}
static void mul_row(const struct nn_attr *attr, const float *a, const float *b, float *y, int n)
{
    (void)attr;
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}
static void affine_row(const struct nn_attr *attr, const float *a, const float *b, float *y, int n)
{
    (void)b;
    float scale = attr->scale, shift = attr->shift;
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = scale * a[i] + shift;
}
static void copy_row(const struct nn_attr *attr, const float *a, const float *b, float *y, int n)
{
    (void)attr, (void)b;
    if (y != a)
        memcpy(y, a, (size_t)n * sizeof *y);
}
static void act_row(const struct nn_attr *attr, const float *a, const float *b, float *y, int n)
{
    copy_row(attr, a, b, y, n);
    nn_post_row(NN_POST(attr->act), y, n);
}
static void act_back_row(const struct nn_attr *attr, const float *a, const float *b, float *y,
                         int n)
{
    nn_act_back_row(attr->act, a, b, y, n);
}

struct job {
    const struct nn_step *s;
    row_fn *row;
};

static void rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *job = ctx;
    const struct nn_step *s = job->s;
    bool more = s->op == NN_OP_ACT_BACK && nn_has(&s->in[2]);
    _Alignas(64) float sa[NN_ROW_MAX], sb[NN_ROW_MAX], sy[NN_ROW_MAX];
    (void)thread;
    for (int64_t at = first; at < last; at += NN_ROW_MAX) {
        int n = (int)nn_min(NN_ROW_MAX, last - at);
        const float *a = nn_row(&s->in[0], at, n, sa);
        if (more) {
            add_row(&(struct nn_attr){0}, a, nn_row(&s->in[2], at, n, sb), sa, n);
            a = sa;
        }
        const float *b = s->n_in > 1 ? nn_row(&s->in[1], at, n, sb) : NULL;
        float *y = nn_row_out(&s->out[0], at, sy);
        job->row(&s->attr, a, b, y, n);
        nn_row_put(&s->out[0], at, n, y);
    }
}

static status run_rows(const struct nn_step *s, row_fn *row)
{
    int64_t n = nn_shape_count(s->out[0].shape);
    nn_for_blocks(nn_threads_for(s, n), n, NN_ROW_MAX, rows, &(struct job){s, row});
    return STATUS_OK;
}

#define ELEMENTWISE(OP, row)                                                                       \
    static status row##_run(const struct nn_step *s)                                               \
    {                                                                                              \
        return run_rows(s, row##_row);                                                             \
    }                                                                                              \
    const struct nn_kernel nn_common_##row = {                                                     \
        .op = NN_OP_##OP, .name = "common." #row, .supports = anything, .run = row##_run};
ELEMENTWISE(ADD, add)
ELEMENTWISE(SUB, sub)
ELEMENTWISE(MUL, mul)
ELEMENTWISE(AFFINE, affine)
ELEMENTWISE(COPY, copy)
ELEMENTWISE(ACT, act)
ELEMENTWISE(ACT_BACK, act_back)
