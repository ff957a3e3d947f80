#ifndef NN_GRAPH_H
#define NN_GRAPH_H
/*
 * graph: the arrays behind struct nn_graph, and the calls that the builders in ops/NAME.c use.
 *
 * - A graph is two growing arrays: values and nodes. A value is produced by one node or is a source
 *   (input, parameter, buffer). Nodes stand in an order in which every input is produced before it
 *   is read (builders can only name values that exist), so the order of the array is an order to
 *   run in.
 * - Value ids start at 1; values[0] is a blank, so that 0 means "absent" in nn_node.in and .out.
 * - The first error is kept; from then on every builder returns NN_NONE and changes nothing.
 */
#include "params.h"

enum { NN_IN_MAX = 8, NN_OUT_MAX = 4 };

/* How a value is stored in a plan. A graph only knows F32 and I32; the planner may choose BF16 for
   intermediates of rank 4 in a NN_PREC_BF16 plan. */
enum nn_store { NN_STORE_F32, NN_STORE_I32, NN_STORE_BF16, NN_STORE_COUNT };

/*
 * Every op, forward then backward: X(NAME, struct). The inputs and outputs by position; ? marks one
 * that may be absent (id 0). An output that is never read is absent for the kernel. `post` is
 * attr.post: an activation applied last. post, nc, res and addend are set by the planner's fusion only.
 * A convolution's w and dw are f32 in every plan (stores.c).
 *
 * CONV2D             x w b? nc? res?               -> y = post(x*w + b + nc + res);
 *                                                     nc (N,O), res as y
 * CONV2D_DATA        dy w res?                     -> dx = conv'(dy) + res
 * CONV2D_WEIGHTS     x dy                          -> dw db?
 * LINEAR             x w b?                        -> y
 * LINEAR_DATA        dy w                          -> dx
 * LINEAR_WEIGHTS     x dy                          -> dw db?
 * GROUP_NORM         x gamma beta                  -> y = post(norm), stats? (N,groups,2): mean, 1/sd
 * GROUP_NORM_BACK    dy x gamma beta stats res?    -> dx? (+ res) dgamma? dbeta?
 * BATCH_NORM         x gamma beta mean var res?    -> y = post(norm + res), stats? (C,2): mean, 1/sd
 * BATCH_NORM_BACK    dy x gamma beta mean var stats res? -> dx? (+ res) dgamma? dbeta?
 * LAYER_NORM         x gamma beta                  -> y, stats? (rows,2): mean, 1/sd
 * LAYER_NORM_BACK    dy x gamma beta stats         -> dx? dgamma? dbeta?
 * ACT                x                             -> y            attr.act
 * ACT_BACK           dy v addend?                  -> dx of dy + addend; v is y or x (acts.h)
 * ADD                a b                           -> y = post(a + b)
 * SUB MUL            a b                           -> y
 * AFFINE             x                             -> y = scale x + shift
 * COPY               x                             -> y            (a cast when the stores differ)
 * ADD_NC MUL_NC      x v                           -> y
 * SUM_HW             x                             -> (N,C) sum over H,W, times scale
 * DOT_HW             a b                           -> (N,C) sum over H,W of a b
 * SPREAD_HW          v (N,C)                       -> (N,H,W,C), times scale
 * CONCAT             a b                           -> y
 * SLICE_C            x                             -> y            attr.first
 * PAD_C              x                             -> y zero but for channels attr.first ..
 * RESHAPE            x                             -> the same memory
 * UPSAMPLE2 / _BACK  x                             -> y
 * MAX_POOL           x                             -> y
 * MAX_POOL_BACK      dy x                          -> dx (to the first maximum of each window)
 * AVG_POOL / _BACK   x                             -> y
 * ATTENTION          q k v                         -> y            attr.groups = heads
 * ATTENTION_BACK     dy q k v                      -> dq? dk? dv?
 * DROPOUT            x                             -> y            attr.stream; its own backward
 * TIMESTEP           t                             -> (N,dim)
 * UNIT_NORM          x                             -> y
 * UNIT_NORM_BACK     dy x                          -> dx
 * WSQ_DIFF           a b w                         -> (N)
 * WSQ_DIFF_BACK      dl a b w                      -> da? dw?      (db = -da)
 * XENT               logits labels                 -> (N)
 * XENT_BACK          dl logits labels              -> dlogits
 * SOFT_XENT          logits target                 -> (N)
 * SOFT_XENT_BACK     dl logits target              -> dlogits? dtarget?
 * MSE                a b                           -> (N)
 * MSE_BACK           dl a b                        -> da           (db = -da)
 * TOTAL              x                             -> (1) sum, times scale
 * SPREAD             s (1)                         -> any shape, times scale
 * FILL               -                             -> any shape, all attr.scale
 */
