#include "net_block.h"

/* Option A: every second pixel, new channels zero on both sides. */
static struct nn_val pad_shortcut(const struct net *n, struct nn_val x, int out, int stride)
{
    int c = net_channels(n, x);
    if (stride > 1)
        x = nn_avg_pool(n->g, x, (struct nn_pool){.kernel = 1, .stride = stride});
    if (out == c)
        return x;
    struct nn_val zero = nn_affine(n->g, nn_slice_c(n->g, x, 0, (out - c) / 2), 0, 0);
    return nn_concat(n->g, nn_concat(n->g, zero, x), zero);
}

static struct nn_val shortcut(const struct net *n, struct nn_val x, const char *name, int out,
                              const struct net_block *k)
{
    if (k->option_a)
        return pad_shortcut(n, x, out, k->stride);
    if (k->stride == 1 && net_channels(n, x) == out)
        return x;
    return net_conv_norm(n, x, NET_NAME("%.64s.downsample.0", name),
                         NET_NAME("%.64s.downsample.1", name),
                         (struct net_conv){out, 1, k->stride, false, false});
}

struct nn_val net_block(const struct net *n, struct nn_val x, const char *name, struct net_block k)
{
    int out = k.bottleneck ? 4 * k.width : k.width, layers = k.bottleneck ? 3 : 2;
    struct nn_val y = x;
    for (int i = 1; i <= layers; i++) {
        bool wide = !k.bottleneck || i == 2; /* 3x3 */
        bool strides = k.bottleneck ? i == 2 : i == 1;
        struct net_conv c = {i == layers ? out : k.width, wide ? 3 : 1, strides ? k.stride : 1,
                             false, false};
        y = net_conv_norm(n, y, NET_NAME("%.64s.conv%d", name, i), NET_NAME("%.64s.bn%d", name, i),
                          c);
        if (i < layers)
            y = net_relu(n, y);
    }
    return net_relu(n, nn_add(n->g, y, shortcut(n, x, name, out, &k)));
}
