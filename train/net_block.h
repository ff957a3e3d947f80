#ifndef TRAIN_NET_BLOCK_H
#define TRAIN_NET_BLOCK_H
/* net_block: the residual block (He et al. 2016), for networks that are made of them or begin with some. */
#include "net_layers.h"

struct net_block {
    int width, stride;
    bool option_a; /* shortcut without weights; else 1x1 convolution and norm where shapes differ */
    bool bottleneck; /* 1x1, 3x3, 1x1 to four times the width; else 3x3, 3x3 */
};
/* Layers NAME.conv1, NAME.bn1, ..., NAME.downsample.0 and .1. */
struct nn_val net_block(const struct net *n, struct nn_val x, const char *name, struct net_block k);

#endif
