#ifndef NN_OP_CASES_H
#define NN_OP_CASES_H
/*
 * op_cases: random little graphs, one maker per op or fused group of ops, for the tests that
 * compare devices, fusion on and off, and gradients with finite differences.
 *
 * A case is (maker, seed): the same seed gives the same shapes, attributes and numbers. Every float
 * source is a leaf, which may be differentiated; y is the result.
 *
 * Included by test programs only; everything is static.
 */
#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

#define TEST_ONLY __attribute__((unused)) static

enum { CASE_LEAVES_MAX = 12 };

struct op_case {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_val y;
    struct nn_val leaf[CASE_LEAVES_MAX];
    float spread[CASE_LEAVES_MAX]; /* standard deviation of its values */
    float centre[CASE_LEAVES_MAX];
    int n_leaves;
    struct nn_val labels; /* i32, values -1..classes */
    int classes;
    bool steps; /* inputs are multiples of 1/2: many are equal */
    uint64_t seed;
    uint64_t at; /* random words used */
};

struct op_maker {
    const char *name;
    void (*make)(struct op_case *c);
    float tolerance; /* of a device against the reference, relative to the largest value */
    bool no_gradient;
    bool no_differences; /* has a gradient, but it is large or has kinks everywhere */
};

static uint32_t word(struct op_case *c)
{
    return nn_rng_u32(nn_rng(c->seed, 1), c->at++);
}

/* Uniform in first..last. */
TEST_ONLY int op_case_int(struct op_case *c, int first, int last)
{
    return first + (int)(word(c) % (uint32_t)(last - first + 1));
}

static bool coin(struct op_case *c)
{
    return word(c) & 1;
}

static struct nn_val leaf_as(struct op_case *c, struct nn_shape s, bool param, float centre,
                             float spread)
{
    char name[16];
    snprintf(name, sizeof name, "%c%d", param ? 'p' : 'x', c->n_leaves);
    struct nn_val v =
        param ? nn_param(c->graph, name, s, NN_INIT_ZERO) : nn_input(c->graph, name, NN_F32, s);
    c->centre[c->n_leaves] = centre;
    c->spread[c->n_leaves] = spread;
    c->leaf[c->n_leaves++] = v;
    return v;
}
static struct nn_val input(struct op_case *c, struct nn_shape s)
{
    return leaf_as(c, s, false, 0.1f, 1);
}
static struct nn_val param(struct op_case *c, struct nn_shape s)
{
    return leaf_as(c, s, true, 0.2f, 0.7f);
}

/* Shapes: often small, now and then 1x1, one channel, or wide. */
static struct nn_shape image(struct op_case *c)
{
    int n = op_case_int(c, 1, 4), h = op_case_int(c, 1, 9), w = op_case_int(c, 1, 9);
    int channels = op_case_int(c, 1, 20);
    switch (op_case_int(c, 0, 7)) {
    case 0:
        h = w = 1;
        break;
    case 1:
        channels = 1;
        break;
    case 2:
        channels = 64;
        break;
    case 3:
        h = 17, w = 33;
        break;
    default:
        break;
    }
    return nn_shape4(n, h, w, channels);
}

static struct nn_val any_act(struct op_case *c, struct nn_val x)
{
    return nn_act(c->graph, x, (enum nn_act_kind)op_case_int(c, 0, NN_ACT_COUNT - 1));
}

/* One that lets large values through: what bounds them leaves the errors of what is before it. */
static struct nn_val unbounded_act(struct op_case *c, struct nn_val x)
{
    static const enum nn_act_kind kinds[] = {NN_RELU, NN_SILU, NN_GELU};
    return nn_act(c->graph, x, kinds[op_case_int(c, 0, ARRAY_LEN(kinds) - 1)]);
}

