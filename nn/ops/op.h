#ifndef NN_OP_H
#define NN_OP_H
/*
 * op: the table of ops. One row per enum nn_op, defined in ops/<name>.c next to the builder (nn.h),
 * the shape rule, the gradient rule and the plain C kernel that is the reference for every device.
 * A new op is: one line in NN_OP_TABLE, one row, one line in the op tests; the linker and the
 * static_assert in op.c notice what is missing.
 */
#include "device/device.h"
#include "graph/graph.h"

/* Where the activation in attr.post acts. */
enum nn_post_place {
    NN_POST_NOWHERE,
    NN_POST_LAST, /* on output 0 */
    NN_POST_FIRST /* a gradient: its slope on input 0, before everything else */
};

struct nn_op_impl {
    enum nn_op op;
    const char *name;
    /* (optional: the op has no gradient) Appends nodes that compute the wanted gradients of node's
       inputs from the gradient of its output 0, and hands them to nn_grad_add. The node is a copy:
       the graph's arrays may move while the rule appends. */
    void (*gradient)(struct nn_grad *gr, const struct nn_node *node);

    /* -- its operands; bit i is about input i -- */
    unsigned i32;      /* holds integers; all others hold floats */
    unsigned products; /* is multiplied in a GEMM: bf16 in a bf16 plan if it has four dimensions */
    unsigned weights;  /* a convolution's weights: f32 in every plan */
    /* A parameter that a run in training mode writes. Such a node runs even when its outputs are not
       read, and is not moved past others that read or write the same parameter. */
    unsigned effects;
    /* Output 0 may be computed in its memory when it dies here (every element of the output depends
       on the same element of the input only). */
    unsigned in_place;
    int stats; /* of a norm's gradient: position of the norm's output 1; else 0 */

    /* -- its outputs -- */
    bool view;           /* output 0 IS input 0 (reshape): no kernel runs */
    bool weights_result; /* output 0 is the gradient of weights: f32 in every plan */
    unsigned required; /* bit i: output i is never absent for the kernel, even if it is not read */

    /* -- what the planner may fuse into it (fuse.c) where a kernel supports that: positions of
       operands that only fusion sets, 0 where the op has none such -- */
    int res;                 /* like output 0, which it is added to */
    int nc;                  /* (N,C), added to every pixel of output 0 */
    int addend;              /* like input 0, which it is added to */
    enum nn_post_place post; /* an activation */
    const struct nn_op_impl
        *back; /* of a norm: its gradient, which an activation may go into, too */

    double (*flops)(const struct nn_step *s); /* (optional: 0) multiply-adds * 2 */
    struct nn_kernel reference;
};

const struct nn_op_impl *nn_op_row(enum nn_op op);
/* The value that the gradient of an NN_OP_ACT node is computed from (acts.h). */
int nn_act_saved(const struct nn_node *act);

/* The rows, for op.c. */
#define X(name, row) extern const struct nn_op_impl nn_op_##row;
NN_OP_TABLE(X)
#undef X

#endif
