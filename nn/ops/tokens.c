/*
 * Sequences (N,L,C): a sample's L rows of C lie one after another, so a sample is one row of L C
 * numbers. Seen that way joining and cutting sequences is joining and cutting channels, and what
 * is the same for every sample is added as to the pixels of one image. All of it is views.
 */
#include "ops/op.h"

#include <string.h>

static struct nn_shape sequence(int n, int l, int c)
{
    return (struct nn_shape){3, {n, l, c, 1}};
}

static bool is_sequence(struct nn_shape s)
{
    return s.rank == 3 && (int64_t)s.dim[1] * s.dim[2] <= INT32_MAX;
}

/* A sample as one row. */
static struct nn_val as_rows(struct nn_graph *g, struct nn_val x)
{
    struct nn_shape s = nn_val_shape(g, x);
    return nn_reshape(g, x, nn_shape2(s.dim[0], s.dim[1] * s.dim[2]));
}

struct nn_val nn_concat_tokens(struct nn_graph *g, struct nn_val a, struct nn_val b)
{
    struct nn_val in[] = {a, b};
    if (!nn_usable(g, "concat_tokens", in, 2))
        return NN_NONE;
    struct nn_shape as = nn_val_shape(g, a), bs = nn_val_shape(g, b);
    char ta[NN_SHAPE_TEXT], tb[NN_SHAPE_TEXT];
    if (!is_sequence(as) || !is_sequence(bs) || as.dim[0] != bs.dim[0] || as.dim[2] != bs.dim[2] ||
        as.dim[1] > INT32_MAX - bs.dim[1])
        return nn_fail(g, STATUS_INVALID, "concat_tokens: %s and %s do not fit (want (N,L,C))",
                       nn_shape_text(as, ta), nn_shape_text(bs, tb));
    return nn_reshape(g, nn_concat(g, as_rows(g, a), as_rows(g, b)),
                      sequence(as.dim[0], as.dim[1] + bs.dim[1], as.dim[2]));
}

struct nn_val nn_slice_tokens(struct nn_graph *g, struct nn_val x, int first, int count)
{
    if (!nn_usable(g, "slice_tokens", &x, 1))
        return NN_NONE;
    struct nn_shape s = nn_val_shape(g, x);
    char tx[NN_SHAPE_TEXT];
    if (!is_sequence(s) || first < 0 || count < 1 || first > s.dim[1] - count)
        return nn_fail(g, STATUS_INVALID, "slice_tokens: x %s has no %d rows from %d on",
                       nn_shape_text(s, tx), count, first);
    return nn_reshape(g, nn_slice_c(g, as_rows(g, x), first * s.dim[2], count * s.dim[2]),
                      sequence(s.dim[0], count, s.dim[2]));
}

/* v's dimensions behind a first of n. */
static struct nn_shape each_of(struct nn_shape v, int n)
{
    struct nn_shape s = {v.rank + 1, {n}};
    memcpy(s.dim + 1, v.dim, (size_t)v.rank * sizeof *v.dim);
    return s;
}

static bool fits_row(struct nn_shape v)
{
    return v.rank < NN_RANK_MAX && nn_shape_count(v) <= INT32_MAX;
}

struct nn_val nn_add_each(struct nn_graph *g, struct nn_val x, struct nn_val v)
{
    struct nn_val in[] = {x, v};
    if (!nn_usable(g, "add_each", in, 2))
        return NN_NONE;
    struct nn_shape xs = nn_val_shape(g, x), vs = nn_val_shape(g, v);
    char tx[NN_SHAPE_TEXT], tv[NN_SHAPE_TEXT];
    if (!fits_row(vs) || !nn_shape_equal(xs, each_of(vs, xs.dim[0])))
        return nn_fail(g, STATUS_INVALID, "add_each: %s and %s do not fit (want (N,..), (..))",
                       nn_shape_text(xs, tx), nn_shape_text(vs, tv));
    int row = (int)nn_shape_count(vs);
    struct nn_val flat = nn_reshape(g, x, nn_shape4(1, xs.dim[0], 1, row));
    return nn_reshape(g, nn_add_nc(g, flat, nn_reshape(g, v, nn_shape2(1, row))), xs);
}

struct nn_val nn_repeat(struct nn_graph *g, struct nn_val v, int n)
{
    if (!nn_usable(g, "repeat", &v, 1))
        return NN_NONE;
    struct nn_shape vs = nn_val_shape(g, v);
    char tv[NN_SHAPE_TEXT];
    if (!fits_row(vs) || n < 1)
        return nn_fail(g, STATUS_INVALID, "repeat: %s cannot be had %d times",
                       nn_shape_text(vs, tv), n);
    int row = (int)nn_shape_count(vs);
    struct nn_val flat = nn_reshape(g, v, nn_shape2(1, row));
    return nn_reshape(g,
                      nn_emit1(g, NN_OP_SPREAD_HW, &flat, 1, (struct nn_attr){.scale = 1},
                               nn_shape4(1, n, 1, row)),
                      each_of(vs, n));
}