static struct nn_val random_conv(struct op_case *c, struct nn_val x, struct nn_shape xs)
{
    int kh = op_case_int(c, 1, 4), kw = coin(c) ? kh : op_case_int(c, 1, 4);
    struct nn_conv a = {.stride = op_case_int(c, 0, 3) ? 1 : op_case_int(c, 2, 3),
                        .pad_top = op_case_int(c, 0, 2),
                        .pad_left = op_case_int(c, 0, 2),
                        .pad_bottom = op_case_int(c, 0, 2),
                        .pad_right = op_case_int(c, 0, 2),
                        .groups = 1};
    if (kh == kw && kh % 2 && coin(c))
        a = nn_conv_same(kh, a.stride);
    if (kh > xs.dim[1] + a.pad_top + a.pad_bottom)
        kh = 1;
    if (kw > xs.dim[2] + a.pad_left + a.pad_right)
        kw = 1;
    int ci = xs.dim[3], o = op_case_int(c, 1, 24);
    if (op_case_int(c, 0, 4) == 0) {
        a.groups = coin(c) ? ci : (ci % 2 ? 1 : 2);
        o = a.groups * op_case_int(c, 1, 3);
    }
    struct nn_val w = param(c, nn_shape4(o, ci / a.groups, kh, kw));
    struct nn_val b = coin(c) ? param(c, nn_shape1(o)) : NN_NONE;
    return nn_conv2d(c->graph, x, w, b, a);
}

