/* Weights into and out of the library's blocked layouts, element by element (onednn.h). */
#include "onednn/onednn.h"

#include "kernels/kernels.h"

/* Where the element of these indices lies: the outer blocks by strides, then the inner ones, of
   which the last varies fastest. */
static int64_t offset(const struct nn_dnnl_layout *l, const int64_t *index)
{
    int64_t rest[NN_DNNL_RANK_MAX], inner = 0, size = 1, at = 0;
    memcpy(rest, index, (size_t)l->rank * sizeof *rest);
    for (int k = l->n_inner; k-- > 0;) {
        int64_t *i = &rest[l->inner_dim[k]];
        inner += *i % l->inner[k] * size;
        size *= l->inner[k];
        *i /= l->inner[k];
    }
    for (int k = 0; k < l->rank; k++)
        at += rest[k] * l->stride[k];
    return at + inner;
}

/* The next indices, last dimension fastest; false after the last. */
static bool advance(const struct nn_dnnl_layout *l, int64_t *index)
{
    for (int k = l->rank; k-- > 0;) {
        if (++index[k] < l->dim[k])
            return true;
        index[k] = 0;
    }
    return false;
}

void nn_dnnl_layout_fill(const struct nn_dnnl_layout *l, const float *plain, void *packed)
{
    int64_t index[NN_DNNL_RANK_MAX] = {0};
    memset(packed, 0, l->bytes);
    do
        nn_store_at(packed, l->bf16, offset(l, index), *plain++);
    while (advance(l, index));
}

void nn_dnnl_layout_read(const struct nn_dnnl_layout *l, const void *packed, float *plain)
{
    int64_t index[NN_DNNL_RANK_MAX] = {0};
    do
        *plain++ = nn_load_at(packed, l->bf16, offset(l, index));
    while (advance(l, index));
}
