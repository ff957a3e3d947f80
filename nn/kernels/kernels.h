#ifndef NN_KERNELS_H
#define NN_KERNELS_H
/*
 * kernels: what the optimised plain C kernels (device "common") share.
 *
 * They read and write f32 and bf16 tensors alike, by rows (device.h), and their innermost loop is over
 * channels, so that the compiler vectorises it. Loops over pixels go through the parallel loops
 * (device.h). Sums over pixels are made in an order that depends on shapes and the thread count only.
 */
#include "device/device.h"
#include "kernels/exp.h"

#include <string.h>

/* a b + c in one rounding where the CPU has an instruction for it. Written out because ISO C mode
   keeps gcc from making it of a * b + c, and because other folders' bits are not to change with it.
 */
static inline float nn_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* p 2^n, n + 127 in the low bits of t: exact, as n is at least -126 and then p above 1. A NaN p
   stays one, whatever t's bits are then. */
static inline float nn_exp_scaled(float p, float t)
{
    uint32_t bits;
    float power;
    memcpy(&bits, &t, sizeof bits);
    bits <<= 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}
static inline float nn_exp_limited(float x)
{
    x = x > NN_EXP_MAX ? NN_EXP_MAX : x;
    return x < NN_EXP_MIN ? NN_EXP_MIN : x;
}
/* exp (exp.h), in operations a compiler vectorises */
static inline float nn_expf(float x)
{
    x = nn_exp_limited(x);
    float t = nn_fma(x, NN_EXP_LOG2E, NN_EXP_ROUND), n = t - NN_EXP_ROUND;
    float r = nn_fma(n, -NN_EXP_LN2_REST, nn_fma(n, -NN_EXP_LN2_FIRST, x));
    float p = nn_exp_terms[0];
    for (int i = 1; i < NN_EXP_TERMS; i++)
        p = nn_fma(p, r, nn_exp_terms[i]);
    return nn_exp_scaled(p, t);
}
static inline float nn_sigmoidf(float x)
{
    return 1.0f / (1.0f + nn_expf(-x));
}
static inline float nn_siluf(float x)
{
    return x / (1.0f + nn_expf(-x));
}
/* The same for results that become bf16. */
static inline float nn_expf_bf16(float x)
{
    x = nn_exp_limited(x);
    float t = nn_fma(x, NN_EXP_LOG2E, NN_EXP_ROUND);
    float f = nn_fma(x, NN_EXP_LOG2E, -(t - NN_EXP_ROUND)), p = nn_exp2_terms[0];
    for (int i = 1; i < NN_EXP2_TERMS; i++)
        p = nn_fma(p, f, nn_exp2_terms[i]);
    return nn_exp_scaled(p, t);
}
static inline float nn_siluf_bf16(float x)
{
    return x / (1.0f + nn_expf_bf16(-x));
}

/* Element i of f32 or bf16 memory; `bf16` is a constant where these are used, so that one loop body
   becomes two loops. Rounding is to nearest, ties to even; what is too small for a normal number
   becomes a zero. */
