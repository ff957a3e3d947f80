#include "net_layers.h"

#include <stdarg.h>

static const float bn_momentum = .1f, bn_eps = 1e-5f; /* torch's defaults */

const char *net_name(char out[NN_NAME_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(out, NN_NAME_MAX, fmt, args);
    va_end(args);
    return out;
}

int net_channels(const struct net *n, struct nn_val x)
{
    struct nn_shape s = nn_val_shape(n->g, x);
    return s.rank > 0 ? s.dim[s.rank - 1] : 0;
}

struct nn_val net_param(const struct net *n, const char *layer, const char *kind, struct nn_shape s,
                        enum nn_init init)
{
    return nn_param(n->g, NET_NAME("%s.%s", layer, kind), s, init);
}

static struct nn_val buffer(const struct net *n, const char *layer, const char *kind, int c,
                            enum nn_init init)
{
    return nn_buffer(n->g, NET_NAME("%s.%s", layer, kind), nn_shape1(c), init);
}

struct nn_val net_conv(const struct net *n, struct nn_val x, const char *layer, struct net_conv k)
{
    int c = net_channels(n, x);
    struct nn_conv attr = nn_conv_same(k.kernel, k.stride ? k.stride : 1);
    if (k.depthwise)
        attr.groups = c;
    struct nn_val w =
        net_param(n, layer, "weight", nn_shape4(k.out, k.depthwise ? 1 : c, k.kernel, k.kernel),
                  NN_INIT_KAIMING);
    struct nn_val b =
        k.bias ? net_param(n, layer, "bias", nn_shape1(k.out), NN_INIT_ZERO) : NN_NONE;
    return nn_conv2d(n->g, x, w, b, attr);
}

struct nn_val net_batch_norm(const struct net *n, struct nn_val x, const char *layer)
{
    int c = net_channels(n, x);
    struct nn_val gamma = net_param(n, layer, "weight", nn_shape1(c), NN_INIT_ONE);
    struct nn_val beta = net_param(n, layer, "bias", nn_shape1(c), NN_INIT_ZERO);
    struct nn_val mean = buffer(n, layer, "running_mean", c, NN_INIT_ZERO);
    struct nn_val var = buffer(n, layer, "running_var", c, NN_INIT_ONE);
    return nn_batch_norm(n->g, x, gamma, beta, mean, var, bn_momentum, bn_eps, n->training);
}

struct nn_val net_relu(const struct net *n, struct nn_val x)
{
    return nn_act(n->g, x, NN_RELU);
}

struct nn_val net_conv_norm(const struct net *n, struct nn_val x, const char *conv,
                            const char *norm, struct net_conv k)
{
    return net_batch_norm(n, net_conv(n, x, conv, k), norm);
}

struct nn_val net_linear(const struct net *n, struct nn_val x, const char *layer, int out,
                         enum nn_init init)
{
    struct nn_val w = net_param(n, layer, "weight", nn_shape2(out, net_channels(n, x)), init);
    struct nn_val b = net_param(n, layer, "bias", nn_shape1(out), NN_INIT_ZERO);
    return nn_linear(n->g, x, w, b);
}

struct nn_val net_head(const struct net *n, struct nn_val x, const char *layer, int classes)
{
    return net_linear(n, nn_global_avg_pool(n->g, x), layer, classes, NN_INIT_UNIFORM_FANIN);
}
