#ifndef NN_POOL_H
#define NN_POOL_H
/* What the two poolings share: the output's shape and the pixels of one window. */
#include "ops/op.h"

#include <string.h>

/* The shape rule of torch; reports an error and returns rank 0 when it has no answer. */
struct nn_shape nn_pool_shape(struct nn_graph *g, const char *op, struct nn_shape x,
                              struct nn_pool a);

/* Window of output pixel p along one side of length n: [first, last) inside the input, and the
   number of places it has inside the padded input (the average's divisor). */
struct nn_window {
    int first, last, places;
};
static inline struct nn_window nn_window(const struct nn_pool *a, int n, int p)
{
    int64_t start = (int64_t)p * a->stride - a->pad, end = start + a->kernel;
    int64_t padded_end = end < (int64_t)n + a->pad ? end : (int64_t)n + a->pad;
    return (struct nn_window){(int)(start > 0 ? start : 0), (int)(end < n ? end : n),
                              (int)(padded_end - start)};
}

#endif
