#include "kernels/kernels.h"

static const struct nn_kernel *const common[] = {
#define X(name) &nn_common_##name,
    NN_COMMON_KERNELS(X)
#undef X
        NULL};
static const struct nn_kernel *const winograd[] = {&nn_winograd_conv2d, &nn_winograd_conv2d_data,
                                                   &nn_winograd_conv2d_weights, NULL};
static const struct nn_kernel *const gather[] = {&nn_gather_conv2d, &nn_gather_conv2d_weights,
                                                 NULL};

const struct nn_kernel_set nn_kernels = {common, winograd, gather};