#define NN_OP_TABLE(X)                                                                             \
    X(CONV2D, conv2d)                                                                              \
    X(CONV2D_DATA, conv2d_data)                                                                    \
    X(CONV2D_WEIGHTS, conv2d_weights)                                                              \
    X(LINEAR, linear)                                                                              \
    X(LINEAR_DATA, linear_data)                                                                    \
    X(LINEAR_WEIGHTS, linear_weights)                                                              \
    X(GROUP_NORM, group_norm)                                                                      \
    X(GROUP_NORM_BACK, group_norm_back)                                                            \
    X(BATCH_NORM, batch_norm)                                                                      \
    X(BATCH_NORM_BACK, batch_norm_back)                                                            \
    X(LAYER_NORM, layer_norm)                                                                      \
    X(LAYER_NORM_BACK, layer_norm_back)                                                            \
    X(ACT, act)                                                                                    \
    X(ACT_BACK, act_back)                                                                          \
    X(ADD, add)                                                                                    \
    X(SUB, sub)                                                                                    \
    X(MUL, mul)                                                                                    \
    X(AFFINE, affine)                                                                              \
    X(COPY, copy)                                                                                  \
    X(ADD_NC, add_nc)                                                                              \
    X(MUL_NC, mul_nc)                                                                              \
    X(SUM_HW, sum_hw)                                                                              \
    X(DOT_HW, dot_hw)                                                                              \
    X(SPREAD_HW, spread_hw)                                                                        \
    X(CONCAT, concat)                                                                              \
    X(SLICE_C, slice_c)                                                                            \
    X(PAD_C, pad_c)                                                                                \
    X(RESHAPE, reshape)                                                                            \
    X(UPSAMPLE2, upsample2)                                                                        \
    X(UPSAMPLE2_BACK, upsample2_back)                                                              \
    X(MAX_POOL, max_pool)                                                                          \
    X(MAX_POOL_BACK, max_pool_back)                                                                \
    X(AVG_POOL, avg_pool)                                                                          \
    X(AVG_POOL_BACK, avg_pool_back)                                                                \
    X(ATTENTION, attention)                                                                        \
    X(ATTENTION_BACK, attention_back)                                                              \
    X(DROPOUT, dropout)                                                                            \
    X(TIMESTEP, timestep)                                                                          \
    X(UNIT_NORM, unit_norm)                                                                        \
    X(UNIT_NORM_BACK, unit_norm_back)                                                              \
    X(WSQ_DIFF, wsq_diff)                                                                          \
    X(WSQ_DIFF_BACK, wsq_diff_back)                                                                \
    X(XENT, xent)                                                                                  \
    X(XENT_BACK, xent_back)                                                                        \
    X(SOFT_XENT, soft_xent)                                                                        \
    X(SOFT_XENT_BACK, soft_xent_back)                                                              \
    X(MSE, mse)                                                                                    \
    X(MSE_BACK, mse_back)                                                                          \
    X(TOTAL, total)                                                                                \
    X(SPREAD, spread)                                                                              \
    X(FILL, fill)

enum nn_op {
#define X(name, row) NN_OP_##name,
    NN_OP_TABLE(X)
#undef X
        NN_OP_COUNT
};

/* An activation fused behind an op: NN_POST_NONE, or NN_POST(kind). */
enum { NN_POST_NONE = 0 };
#define NN_POST(kind) ((kind) + 1)
#define NN_POST_KIND(post) ((enum nn_act_kind)((post)-1))

