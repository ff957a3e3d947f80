#include "kernels/amx.h"
#include "kernels/kernels.h"

static const struct nn_kernel *const common[] = {
#define X(name) &nn_common_##name,
    NN_COMMON_KERNELS(X)
#undef X
        NULL};
static const struct nn_kernel *const winograd[] = {&nn_winograd_conv2d, &nn_winograd_conv2d_data,
                                                   &nn_winograd_conv2d_weights, NULL};
static const struct nn_kernel *const im2col_vnni[] = {
#if defined(__AVX512BF16__)
    &nn_im2col_vnni_conv2d_weights,
#endif
    NULL};
static const struct nn_kernel *const amx[] = {
#if defined(__AVX512BF16__)
    &nn_amx_conv2d, &nn_amx_conv2d_data, &nn_amx_conv2d_weights,
#endif
    NULL};
static const struct nn_kernel *const depthwise[] = {&nn_depthwise_conv2d, &nn_depthwise_conv2d_data,
                                                    &nn_depthwise_conv2d_weights, NULL};
static const struct nn_kernel *const im2col[] = {
#if !defined(__AVX512F__) /* oneDNN's own are faster there */
    &nn_im2col_conv2d,
#endif
    &nn_im2col_conv2d_weights, NULL};
static const struct nn_kernel *const attention[] = {&nn_panel_attention, &nn_panel_attention_back,
                                                    NULL};

const struct nn_kernel_set nn_kernels = {
    .common = common,
    .winograd = winograd,
    .im2col = im2col,
    .im2col_vnni = im2col_vnni,
    .amx = amx,
    .depthwise = depthwise,
    .attention = attention,
    .softmax = nn_softmax,
    .post = nn_post,
    .to_bf16 = nn_to_bf16,
};