static void make_conv(struct op_case *c)
{
    struct nn_shape s = image(c);
    c->y = random_conv(c, input(c, s), s);
}
static void make_conv_block(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val x = input(c, s), y = random_conv(c, x, s);
    struct nn_shape ys = nn_val_shape(c->graph, y);
    if (op_case_int(c, 0, 3) == 0) /* a second reader: not to be fused */
        y = nn_add(c->graph, y, nn_affine(c->graph, y, -0.5f, 1));
    if (coin(c))
        y = nn_add_nc(c->graph, y, input(c, nn_shape2(ys.dim[0], ys.dim[3])));
    if (coin(c))
        y = nn_add(c->graph, y, input(c, ys));
    else if (nn_shape_equal(s, ys))
        y = nn_add(c->graph, x, y);
    if (coin(c))
        y = unbounded_act(c, y);
    if (op_case_int(c, 0, 3) == 0)
        y = nn_add(c->graph, y, input(c, ys));
    c->y = y;
}
/* Channels in whole blocks of 16, whatever may be fused behind. */
static void wide_conv(struct op_case *c, struct nn_shape xs, int o, int kh, int kw,
                      struct nn_conv a)
{
    struct nn_val x = input(c, xs);
    struct nn_val b = coin(c) ? param(c, nn_shape1(o)) : NN_NONE;
    struct nn_val y =
        nn_conv2d(c->graph, x, param(c, nn_shape4(o, xs.dim[3] / a.groups, kh, kw)), b, a);
    struct nn_shape ys = nn_val_shape(c->graph, y);
    if (coin(c))
        y = nn_add_nc(c->graph, y, input(c, nn_shape2(ys.dim[0], ys.dim[3])));
    if (coin(c))
        y = nn_add(c->graph, y, input(c, ys));
    if (coin(c))
        y = unbounded_act(c, y);
    c->y = y;
}
static struct nn_conv random_pads(struct op_case *c, int stride)
{
    return (struct nn_conv){.stride = stride,
                            .pad_top = op_case_int(c, 0, 4),
                            .pad_left = op_case_int(c, 0, 2),
                            .pad_bottom = op_case_int(c, 0, 3),
                            .pad_right = op_case_int(c, 1, 2),
                            .groups = 1};
}
/* What Winograd's algorithm takes: whole and cut tiles. */
static void make_conv_tiles(struct op_case *c)
{
    int side = op_case_int(c, 3, 14), other = op_case_int(c, 3, 20);
    int n = op_case_int(c, 1, 4), ci = 16 * op_case_int(c, 1, 3), o = 16 * op_case_int(c, 1, 4);
    wide_conv(c, nn_shape4(n, side, other, ci), o, 3, 3,
              coin(c) ? random_pads(c, 1) : nn_conv_same(3, 1));
}
/* The same over more tiles than one block has. */
static void make_conv_blocks(struct op_case *c)
{
    int side = op_case_int(c, 70, 90), n = op_case_int(c, 2, 3);
    wide_conv(c, nn_shape4(n, side, side, 16), 16, 3, 3, nn_conv_same(3, 1));
}
/* What im2col computes: any kernel and stride. */
static void make_conv_strided(struct op_case *c)
{
    int kh = op_case_int(c, 1, 5), kw = op_case_int(c, 1, 5), stride = op_case_int(c, 1, 3);
    int side = op_case_int(c, 5, 20), ci = 16 * op_case_int(c, 1, 2), o = 16 * op_case_int(c, 1, 3);
    wide_conv(c, nn_shape4(op_case_int(c, 1, 3), side, op_case_int(c, 5, 12), ci), o, kh, kw,
              random_pads(c, stride));
}
/* Depthwise. */
static void make_conv_depthwise(struct op_case *c)
{
    int channels = op_case_int(c, 2, 40), side = op_case_int(c, 1, 14);
    int kh = op_case_int(c, 1, 5), kw = op_case_int(c, 1, 5);
    struct nn_shape s = nn_shape4(op_case_int(c, 1, 4), side, op_case_int(c, 1, 14), channels);
    struct nn_conv a = coin(c) ? random_pads(c, op_case_int(c, 1, 3)) : nn_conv_same(3, 1);
    if (kh > s.dim[1] + a.pad_top + a.pad_bottom || kw > s.dim[2] + a.pad_left + a.pad_right)
        kh = kw = 1;
    a.groups = channels;
    wide_conv(c, s, channels, kh, kw, a);
}
/* Two convolutions of one value: their data gradients are added. */
static void make_conv_twice(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val x = nn_act(c->graph, input(c, s), NN_TANH);
    struct nn_val w = param(c, nn_shape4(3, s.dim[3], 3, 3)),
                  v = param(c, nn_shape4(3, s.dim[3], 1, 1));
    struct nn_val a = nn_conv2d(c->graph, x, w, NN_NONE, nn_conv_same(3, 1));
    struct nn_val b = nn_conv2d(c->graph, x, v, NN_NONE, nn_conv_same(1, 1));
    c->y = nn_add(c->graph, a, b);
}
/* Weights that are computed, and shared. */
static void make_conv_made_weights(struct op_case *c)
{
    struct nn_shape s =
        nn_shape4(op_case_int(c, 1, 3), op_case_int(c, 3, 9), op_case_int(c, 3, 9), 16);
    struct nn_val w = leaf_as(c, nn_shape4(16, 16, 3, 3), true, 0, 0.3f);
    w = nn_mul(c->graph, nn_affine(c->graph, w, 2, 0.1f), w);
    struct nn_val x = nn_conv2d(c->graph, input(c, s), w, NN_NONE, nn_conv_same(3, 1));
    if (coin(c))
        x = nn_conv2d(c->graph, nn_act(c->graph, x, NN_TANH), w, NN_NONE, nn_conv_same(3, 1));
    c->y = nn_conv2d(c->graph, x, w, NN_NONE, nn_conv_same(3, op_case_int(c, 1, 2)));
}
static void make_linear(struct op_case *c)
{
    int n = op_case_int(c, 1, 9), i = op_case_int(c, 1, 70), o = op_case_int(c, 1, 40);
    struct nn_val x = input(c, nn_shape2(n, i)), w = param(c, nn_shape2(o, i));
    c->y = nn_linear(c->graph, x, w, coin(c) ? param(c, nn_shape1(o)) : NN_NONE);
}
/* More rows than a batch has. */
static void make_linear_rows(struct op_case *c)
{
    struct nn_shape s = nn_shape3(op_case_int(c, 30, 40), op_case_int(c, 35, 40), 0);
    int o = op_case_int(c, 1, 90);
    s.dim[2] = op_case_int(c, 1, 70);
    struct nn_val x = input(c, s), w = param(c, nn_shape2(o, s.dim[2]));
    c->y = nn_linear(c->graph, x, w, coin(c) ? param(c, nn_shape1(o)) : NN_NONE);
}
/* Wide layers, of rows or sequences: what is left to the devices' GEMM. */
static void make_linear_wide(struct op_case *c)
{
    struct nn_shape s = coin(c) ? nn_shape2(op_case_int(c, 32, 130), 0)
                                : nn_shape3(op_case_int(c, 1, 3), op_case_int(c, 32, 70), 0);
    int width = op_case_int(c, 64, 200);
    int o = coin(c) ? 16 * op_case_int(c, 4, 10) : op_case_int(c, 64, 150);
    s.dim[s.rank - 1] = width;
    struct nn_val x = input(c, s), w = param(c, nn_shape2(o, width));
    c->y = nn_linear(c->graph, x, w, coin(c) ? param(c, nn_shape1(o)) : NN_NONE);
}
static struct nn_val random_group_norm(struct op_case *c, struct nn_val x, struct nn_shape s)
{
    int groups = s.dim[3] % 4 == 0 ? 4 : s.dim[3] % 3 == 0 ? 3 : 1;
    struct nn_val gamma = param(c, nn_shape1(s.dim[3])), beta = param(c, nn_shape1(s.dim[3]));
    return nn_group_norm(c->graph, x, gamma, beta, groups, 1e-2f);
}
static void make_group_norm(struct op_case *c)
{
    struct nn_shape s = image(c);
    c->y = random_group_norm(c, leaf_as(c, s, false, 2, 1), s);
}
static void make_group_norm_act(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val x = input(c, s);
    c->y = any_act(c, random_group_norm(c, x, s));
    if (coin(c))
        c->y = nn_add(c->graph, c->y, x);
}
static struct nn_val random_batch_norm(struct op_case *c, struct nn_val x, struct nn_shape s)
{
    struct nn_val gamma = param(c, nn_shape1(s.dim[3])), beta = param(c, nn_shape1(s.dim[3]));
    struct nn_val mean = nn_buffer(c->graph, "mean", nn_shape1(s.dim[3]), NN_INIT_ZERO);
    struct nn_val var = nn_buffer(c->graph, "var", nn_shape1(s.dim[3]), NN_INIT_ONE);
    return nn_batch_norm(c->graph, x, gamma, beta, mean, var, 0.3f, 1e-2f, coin(c));
}
static void make_batch_norm(struct op_case *c)
{
    struct nn_shape s = image(c);
    c->y = random_batch_norm(c, leaf_as(c, s, false, -3, 1), s);
}
static void make_batch_norm_block(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val x = input(c, s), y = random_batch_norm(c, x, s);
    if (coin(c))
        y = nn_add(c->graph, y, coin(c) ? x : input(c, s));
    c->y = coin(c) ? any_act(c, y) : y;
}
/* Large enough for the pixels of one sample to be shared among threads. */
static void make_norm_large(struct op_case *c)
{
    struct nn_shape s = nn_shape4(op_case_int(c, 1, 2), 41, 40, 24);
    struct nn_val x = leaf_as(c, s, false, 3, 1);
    struct nn_val y = coin(c) ? random_group_norm(c, x, s) : random_batch_norm(c, x, s);
    if (coin(c))
        y = any_act(c, y);
    c->y = coin(c) ? nn_add(c->graph, y, x) : y;
}
/* Rows of any length, also more than one block of them. */
static void make_layer_norm(struct op_case *c)
{
    int n = op_case_int(c, 1, 3), rows = op_case_int(c, 1, 90), channels = op_case_int(c, 1, 70);
    struct nn_shape s = coin(c) ? image(c) : nn_shape3(n, rows, channels);
    if (op_case_int(c, 0, 3) == 0)
        s = nn_shape2(rows, channels);
    int last = s.dim[s.rank - 1];
    struct nn_val gamma = param(c, nn_shape1(last)), beta = param(c, nn_shape1(last));
    struct nn_val x = leaf_as(c, s, false, 2, 1);
    c->y = nn_layer_norm(c->graph, x, gamma, beta, 1e-2f);
    if (coin(c))
        c->y = nn_add(c->graph, c->y, any_act(c, x));
}
/* Sequences joined, cut, with something added to each of them. */
static void make_tokens(struct op_case *c)
{
    struct nn_graph *g = c->graph;
    int n = op_case_int(c, 1, 4), l = op_case_int(c, 1, 7), channels = op_case_int(c, 1, 20);
    struct nn_val first = nn_repeat(g, param(c, nn_shape2(1, channels)), n);
    struct nn_val y = nn_concat_tokens(g, first, input(c, nn_shape3(n, l, channels)));
    y = nn_add_each(g, y, param(c, nn_shape2(l + 1, channels)));
    if (coin(c))
        y = nn_linear(g, y, param(c, nn_shape2(5, channels)), param(c, nn_shape1(5)));
    int from = op_case_int(c, 0, l);
    c->y = coin(c) ? nn_slice_tokens(g, y, from, op_case_int(c, 1, l + 1 - from)) : y;
}
static void make_act(struct op_case *c)
{
    struct nn_shape s =
        coin(c) ? image(c) : nn_shape2(op_case_int(c, 1, 5), op_case_int(c, 1, 3000));
    struct nn_val x = leaf_as(c, s, false, 0, coin(c) ? 1 : 8);
    c->y = any_act(c, x);
}
/* Sums, differences, products, a value read several times. */
static void make_arithmetic(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_graph *g = c->graph;
    struct nn_val a = input(c, s), b = input(c, s), d = param(c, s);
    struct nn_val t = nn_add(g, nn_mul(g, a, b), nn_affine(g, d, -1.5f, 0.25f));
    c->y = nn_sub(g, nn_mul(g, t, t), nn_add(g, a, a));
}
static void make_with_nc(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val v = input(c, nn_shape2(s.dim[0], s.dim[3])), x = input(c, s);
    struct nn_val y = nn_mul_nc(c->graph, x, v);
    c->y = coin(c) ? nn_add_nc(c->graph, y, v) : y;
}
static void make_concat_slice(struct op_case *c)
{
    struct nn_shape s = image(c), t = s;
    t.dim[3] = op_case_int(c, 1, 9);
    struct nn_val y = nn_concat(c->graph, input(c, s), input(c, t));
    int all = s.dim[3] + t.dim[3], first = op_case_int(c, 0, all - 1);
    struct nn_val part = nn_slice_c(c->graph, y, first, op_case_int(c, 1, all - first));
    c->y = coin(c) ? part : y;
}
static void make_reshape(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val x = nn_act(c->graph, input(c, s), NN_TANH);
    struct nn_val flat =
        nn_reshape(c->graph, x, nn_shape2(s.dim[0], (int)(nn_shape_count(s) / s.dim[0])));
    struct nn_val back = nn_reshape(c->graph, nn_mul(c->graph, flat, flat), s);
    c->y = nn_add(c->graph, back, x);
}
static void make_upsample(struct op_case *c)
{
    c->y = nn_upsample2(c->graph, input(c, image(c)));
}
static void make_pool(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_pool a = {
        .kernel = op_case_int(c, 1, 3), .stride = op_case_int(c, 1, 3), .ceil_mode = coin(c)};
    a.pad = op_case_int(c, 0, a.kernel / 2);
    int side = s.dim[1] < s.dim[2] ? s.dim[1] : s.dim[2];
    int beyond = a.ceil_mode ? a.stride - 1 : 0; /* the only window may reach so far */
    if (a.kernel > side + 2 * a.pad + beyond)
        a = (struct nn_pool){1, 1, 0, false};
    struct nn_val x = input(c, s);
    c->y = coin(c) ? nn_max_pool(c->graph, x, a) : nn_avg_pool(c->graph, x, a);
}
/* Equal values in one window: the gradient goes to the first. */
static void make_pool_ties(struct op_case *c)
{
    struct nn_shape s =
        nn_shape4(2, op_case_int(c, 4, 9), op_case_int(c, 4, 9), op_case_int(c, 1, 9));
    c->steps = true;
    c->y = nn_max_pool(c->graph, input(c, s), (struct nn_pool){3, op_case_int(c, 1, 2), 1, false});
}
static void make_global_pool(struct op_case *c)
{
    c->y = nn_global_avg_pool(c->graph, input(c, image(c)));
}
static void make_attention(struct op_case *c)
{
    struct nn_shape s =
        nn_shape4(op_case_int(c, 1, 3), op_case_int(c, 1, 6), op_case_int(c, 1, 6), 0);
    int heads = op_case_int(c, 1, 3);
    s.dim[3] = heads * op_case_int(c, 1, 17);
    struct nn_val q = input(c, s), k = input(c, s), v = input(c, s);
    c->y = nn_attention(c->graph, q, coin(c) ? q : k, v, heads);
}
/* What is computed by panels; some have more than one block of positions. */
static void make_attention_panels(struct op_case *c)
{
    int heads = op_case_int(c, 1, 2);
    struct nn_shape s = nn_shape4(op_case_int(c, 1, 2), 4 * op_case_int(c, 1, 4),
                                  4 * op_case_int(c, 1, 3), heads * 16 * op_case_int(c, 1, 2));
    struct nn_val q = input(c, s), k = input(c, s), v = input(c, s);
    c->y = nn_attention(c->graph, q, coin(c) ? q : k, v, heads);
}
static void make_dropout(struct op_case *c)
{
    c->y = nn_dropout(c->graph, input(c, image(c)), 0.4f);
}
static void make_unit_norm(struct op_case *c)
{
    c->y = nn_unit_norm(c->graph, input(c, image(c)), 1e-6f);
}
static void make_wsq_diff(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val a = input(c, s), b = input(c, s);
    c->y = nn_weighted_sq_diff(c->graph, a, b, param(c, nn_shape1(s.dim[3])));
}
static void make_xent(struct op_case *c)
{
    int n = op_case_int(c, 1, 7);
    c->classes = op_case_int(c, 1, 12);
    struct nn_val x = leaf_as(c, nn_shape2(n, c->classes), false, 0, 3);
    c->labels = nn_input(c->graph, "labels", NN_I32, nn_shape1(n));
    c->y = nn_softmax_xent(c->graph, x, c->labels);
}
static void make_soft_xent(struct op_case *c)
{
    struct nn_shape s = nn_shape2(op_case_int(c, 1, 7), op_case_int(c, 1, 12));
    struct nn_val x = leaf_as(c, s, false, 0, 3);
    c->y = nn_soft_xent(c->graph, x, leaf_as(c, s, false, .2f, .3f));
}
static void make_mse(struct op_case *c)
{
    struct nn_shape s = image(c);
    struct nn_val a = input(c, s), b = input(c, s);
    c->y = nn_mse(c->graph, a, b);
}
static void make_total(struct op_case *c)
{
    struct nn_val x = input(c, image(c)), sq = nn_mul(c->graph, x, x);
    c->y = coin(c) ? nn_sum(c->graph, sq) : nn_mean(c->graph, sq);
}
static void make_timestep(struct op_case *c)
{
    struct nn_val t = leaf_as(c, nn_shape1(op_case_int(c, 1, 5)), false, 300, 100);
    c->y = nn_timestep_embedding(c->graph, t, 2 * op_case_int(c, 2, 70), coin(c));
}
/* A residual block as in a diffusion UNet: most fusions at once. */
static void make_unet_block(struct op_case *c)
{
    struct nn_graph *g = c->graph;
    struct nn_shape s =
        nn_shape4(op_case_int(c, 1, 3), op_case_int(c, 1, 8), op_case_int(c, 1, 8), 8);
    struct nn_val x = input(c, s), temb = input(c, nn_shape2(s.dim[0], 12));
    struct nn_val h = nn_act(g, random_group_norm(c, x, s), NN_SILU);
    h = nn_conv2d(g, h, param(c, nn_shape4(12, 8, 3, 3)), param(c, nn_shape1(12)),
                  nn_conv_same(3, 1));
    h = nn_add_nc(g, h, nn_act(g, temb, NN_SILU));
    struct nn_shape t = s;
    t.dim[3] = 12;
    h = nn_act(g, random_group_norm(c, h, t), NN_SILU);
    h = nn_conv2d(g, h, param(c, nn_shape4(12, 12, 3, 3)), NN_NONE, nn_conv_same(3, 1));
    struct nn_val skip =
        nn_conv2d(g, x, param(c, nn_shape4(12, 8, 1, 1)), NN_NONE, nn_conv_same(1, 1));
    c->y = nn_add(g, h, skip);
}