static inline float nn_load_at(const void *p, bool bf16, int64_t i)
{
    float f;
    if (!bf16)
        return ((const float *)p)[i];
    uint32_t u = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline void nn_store_at(void *p, bool bf16, int64_t i, float f)
{
    uint32_t u;
    if (!bf16) {
        ((float *)p)[i] = f;
        return;
    }
    memcpy(&u, &f, sizeof u);
    uint32_t rounded = u + 0x7fff + ((u >> 16) & 1);
    rounded = f != f ? u | 0x400000 : rounded;           /* a NaN stays one */
    rounded = u & 0x7f800000 ? rounded : u & 0x80000000; /* as CPUs do that have it in hardware */
    ((uint16_t *)p)[i] = (uint16_t)(rounded >> 16);
}

/*
 * Sums along a row are kept as sixteen running sums, element i in sum i % 16, which are then added
 * by halves: an order that does not depend on how wide vectors are.
 */
enum { NN_SUMS = 16 };
static inline float nn_total(const float sum[NN_SUMS])
{
    /* vectors spelled out: left to the compiler the sums go through memory one by one */
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    eight low, high;
    four left, right;
    memcpy(&low, sum, sizeof low);
    memcpy(&high, sum + 8, sizeof high);
    low += high;
    memcpy(&left, &low, sizeof left);
    memcpy(&right, (const char *)&low + sizeof left, sizeof right);
    left += right;
    return (left[0] + left[2]) + (left[1] + left[3]);
}
/* sum a[i] b[i] */
static inline float nn_dot(const float *a, const float *b, int n)
{
    float sum[NN_SUMS] = {0};
    int i = 0;
    for (; i + NN_SUMS <= n; i += NN_SUMS)
#pragma omp simd
        for (int k = 0; k < NN_SUMS; k++)
            sum[k] = nn_fma(a[i + k], b[i + k], sum[k]);
    for (int k = 0; i < n; i++, k++)
        sum[k] = nn_fma(a[i], b[i], sum[k]);
    return nn_total(sum);
}

/* y[i] = post(y[i]) */
void nn_post_row(int post, float *y, int n);
/* y = post(y) for elements first..last-1 of a tensor. */
typedef void nn_post_fn(const struct nn_tensor *y, int post, int64_t first, int64_t last);
nn_post_fn nn_post;
/* Rounds n floats to bf16, as nn_store_at does. */
typedef void nn_to_bf16_fn(const float *x, int64_t n, uint16_t *out);
nn_to_bf16_fn nn_to_bf16;
/* dx[i] = dy[i] * post'(v[i]) where v is the value before the activation. */
void nn_post_back_row(int post, const float *dy, const float *v, float *dx, int n);
/* The same of activation `kind`, from what acts.h says is saved of it. */
void nn_act_back_row(enum nn_act_kind kind, const float *dy, const float *saved, float *dx, int n);

/* Each row (n) of p becomes softmax(scale p): in place, or where bf16 is given there, rounded; then
   p holds nothing. n > 0. */
typedef void nn_softmax_fn(float *p, int rows, int n, float scale, uint16_t *bf16);
nn_softmax_fn nn_softmax;
/* The same in place for the rows of panels (rows, n) (panels.h). */
void nn_softmax_panels(float *p, int rows, int n);

/* How many threads pay for so many elements of cheap work. */
static inline int nn_threads_for(const struct nn_step *s, int64_t elements)
{
    return elements < 32768 ? 1 : s->threads;
}

/* (N,H,W,C) as N, pixels of one sample, C. */
struct nn_nhwc {
    int64_t n, pixels;
    int c;
};
static inline struct nn_nhwc nn_nhwc(struct nn_shape s)
{
    return (struct nn_nhwc){s.dim[0], (int64_t)s.dim[1] * s.dim[2], s.dim[3]};
}
/* Whole pixels of c channels that fit a row, at least 1 (c <= NN_ROW_MAX). */
static inline int nn_row_pixels(int c)
{
    return NN_ROW_MAX / c;
}
static inline int64_t nn_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
/* Channels fit a row, and the tensor has them last. */
static inline bool nn_channels_fit(const struct nn_tensor *t)
{
    return t->shape.rank == 4 && t->shape.dim[3] <= NN_ROW_MAX;
}

#define NN_COMMON_KERNELS(X)                                                                       \
    X(add)                                                                                         \
    X(sub)                                                                                         \
    X(mul)                                                                                         \
    X(affine)                                                                                      \
    X(copy)                                                                                        \
    X(act)                                                                                         \
    X(act_back)                                                                                    \
    X(group_norm)                                                                                  \
    X(group_norm_back)                                                                             \
    X(batch_norm)                                                                                  \
    X(batch_norm_back)                                                                             \
    X(layer_norm)                                                                                  \
    X(layer_norm_back)                                                                             \
    X(add_nc)                                                                                      \
    X(mul_nc)                                                                                      \
    X(sum_hw)                                                                                      \
    X(dot_hw)                                                                                      \
    X(spread_hw)                                                                                   \
    X(concat)                                                                                      \
    X(slice_c)                                                                                     \
    X(pad_c)                                                                                       \
    X(upsample2)                                                                                   \
    X(upsample2_back)                                                                              \
    X(max_pool)                                                                                    \
    X(max_pool_back)                                                                               \
    X(avg_pool)                                                                                    \
    X(avg_pool_back)                                                                               \
    X(linear)                                                                                      \
    X(linear_data)                                                                                 \
    X(linear_weights)                                                                              \
    X(dropout)                                                                                     \
    X(unit_norm)                                                                                   \
    X(unit_norm_back)                                                                              \
    X(wsq_diff)                                                                                    \
    X(wsq_diff_back)                                                                               \
    X(mse)                                                                                         \
    X(mse_back)

/* Convolutions that devices list before their own: by Winograd's algorithm (winograd.h), by im2col
   (im2col.h) and in tiles (amx.h), for the shapes at which those are faster. */
extern const struct nn_kernel nn_winograd_conv2d, nn_winograd_conv2d_data,
    nn_winograd_conv2d_weights;
extern const struct nn_kernel nn_im2col_conv2d, nn_im2col_conv2d_weights,
    nn_im2col_vnni_conv2d_weights;
/* Depthwise convolutions (conv_depthwise.c). */
extern const struct nn_kernel nn_depthwise_conv2d, nn_depthwise_conv2d_data,
    nn_depthwise_conv2d_weights;
/* Attention where positions and a head's channels are multiples of 16. */
extern const struct nn_kernel nn_panel_attention, nn_panel_attention_back;

/* All of the above as compiled for one kind of CPU; the lists are NULL-terminated. */
struct nn_kernel_set {
    const struct nn_kernel *const *common;
    const struct nn_kernel *const *winograd;
    const struct nn_kernel *const *im2col;
    const struct nn_kernel *const *im2col_vnni; /* AVX512-BF16 */
    const struct nn_kernel *const *amx;         /* AMX, too: the device that lists them asks */
    const struct nn_kernel *const *depthwise;
    const struct nn_kernel *const *attention;
    nn_softmax_fn *softmax;
    nn_post_fn *post;
    nn_to_bf16_fn *to_bf16;
};
/* x86-64: AVX2. And the same sources once more for AVX-512, and for that with its instructions for
   bf16 (Makefile), with the same bits. */
extern const struct nn_kernel_set nn_kernels, nn_kernels_avx512, nn_kernels_bf16;
const struct nn_kernel_set *nn_kernels_here(void);
/* db = dy summed over pixels. */
void nn_bias_gradient(const struct nn_step *s, const struct nn_tensor *dy,
                      const struct nn_tensor *db);
/* sum (floats) += the parts that follow it in memory, 1 to parts - 1 in that order. */
void nn_add_parts(const struct nn_step *s, float *sum, size_t floats, int64_t parts);

/* Whether a linear step is large enough for a matrix product of the device's; common.linear computes
   the others. */
bool nn_linear_pays(const struct nn_step *s);
/* Rows of x in one such product: those of a sample where samples are apart, else those of the batch. */
int nn_linear_rows(const struct nn_step *s);

#define X(name) extern const struct nn_kernel nn_common_##name;
NN_COMMON_KERNELS(X)
#undef X

#endif
