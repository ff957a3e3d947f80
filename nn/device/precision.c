#include "nn/nn.h"

const char *const nn_precision_names[NN_PREC_COUNT + 1] = {
    [NN_PREC_F32] = "f32",
    [NN_PREC_BF16] = "bf16",
};

status nn_precision_check(enum nn_precision p, const char *hint, struct errmsg *e)
{
    if ((unsigned)p >= NN_PREC_COUNT)
        return errmsg_set(e, STATUS_INVALID, "there is no precision %d", (int)p);
    if (nn_precision_supported(NULL, p))
        return STATUS_OK;
    return errmsg_set(e, STATUS_UNSUPPORTED,
                      "this CPU cannot compute in %s (it needs AVX512-BF16 or AMX): %s",
                      nn_precision_names[p], hint);
}