/* Two branches with the same parameters, layer by layer or one after the other. */
struct tower {
    struct nn_val gamma, beta, mean, var, w;
    bool batch, training;
};
static struct tower shared_tower(struct op_case *c, int channels)
{
    struct nn_shape each = nn_shape1(channels);
    struct tower t = {.gamma = param(c, each),
                      .beta = param(c, each),
                      .mean = nn_buffer(c->graph, "mean", each, NN_INIT_ZERO),
                      .var = nn_buffer(c->graph, "var", each, NN_INIT_ONE),
                      .w = leaf_as(c, nn_shape4(channels, channels, 3, 3), true, 0, 0.15f),
                      .batch = coin(c),
                      .training = coin(c)};
    return t;
}
static struct nn_val tower_norm(struct op_case *c, const struct tower *t, struct nn_val x)
{
    return t->batch ? nn_batch_norm(c->graph, x, t->gamma, t->beta, t->mean, t->var, 0.3f, 1e-2f,
                                    t->training)
                    : nn_group_norm(c->graph, x, t->gamma, t->beta, 4, 1e-2f);
}
static struct nn_val tower_layer(struct op_case *c, const struct tower *t, int kind,
                                 struct nn_val x, struct nn_val skip)
{
    switch (kind) {
    case 0:
        return tower_norm(c, t, x);
    case 1:
        return nn_act(c->graph, x, NN_SILU);
    case 2:
        return nn_conv2d(c->graph, x, t->w, NN_NONE, nn_conv_same(3, 1));
    case 3:
        return nn_add(c->graph, x, skip);
    default:
        return nn_act(c->graph, x, NN_TANH);
    }
}
static void make_siamese(struct op_case *c)
{
    enum { LAYERS = 7 };
    int channels = coin(c) ? 8 : 16, kind[LAYERS];
    struct nn_shape s =
        nn_shape4(op_case_int(c, 1, 3), op_case_int(c, 2, 5), op_case_int(c, 2, 5), channels);
    struct nn_val x[2] = {input(c, s), input(c, s)}, skip[2] = {x[0], x[1]};
    const struct tower t = shared_tower(c, channels);
    bool together = coin(c);
    for (int i = 0; i < LAYERS; i++)
        kind[i] = i < 4 || coin(c) ? i % 4 : op_case_int(c, 0, 4);
    for (int i = 0; i < 2 * LAYERS; i++) {
        int branch = together ? i % 2 : i / LAYERS, layer = together ? i / 2 : i % LAYERS;
        struct nn_val y = tower_layer(c, &t, kind[layer], x[branch], skip[branch]);
        skip[branch] = coin(c) ? skip[branch] : x[branch];
        x[branch] = y;
    }
    c->y = nn_sub(c->graph, x[0], nn_affine(c->graph, x[1], 0.5f, 0.1f));
}
/* Any layer of any value made so far. */
static void make_shared_graph(struct op_case *c)
{
    enum { INPUTS = 2, VALUES = 12 };
    struct nn_shape s =
        nn_shape4(op_case_int(c, 1, 3), op_case_int(c, 2, 4), op_case_int(c, 2, 4), 16);
    struct nn_val v[VALUES] = {input(c, s), input(c, s)}, sum;
    const struct tower t = shared_tower(c, 16);
    for (int i = INPUTS; i < VALUES; i++)
        v[i] = tower_layer(c, &t, op_case_int(c, 0, 4),
                           v[op_case_int(c, i < 4 ? i - 2 : i - 3, i - 1)],
                           v[op_case_int(c, 0, i - 1)]);
    sum = nn_add(c->graph, v[VALUES - 1], v[VALUES - 2]);
    for (int i = 0; i < INPUTS; i++) /* the result depends on all leaves */
        sum = nn_add(c->graph, sum, nn_affine(c->graph, v[i], 0.25f, 0));
    sum = nn_add(c->graph, sum,
                 tower_norm(c, &t, nn_conv2d(c->graph, v[1], t.w, NN_NONE, nn_conv_same(3, 1))));
    c->y = sum;
}