/* One flat set for all ops; an op reads only what its row in the table above names. */
struct nn_attr {
    struct nn_conv conv;
    struct nn_pool pool;
    int groups; /* of group norm; heads of attention */
    int first;  /* channel */
    int tokens; /* of linear: rows of x that belong to one sample */
    enum nn_act_kind act;
    int post;
    float eps, momentum;
    float scale, shift; /* also dropout's probability: scale = 1/(1-p), shift = p */
    bool training;
    uint32_t stream; /* dropout: which mask */
};

struct nn_node {
    enum nn_op op;
    int n_in, n_out;
    int in[NN_IN_MAX], out[NN_OUT_MAX]; /* value ids, 0 = absent */
    struct nn_attr attr;
};

enum nn_source { NN_FROM_NODE, NN_FROM_INPUT, NN_FROM_PARAM };

struct nn_value {
    struct nn_shape shape;
    enum nn_dtype dtype;
    enum nn_source source;
    int node;                       /* NN_FROM_NODE: index in graph.nodes */
    struct nn_param_entry *param;   /* NN_FROM_PARAM */
    struct nn_param_entry *grad_of; /* this value is that parameter's gradient; NULL: of none */
    bool is_output;
    char *name; /* inputs and outputs; NULL otherwise */
};

struct nn_graph {
    struct nn_params *params;
    struct nn_value *values;
    int n_values, cap_values;
    struct nn_node *nodes;
    int n_nodes, cap_nodes;
    uint32_t n_streams; /* dropout masks handed out */
    bool hold;          /* batch norms do not move running statistics */
    status st;
    struct errmsg error;
};

/* Elements one value may have: keeps every byte count and index far from overflow. */
#define NN_COUNT_MAX ((int64_t)1 << 33)

/* ---- for builders (ops/NAME.c) ---- */
/* Keeps the first error; returns NN_NONE. */
struct nn_val nn_fail(struct nn_graph *g, status st, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* "8x32x32x3"; out holds at least NN_SHAPE_TEXT bytes. */
enum { NN_SHAPE_TEXT = 64 };
const char *nn_shape_text(struct nn_shape s, char out[NN_SHAPE_TEXT]);
/* Whether the graph is in order and every v[i] is a value of it that holds floats; otherwise an
   error naming op. Every builder calls it for all its operands, because kernels read whatever they
   are given as floats. */
bool nn_usable(struct nn_graph *g, const char *op, const struct nn_val *v, int n);
/* The same for an operand that holds integers. */
bool nn_usable_i32(struct nn_graph *g, const char *op, struct nn_val v);
const struct nn_value *nn_value(const struct nn_graph *g, struct nn_val v);
/* Appends node with outputs of these shapes (rank 0: absent); fills node->out. NN_NONE on error. */
struct nn_val nn_emit(struct nn_graph *g, struct nn_node *node, const struct nn_shape *out,
                      int n_out);
/* The common case of one output. */
struct nn_val nn_emit1(struct nn_graph *g, enum nn_op op, const struct nn_val *in, int n_in,
                       struct nn_attr attr, struct nn_shape out);

/* ---- for gradient rules ---- */
struct nn_grad; /* one run of nn_gradients */
/* Whether d loss / d (value id) has to be computed. */
bool nn_grad_wanted(const struct nn_grad *gr, int id);
/* d loss / d (value id); the sum of all contributions. NN_NONE when none. */
struct nn_val nn_grad_of(const struct nn_grad *gr, int id);
/* Adds a contribution to d loss / d (value id). */
void nn_grad_add(struct nn_grad *gr, int id, struct nn_val contribution);
struct nn_graph *nn_grad_graph(struct nn_grad *gr);
/* The gradient of y = op(x, w) + b: emits data(dy, w) and weights(x, dy), which gives b's as well,
   as far as they are wanted. */
void nn_grad_affine(struct nn_grad *gr, const struct nn_node *node, enum nn_op data,
                    enum nn_op weights);
/* The gradient of a normalisation of n_in inputs (x, gamma, beta, ...) whose output 1 are its
   statistics: emits back(dy, inputs..., statistics), which gives those of the first three. */
void nn_grad_norm(struct nn_grad *gr, const struct nn_node *node, int n_in, enum nn_op back);

#endif
