#ifndef NN_REWRITE_H
#define NN_REWRITE_H
/* rewrite: what pruning and fusion share. Both mark nodes of the program and then drop these. */
#include "plan/plan.h"

#define NN_OP_GONE NN_OP_COUNT /* the op of a node that is to be dropped */
/* Drops the marked nodes and points values at their producers' new places. */
void nn_compact(struct nn_graph *g);

/* Whether the value is read outside the program. */
static inline bool nn_value_kept(const struct nn_value *v)
{
    return v->is_output || v->grad_of;
}

/* The operands that a run of the node writes, as bits of in[]. */
static inline unsigned nn_node_writes(const struct nn_node *node)
{
    return node->attr.training ? nn_op_row(node->op)->effects : 0;
}

#endif