static const struct op_maker op_makers[] = {
    {"conv2d", make_conv, 1e-5f, false, false},
    {"conv2d_block", make_conv_block, 1e-5f, false, false},
    {"conv2d_tiles", make_conv_tiles, 1e-5f, false, false},
    {"conv2d_blocks", make_conv_blocks, 1e-5f, false, true},
    {"conv2d_strided", make_conv_strided, 1e-5f, false, false},
    {"conv2d_depthwise", make_conv_depthwise, 1e-5f, false, false},
    {"conv2d_twice", make_conv_twice, 1e-5f, false, false},
    {"conv2d_made_weights", make_conv_made_weights, 1e-5f, false, false},
    {"linear", make_linear, 1e-5f, false, false},
    {"linear_rows", make_linear_rows, 1e-5f, false, true},
    {"linear_wide", make_linear_wide, 1e-5f, false, true},
    {"group_norm", make_group_norm, 3e-5f, false, false},
    {"group_norm_act", make_group_norm_act, 3e-5f, false, false},
    {"batch_norm", make_batch_norm, 3e-5f, false, false},
    {"batch_norm_block", make_batch_norm_block, 3e-5f, false, false},
    {"norm_large", make_norm_large, 3e-5f, false, true},
    {"layer_norm", make_layer_norm, 1e-5f, false, false},
    {"tokens", make_tokens, 1e-5f, false, false},
    {"act", make_act, 1e-6f, false, false},
    {"arithmetic", make_arithmetic, 1e-6f, false, false},
    {"with_nc", make_with_nc, 1e-5f, false, false},
    {"concat_slice", make_concat_slice, 0, false, false},
    {"reshape", make_reshape, 1e-6f, false, false},
    {"upsample2", make_upsample, 1e-6f, false, false},
    {"pool", make_pool, 1e-6f, false, false},
    {"max_pool_ties", make_pool_ties, 1e-6f, false, true},
    {"global_avg_pool", make_global_pool, 1e-6f, false, false},
    {"attention", make_attention, 1e-5f, false, false},
    {"attention_panels", make_attention_panels, 1e-5f, false, false},
    {"dropout", make_dropout, 0, false, false},
    {"unit_norm", make_unit_norm, 3e-6f, false, false},
    {"weighted_sq_diff", make_wsq_diff, 1e-5f, false, false},
    {"softmax_xent", make_xent, 1e-6f, false, false},
    {"soft_xent", make_soft_xent, 1e-6f, false, false},
    {"mse", make_mse, 1e-5f, false, false},
    {"total", make_total, 1e-6f, false, false},
    {"timestep_embedding", make_timestep, 1e-6f, true, false},
    {"unet_block", make_unet_block, 1e-4f, false, false},
    {"siamese", make_siamese, 1e-4f, false, false},
    {"shared_graph", make_shared_graph, 1e-4f, false, false},
};
enum { OP_MAKERS_COUNT = ARRAY_LEN(op_makers) };

