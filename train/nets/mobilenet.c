/*
 * MobileNetV2 (Sandler et al. 2018) for small images: the stem and the second stage do not halve
 * the image, as in the usual CIFAR version. Names are torchvision's; its dropout before the
 * classifier is left out, as there.
 */
#include "net_layers.h"

/* Rows of the paper's table 2: expansion, channels, repetitions, stride of the first. */
static const struct {
    int expand, out, n, stride;
} table[] = {
    {1, 16, 1, 1}, {6, 24, 2, 1},  {6, 32, 3, 2},  {6, 64, 4, 2},
    {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
};
enum { STEM = 32, LAST = 1280, STAGES = 4 };

static struct nn_val relu6(const struct net *n, struct nn_val x)
{
    return nn_act(n->g, x, NN_RELU6);
}

/* Widen, one kernel per channel, narrow; the sum where shapes allow. `name` is features.I.conv. */
static struct nn_val inverted_residual(const struct net *n, struct nn_val x, const char *name,
                                       int expand, int out, int stride)
{
    int in = net_channels(n, x), wide = in * expand, part = 0;
    struct nn_val y = x;
    if (expand > 1) {
        y = relu6(n, net_conv_norm(n, y, NET_NAME("%.64s.0.0", name), NET_NAME("%.64s.0.1", name),
                                   (struct net_conv){.out = wide, .kernel = 1}));
        part++;
    }
    struct net_conv each = {.out = wide, .kernel = 3, .stride = stride, .depthwise = true};
    y = relu6(n, net_conv_norm(n, y, NET_NAME("%.64s.%d.0", name, part),
                               NET_NAME("%.64s.%d.1", name, part), each));
    y = net_conv_norm(n, y, NET_NAME("%.64s.%d", name, part + 1),
                      NET_NAME("%.64s.%d", name, part + 2),
                      (struct net_conv){.out = out, .kernel = 1});
    return stride == 1 && in == out ? nn_add(n->g, x, y) : y;
}

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    const struct net n = {g, training};
    int at = 1, stage = 0; /* a stage ends before the image is halved, and with the last block */
    x = relu6(&n, net_conv_norm(&n, x, "features.0.0", "features.0.1",
                                (struct net_conv){.out = STEM, .kernel = 3}));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].stride > 1 && out_stage)
            out_stage[stage++] = x;
        for (int k = 0; k < table[i].n; k++, at++)
            x = inverted_residual(&n, x, NET_NAME("features.%d.conv", at), table[i].expand,
                                  table[i].out, k ? 1 : table[i].stride);
    }
    x = relu6(&n, net_conv_norm(&n, x, NET_NAME("features.%d.0", at), NET_NAME("features.%d.1", at),
                                (struct net_conv){.out = LAST, .kernel = 1}));
    if (out_stage)
        out_stage[stage] = x;
    return net_head(&n, x, "classifier.1", s.classes);
}

const struct train_net train_nets_mobilenet[] = {
    {
        .name = "mobilenetv2",
        .summary = "MobileNetV2 with strides for small images, 2.2 M parameters",
        .stages = STAGES,
        .groups =
            {"features.0|features.1|features.2|features.3", "features.4|features.5|features.6",
             "features.7|features.8|features.9|features.10|features.11|features.12|features.13",
             "features.14|features.15|features.16|features.17|features.18"},
        .std = 1,
        .lr = .05f,
        .build = build,
    },
    {.name = NULL},
};
