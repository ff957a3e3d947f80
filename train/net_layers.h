#ifndef TRAIN_NET_LAYERS_H
#define TRAIN_NET_LAYERS_H
/*
 * net_layers: the layers that networks are written with, named as PyTorch names theirs.
 *
 * A layer called NAME has the parameters NAME.weight, NAME.bias (and NAME.running_mean, ...). The
 * first error stays in the graph (nn.h), so nothing here is checked.
 */
#include "nets.h"

struct net {
    struct nn_graph *g;
    bool training;
};

/* A name in the caller's block: NET_NAME("layer%d.%d", 1, 0). Longer ones are cut, and the graph
   then has two parameters of one name and different shapes, an error. */
const char *net_name(char out[NN_NAME_MAX], const char *fmt, ...) PRINTF_LIKE(2, 3);
#define NET_NAME(...) net_name((char[NN_NAME_MAX]){0}, __VA_ARGS__)

int net_channels(const struct net *n, struct nn_val x); /* of x, in its last dimension */
/* layer.kind */
struct nn_val net_param(const struct net *n, const char *layer, const char *kind, struct nn_shape s,
                        enum nn_init init);

struct net_conv {
    int out, kernel, stride; /* 0: stride 1 */
    bool depthwise;          /* a kernel per channel */
    bool bias;
};
/* "Same" padding. */
struct nn_val net_conv(const struct net *n, struct nn_val x, const char *layer, struct net_conv k);
struct nn_val net_batch_norm(const struct net *n, struct nn_val x, const char *layer);
struct nn_val net_relu(const struct net *n, struct nn_val x);
/* Convolution, batch normalisation. */
struct nn_val net_conv_norm(const struct net *n, struct nn_val x, const char *conv,
                            const char *norm, struct net_conv k);
/* Of the last dimension. */
struct nn_val net_linear(const struct net *n, struct nn_val x, const char *layer, int out,
                         enum nn_init init);
/* The mean over the image, then logits. */
struct nn_val net_head(const struct net *n, struct nn_val x, const char *layer, int classes);

#endif
