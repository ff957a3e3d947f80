/*
 * VGG-16 with batch normalisation (Simonyan & Zisserman 2015, configuration D) for small images:
 * instead of the three fully connected layers the mean over the image and one of them, as in the
 * usual CIFAR version. Names and numbers of `features` are torchvision's. Poolings keep a last odd
 * row or column, so that any side will do; for multiples of 32 that is the same.
 */
#include "net_layers.h"

enum { STAGES = 5 };
static const struct {
    int layers, width;
} stages[STAGES] = {{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}};

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    const struct net n = {g, training};
    static const struct nn_pool half = {.kernel = 2, .stride = 2, .ceil_mode = true};
    int at = 0; /* number in `features`: convolution, norm, ReLU, ...; poolings count as well */
    for (int i = 0; i < STAGES; i++, at++) {
        for (int k = 0; k < stages[i].layers; k++, at += 3) {
            struct net_conv c = {.out = stages[i].width, .kernel = 3, .bias = true};
            x = net_conv_norm(&n, x, NET_NAME("features.%d", at), NET_NAME("features.%d", at + 1),
                              c);
            x = net_relu(&n, x);
        }
        if (out_stage)
            out_stage[i] = x;
        x = nn_max_pool(g, x, half);
    }
    return net_head(&n, x, "classifier", s.classes);
}

const struct train_net train_nets_vgg[] = {
    {
        .name = "vgg16",
        .summary =
            "VGG-16 with batch normalisation and one fully connected layer, 14.7 M parameters",
        .stages = STAGES,
        .groups = {"features.0|features.1|features.3|features.4",
                   "features.7|features.8|features.10|features.11",
                   "features.14|features.15|features.17|features.18|features.20|features.21",
                   "features.24|features.25|features.27|features.28|features.30|features.31",
                   "features.34|features.35|features.37|features.38|features.40|features.41"},
        .std = 1,
        .lr = .05f,
        .build = build,
    },
    {.name = NULL},
};
