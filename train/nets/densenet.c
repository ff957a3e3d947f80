/*
 * DenseNet-121 (Huang et al. 2017; bottlenecks and halving transitions, growth 32) for small
 * images: a stem of one 3x3 convolution, no pooling. Names are torchvision's.
 */
#include "net_layers.h"

enum { BLOCKS = 4, GROWTH = 32, BOTTLENECK = 4 * GROWTH };
static const int layers[BLOCKS] = {6, 12, 24, 16};

static struct nn_val norm_relu_conv(const struct net *n, struct nn_val x, const char *norm,
                                    const char *conv, struct net_conv k)
{
    return net_conv(n, net_relu(n, net_batch_norm(n, x, norm)), conv, k);
}

static struct nn_val dense_layer(const struct net *n, struct nn_val x, const char *name)
{
    struct nn_val y =
        norm_relu_conv(n, x, NET_NAME("%.64s.norm1", name), NET_NAME("%.64s.conv1", name),
                       (struct net_conv){.out = BOTTLENECK, .kernel = 1});
    y = norm_relu_conv(n, y, NET_NAME("%.64s.norm2", name), NET_NAME("%.64s.conv2", name),
                       (struct net_conv){.out = GROWTH, .kernel = 3});
    return nn_concat(n->g, x, y);
}

static struct nn_val transition(const struct net *n, struct nn_val x, int i)
{
    x = norm_relu_conv(n, x, NET_NAME("features.transition%d.norm", i),
                       NET_NAME("features.transition%d.conv", i),
                       (struct net_conv){.out = net_channels(n, x) / 2, .kernel = 1});
    return nn_avg_pool(n->g, x, (struct nn_pool){.kernel = 2, .stride = 2});
}

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    const struct net n = {g, training};
    x = net_relu(&n, net_conv_norm(&n, x, "features.conv0", "features.norm0",
                                   (struct net_conv){.out = 2 * GROWTH, .kernel = 3}));
    for (int i = 1; i <= BLOCKS; i++) {
        for (int k = 1; k <= layers[i - 1]; k++)
            x = dense_layer(&n, x, NET_NAME("features.denseblock%d.denselayer%d", i, k));
        if (out_stage)
            out_stage[i - 1] = x;
        if (i < BLOCKS)
            x = transition(&n, x, i);
    }
    x = net_relu(&n, net_batch_norm(&n, x, "features.norm5"));
    return net_head(&n, x, "classifier", s.classes);
}

const struct train_net train_nets_densenet[] = {
    {
        .name = "densenet121",
        .summary = "DenseNet-121 with a 3x3 stem, 7.0 M parameters",
        .stages = BLOCKS,
        .groups = {"features.conv0|features.norm0|features.denseblock1",
                   "features.transition1|features.denseblock2",
                   "features.transition2|features.denseblock3",
                   "features.transition3|features.denseblock4|features.norm5"},
        .std = 1,
        .lr = .1f,
        .build = build,
    },
    {.name = NULL},
};
