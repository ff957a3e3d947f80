/* Predicates about a step's tensors. */
#include "ops/op.h"

size_t nn_store_bytes(enum nn_store s)
{
    static const size_t bytes[] = {[NN_STORE_F32] = 4, [NN_STORE_I32] = 4, [NN_STORE_BF16] = 2};
    _Static_assert(ARRAY_LEN(bytes) == NN_STORE_COUNT, "a row for every way of storing");
    return bytes[s];
}

bool nn_all_f32(const struct nn_step *s)
{
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].store == NN_STORE_BF16)
            return false;
    for (int i = 0; i < s->n_out; i++)
        if (s->out[i].store == NN_STORE_BF16)
            return false;
    return true;
}

bool nn_plain_step(const struct nn_step *s)
{
    const struct nn_op_impl *row = nn_op_row(s->op);
    const int fused[] = {row->res, row->nc, row->addend};
    for (size_t i = 0; i < ARRAY_LEN(fused); i++)
        if (fused[i] && nn_has(&s->in[fused[i]]))
            return false;
    return nn_all_f32(s) && !s->attr.post;
}
