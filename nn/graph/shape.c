#include "nn/nn.h"

bool nn_shape_equal(struct nn_shape a, struct nn_shape b)
{
    if (a.rank != b.rank)
        return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i])
            return false;
    return true;
}

int64_t nn_shape_count(struct nn_shape s)
{
    int64_t n = s.rank > 0;
    for (int i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}