TEST_ONLY void op_case_done(struct op_case *c)
{
    nn_graph_free(c->graph);
    nn_params_free(c->params);
    c->graph = NULL;
    c->params = NULL;
}

/* Builds the graph; the graph itself may hold an error. */
TEST_ONLY status op_case_new(struct op_case *c, const struct op_maker *maker, uint64_t seed)
{
    *c = (struct op_case){.seed = seed};
    status st = nn_params_new(&c->params);
    if (!st)
        st = nn_graph_new(c->params, &c->graph);
    if (!st)
        maker->make(c);
    if (st)
        op_case_done(c);
    return st;
}

static void normal(struct op_case *c, int stream, float centre, float spread, float *out, size_t n)
{
    struct nn_rng r = nn_rng(c->seed, 100 + (uint64_t)stream);
    nn_rng_normal(r, 0, out, n);
    for (size_t i = 0; i < n; i++)
        out[i] = c->steps ? 0.5f * (float)(int)(2 * out[i]) : centre + spread * out[i];
}

/* Sets parameters to the case's numbers. */
TEST_ONLY void op_case_fill_params(struct op_case *c)
{
    for (int i = 0; i < c->n_leaves; i++) {
        const struct nn_value *v = &c->graph->values[c->leaf[i].id];
        if (v->source == NN_FROM_PARAM)
            normal(c, i, c->centre[i], c->spread[i], v->param->value,
                   (size_t)nn_shape_count(v->shape));
    }
    struct nn_param_entry *mean = nn_params_find(c->params, "mean");
    struct nn_param_entry *var = nn_params_find(c->params, "var");
    for (int64_t i = 0; mean && i < nn_shape_count(mean->shape); i++) {
        mean->value[i] = 0.25f * (float)(i % 5);
        var->value[i] = 0.5f + 0.25f * (float)(i % 3);
    }
}

/* Sets inputs of the plan to the case's numbers. */
TEST_ONLY void op_case_fill(struct op_case *c, struct nn_plan *p)
{
    for (int i = 0; i < c->n_leaves; i++) {
        const struct nn_value *v = &c->graph->values[c->leaf[i].id];
        if (v->source == NN_FROM_INPUT)
            normal(c, i, c->centre[i], c->spread[i], nn_plan_data(p, c->leaf[i]),
                   (size_t)nn_shape_count(v->shape));
    }
    int32_t *labels = c->labels.id ? nn_plan_data(p, c->labels) : NULL;
    for (int i = 0; labels && i < nn_val_shape(c->graph, c->labels).dim[0]; i++)
        labels[i] =
            (int32_t)(nn_rng_u32(nn_rng(c->seed, 2), (uint64_t)i) % (uint32_t)(c->classes + 2)) - 1;
}

#endif
