#ifndef NN_OP_H
#define NN_OP_H
/*
 * op: the table of ops. One row per enum nn_op, defined in ops/<name>.c next to the builder (nn.h),
 * the shape rule, the gradient rule and the plain C kernel that is the reference for every device.
 * A new op is: one line in NN_OP_TABLE, one row, one line in the op tests; the linker and the
 * static_assert in op.c notice what is missing.
 */
#include "device.h"
#include "graph.h"

struct nn_op_impl {
    enum nn_op op;
    const char *name;
    /* (optional: the op has no gradient) Appends nodes that compute the wanted gradients of node's
       inputs from the gradient of its output 0, and hands them to nn_grad_add. The node is a copy:
       the graph's arrays may move while the rule appends. */
    void (*gradient)(struct nn_grad *gr, const struct nn_node *node);
    /* Bit i: output 0 may take the place of input i when that dies here (every element of the
       output depends on the same element of the input only). */
    unsigned in_place;
    bool view;    /* output 0 IS input 0 (reshape): no kernel runs */
    bool heavy;   /* convolutions, products, attention: wants bf16 operands in a bf16 plan */
    /* Bit i: in training a run writes input i, a parameter. Such a node runs even when nobody reads
       its outputs, and keeps its place among those that read or write the same. */
    unsigned effects;
    /* Bit i: output i is never absent for the kernel, even when nobody reads it. */
    unsigned whole;
    double (*flops)(const struct nn_step *s); /* (optional: 0) multiply-adds * 2 */
    struct nn_kernel reference;
};

const struct nn_op_impl *nn_op_row(enum nn_op op);

/* The rows, for op.c. */
#define X(name, row) extern const struct nn_op_impl nn_op_##row;
NN_OP_TABLE(X)
#undef X

#endif
