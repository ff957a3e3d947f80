#include "kernels/kernels.h"

static const struct nn_kernel *const common[] = {
#define X(name) &nn_common_##name,
    NN_COMMON_KERNELS(X)
#undef X
        NULL};
static const struct nn_kernel *const winograd[] = {&nn_winograd_conv2d, &nn_winograd_conv2d_data,
                                                   &nn_winograd_conv2d_weights, NULL};
static const struct nn_kernel *const pairs[] = {
#if defined(__AVX512BF16__)
    &nn_pairs_conv2d_weights,
#endif
    NULL};
static const struct nn_kernel *const depthwise[] = {&nn_depthwise_conv2d, &nn_depthwise_conv2d_data,
                                                    &nn_depthwise_conv2d_weights, NULL};
static const struct nn_kernel *const gather[] = {
#if !defined(__AVX512F__) /* oneDNN's own are faster there */
    &nn_gather_conv2d,
#endif
    &nn_gather_conv2d_weights, NULL};
static const struct nn_kernel *const attention[] = {&nn_panel_attention, &nn_panel_attention_back,
                                                    NULL};

const struct nn_kernel_set nn_kernels = {common, winograd,  pairs,      depthwise,
                                         gather, attention, nn_softmax, nn_post};
