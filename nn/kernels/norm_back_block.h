#ifndef NN_NORM_BACK_BLOCK_H
#define NN_NORM_BACK_BLOCK_H
/*
 * norm_back_block: the common cases of norm_back.c straight from memory to memory: whole vectors of
 * channels, all tensors stored alike, no activation or ReLU, ReLU6 or SiLU. The operations are those of
 * norm_back.c's general case, element by element, so the bits are the same.
 */
#include "kernels/lanes.h"
#include "ops/op.h"

struct pixel_block {
    const void *dy, *x, *res; /* dy is u where that was kept; res NULL: none */
    void *dx;                 /* NULL: nothing is written */
    int rows, c;
};

static inline __attribute__((always_inline)) nn_lanes upstream_lanes(int post, nn_lanes dy,
                                                                     nn_lanes v)
{
    const nn_lanes one = nn_lanes_all(1);
    if (post == NN_POST(NN_RELU))
        return nn_lanes_unless_below(v, dy);
    if (post == NN_POST(NN_RELU6))
        return nn_lanes_unless_below(nn_lanes_all(6) - v, nn_lanes_unless_below(v, dy));
    if (post != NN_POST(NN_SILU))
        return dy;
    nn_lanes sigma = one / (one + nn_lanes_exp(-v));
    return dy * (sigma * (one + v * (one - sigma)));
}

/* Where the forward map's coefficients, the means and the sums of back_sums are, per channel. */
struct block_sums {
    const float *a, *b, *mean;
    float *s1, *s2;
};

/* Channels k .. k + width vectors, as row_sums in norm_back.c. */
static inline __attribute__((always_inline)) void sum_vectors(int width, int post, bool bf16,
                                                              const struct pixel_block *t,
                                                              const struct block_sums *to, int k)
{
    nn_lanes a[2], b[2], mean[2], sum[2], dot[2];
    for (int j = 0; j < width; j++) {
        int at = k + j * NN_LANES;
        a[j] = nn_lanes_load(to->a + at), b[j] = nn_lanes_load(to->b + at);
        mean[j] = nn_lanes_load(to->mean + at);
        sum[j] = nn_lanes_load(to->s1 + at), dot[j] = nn_lanes_load(to->s2 + at);
    }
    for (int64_t r = 0; r < t->rows; r++)
        for (int j = 0; j < width; j++) {
            int64_t at = r * t->c + k + j * NN_LANES;
            nn_lanes x = nn_lanes_load_at(t->x, bf16, at), u = nn_lanes_load_at(t->dy, bf16, at);
            u = upstream_lanes(post, u, nn_lanes_fma(a[j], x, b[j]));
            sum[j] += u;
            dot[j] = nn_lanes_fma(u, x - mean[j], dot[j]);
            if (t->dx)
                nn_lanes_store_at(t->dx, bf16, at, u);
        }
    for (int j = 0; j < width; j++) {
        nn_lanes_store(to->s1 + k + j * NN_LANES, sum[j]);
        nn_lanes_store(to->s2 + k + j * NN_LANES, dot[j]);
    }
}

static inline __attribute__((always_inline)) void
sum_block(int post, bool bf16, const struct pixel_block *t, const struct block_sums *to)
{
    int k = 0;
    for (; k + 2 * NN_LANES <= t->c; k += 2 * NN_LANES)
        sum_vectors(2, post, bf16, t, to, k);
    if (k < t->c)
        sum_vectors(1, post, bf16, t, to, k);
}

static inline __attribute__((always_inline)) void apply_block(int post, bool bf16,
                                                              const struct pixel_block *t,
                                                              const float *a, const float *b,
                                                              const float *p)
{
    const float *q = p + t->c, *r = q + t->c;
    for (int64_t row = 0; row < t->rows; row++)
        for (int k = 0; k < t->c; k += NN_LANES) {
            nn_lanes x = nn_lanes_load_at(t->x, bf16, row * t->c + k);
            nn_lanes u = nn_lanes_load_at(t->dy, bf16, row * t->c + k);
            u = upstream_lanes(post, u,
                               nn_lanes_fma(nn_lanes_load(a + k), x, nn_lanes_load(b + k)));
            nn_lanes dx = nn_lanes_fma(nn_lanes_load(q + k), x, nn_lanes_load(r + k));
            dx = nn_lanes_fma(nn_lanes_load(p + k), u, dx);
            if (t->res)
                dx += nn_lanes_load_at(t->res, bf16, row * t->c + k);
            nn_lanes_store_at(t->dx, bf16, row * t->c + k, dx);
        }
}

/* post and the store as constants */
#define BLOCK(call, post, bf16, ...)                                                               \
    switch ((post)*2 + (bf16)) {                                                                   \
    case NN_POST_NONE * 2:                                                                         \
        call(NN_POST_NONE, false, __VA_ARGS__);                                                    \
        break;                                                                                     \
    case NN_POST_NONE * 2 + 1:                                                                     \
        call(NN_POST_NONE, true, __VA_ARGS__);                                                     \
        break;                                                                                     \
    case NN_POST(NN_RELU) * 2:                                                                     \
        call(NN_POST(NN_RELU), false, __VA_ARGS__);                                                \
        break;                                                                                     \
    case NN_POST(NN_RELU) * 2 + 1:                                                                 \
        call(NN_POST(NN_RELU), true, __VA_ARGS__);                                                 \
        break;                                                                                     \
    case NN_POST(NN_RELU6) * 2:                                                                    \
        call(NN_POST(NN_RELU6), false, __VA_ARGS__);                                               \
        break;                                                                                     \
    case NN_POST(NN_RELU6) * 2 + 1:                                                                \
        call(NN_POST(NN_RELU6), true, __VA_ARGS__);                                                \
        break;                                                                                     \
    case NN_POST(NN_SILU) * 2:                                                                     \
        call(NN_POST(NN_SILU), false, __VA_ARGS__);                                                \
        break;                                                                                     \
    default:                                                                                       \
        call(NN_POST(NN_SILU), true, __VA_ARGS__);                                                 \
    }

#endif
