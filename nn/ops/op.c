#include "ops/op.h"

static const struct nn_op_impl *const table[] = {
#define X(name, row) [NN_OP_##name] = &nn_op_##row,
    NN_OP_TABLE(X)
#undef X
};
_Static_assert(ARRAY_LEN(table) == NN_OP_COUNT, "a row for every op");

const struct nn_op_impl *nn_op_row(enum nn_op op)
{
    return table[op];
}
