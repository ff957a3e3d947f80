/*
 * Residual networks (He et al. 2016) for small images: a stem of one 3x3 convolution, no pooling.
 * Parameters are called as in torchvision; in resnet20 as in the CIFAR port of the paper's section
 * 4.2 (shortcuts without weights, "option A"; head `linear`).
 */
#include "net_block.h"

struct resnet {
    int stages, blocks[4], width; /* width doubles with every stage */
    bool option_a, bottleneck;
    const char *head;
    int stem_stride;
};

static struct nn_val resnet(struct nn_graph *g, const struct resnet *cfg, int classes,
                            struct nn_val x, bool training, struct nn_val *out_stage)
{
    const struct net n = {g, training};
    struct net_conv stem = {cfg->width, 3, cfg->stem_stride, false, false};
    x = net_relu(&n, net_conv_norm(&n, x, "conv1", "bn1", stem));
    for (int s = 0; s < cfg->stages; s++) {
        for (int i = 0; i < cfg->blocks[s]; i++) {
            struct net_block k = {cfg->width << s, s > 0 && i == 0 ? 2 : 1, cfg->option_a,
                                  cfg->bottleneck};
            x = net_block(&n, x, NET_NAME("layer%d.%d", s + 1, i), k);
        }
        if (out_stage)
            out_stage[s] = x;
    }
    return net_head(&n, x, cfg->head, classes);
}

#define RESNET(name, ...)                                                                          \
    static struct nn_val build_##name(struct nn_graph *g, struct train_net_shape s,                \
                                      struct nn_val x, bool training, struct nn_val *out_stage)    \
    {                                                                                              \
        static const struct resnet cfg = {__VA_ARGS__};                                            \
        return resnet(g, &cfg, s.classes, x, training, out_stage);                                 \
    }
RESNET(resnet18, 4, {2, 2, 2, 2}, 64, false, false, "fc", 1)
RESNET(resnet50, 4, {3, 4, 6, 3}, 64, false, true, "fc", 1)
RESNET(resnet20, 3, {3, 3, 3}, 16, true, false, "linear", 1)
RESNET(resnet8, 3, {1, 1, 1}, 16, false, false, "fc", 1)
RESNET(resnet8s2, 3, {1, 1, 1}, 16, false, false, "fc", 2)

const struct train_net train_nets_resnet[] = {
    {
        .name = "resnet18",
        .summary =
            "ResNet-18 with a 3x3 stem, 11.2 M parameters: the networks of the papers' tables",
        .stages = 4,
        .groups = {"conv1|bn1|layer1", "layer2", "layer3", "layer4"},
        .std = 1,
        .lr = .1f,
        .build = build_resnet18,
    },
    {
        .name = "resnet20",
        .summary = "ResNet-20 of the CIFAR experiments, 0.27 M parameters",
        .stages = 3,
        .groups = {"conv1|bn1|layer1", "layer2", "layer3"},
        .std = 1,
        .lr = .1f,
        .build = build_resnet20,
    },
    {
        .name = "resnet8",
        .summary =
            "three residual blocks of 16, 32, 64 channels, 78 k parameters: minutes, not hours",
        .stages = 3,
        .groups = {"conv1|bn1|layer1", "layer2", "layer3"},
        .std = 1,
        .lr = .1f,
        .build = build_resnet8,
    },
    {
        .name = "resnet8s2",
        .summary = "resnet8 with a stem of stride 2: a quarter of the work, for a quick look",
        .stages = 3,
        .groups = {"conv1|bn1|layer1", "layer2", "layer3"},
        .std = 1,
        .lr = .1f,
        .build = build_resnet8s2,
    },
    {
        .name = "resnet50",
        .summary = "ResNet-50 with a 3x3 stem, 23.5 M parameters",
        .stages = 4,
        .groups = {"conv1|bn1|layer1", "layer2", "layer3", "layer4"},
        .std = 1,
        .lr = .1f,
        .build = build_resnet50,
    },
    {.name = NULL},
};
