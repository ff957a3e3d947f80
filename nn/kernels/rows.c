/* Rows of f32 and bf16 tensors (device.h). */
#include "kernels/kernels.h"
#include "kernels/lanes.h"

static void from_bf16(const uint16_t *restrict in, int n, float *restrict out)
{
    int i = 0;
    for (; i + NN_LANES <= n; i += NN_LANES)
        nn_lanes_store(out + i, nn_lanes_load_at(in, true, i));
    for (; i < n; i++)
        out[i] = nn_load_at(in, true, i);
}

void nn_to_bf16(const float *in, int64_t n, uint16_t *out)
{
    int64_t i = 0;
    for (; i + NN_LANES <= n; i += NN_LANES)
        nn_lanes_store_at(out, true, i, nn_lanes_load(in + i));
    for (; i < n; i++)
        nn_store_at(out, true, i, in[i]);
}

const float *nn_row(const struct nn_tensor *t, int64_t at, int n, float *scratch)
{
    if (t->store != NN_STORE_BF16)
        return (const float *)t->data + at;
    from_bf16((const uint16_t *)t->data + at, n, scratch);
    return scratch;
}

float *nn_row_out(const struct nn_tensor *t, int64_t at, float *scratch)
{
    return t->store == NN_STORE_BF16 ? scratch : (float *)t->data + at;
}

void nn_row_put(const struct nn_tensor *t, int64_t at, int n, const float *scratch)
{
    if (t->store == NN_STORE_BF16)
        nn_to_bf16(scratch, n, (uint16_t *)t->data + at);
}
