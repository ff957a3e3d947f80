/*
 * A small vision transformer (Dosovitskiy et al. 2021) for small images: patches of 4x4 pixels, six
 * layers of width 192 with three heads. Structure and names are torchvision's, without dropout.
 */
#include "net_layers.h"

enum { PATCH = 4, WIDTH = 192, HEADS = 3, LAYERS = 6, MLP = 4 * WIDTH, STAGES = 3 };
static const float ln_eps = 1e-6f;

static struct nn_val layer_norm(const struct net *n, struct nn_val x, const char *layer)
{
    int c = net_channels(n, x);
    struct nn_val gamma = net_param(n, layer, "weight", nn_shape1(c), NN_INIT_ONE);
    struct nn_val beta = net_param(n, layer, "bias", nn_shape1(c), NN_INIT_ZERO);
    return nn_layer_norm(n->g, x, gamma, beta, ln_eps);
}

/* (N,L,C) as attention takes it, and back. */
static struct nn_val as_image(const struct net *n, struct nn_val x)
{
    struct nn_shape s = nn_val_shape(n->g, x);
    return nn_reshape(n->g, x, nn_shape4(s.dim[0], 1, s.dim[1], s.dim[2]));
}
static struct nn_val as_tokens(const struct net *n, struct nn_val x)
{
    struct nn_shape s = nn_val_shape(n->g, x);
    return nn_reshape(n->g, x, nn_shape3(s.dim[0], s.dim[1] * s.dim[2], s.dim[3]));
}

static struct nn_val self_attention(const struct net *n, struct nn_val x, const char *layer)
{
    struct nn_val w =
        net_param(n, layer, "in_proj_weight", nn_shape2(3 * WIDTH, WIDTH), NN_INIT_XAVIER);
    struct nn_val b = net_param(n, layer, "in_proj_bias", nn_shape1(3 * WIDTH), NN_INIT_ZERO);
    struct nn_val all = nn_linear(n->g, x, w, b), part[3];
    for (int i = 0; i < 3; i++)
        part[i] = as_image(n, nn_slice_c(n->g, all, i * WIDTH, WIDTH));
    struct nn_val y = nn_attention(n->g, part[0], part[1], part[2], HEADS);
    return net_linear(n, as_tokens(n, y), NET_NAME("%.64s.out_proj", layer), WIDTH,
                      NN_INIT_UNIFORM_FANIN);
}

static struct nn_val encoder_layer(const struct net *n, struct nn_val x, int i)
{
    const char *name = NET_NAME("encoder.layers.encoder_layer_%d", i);
    struct nn_val y = layer_norm(n, x, NET_NAME("%.64s.ln_1", name));
    x = nn_add(n->g, x, self_attention(n, y, NET_NAME("%.64s.self_attention", name)));
    y = layer_norm(n, x, NET_NAME("%.64s.ln_2", name));
    y = nn_act(n->g, net_linear(n, y, NET_NAME("%.64s.mlp.0", name), MLP, NN_INIT_XAVIER), NN_GELU);
    y = net_linear(n, y, NET_NAME("%.64s.mlp.3", name), WIDTH, NN_INIT_XAVIER);
    return nn_add(n->g, x, y);
}

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    const struct net n = {g, training};
    struct nn_val w =
        net_param(&n, "conv_proj", "weight", nn_shape4(WIDTH, net_channels(&n, x), PATCH, PATCH),
                  NN_INIT_UNIFORM_FANIN);
    struct nn_val b = net_param(&n, "conv_proj", "bias", nn_shape1(WIDTH), NN_INIT_ZERO);
    x = as_tokens(&n, nn_conv2d(g, x, w, b, (struct nn_conv){.stride = PATCH}));
    struct nn_shape tokens = nn_val_shape(g, x);
    struct nn_val first = nn_param(g, "class_token", nn_shape3(1, 1, WIDTH), NN_INIT_ZERO);
    first = nn_repeat(g, nn_reshape(g, first, nn_shape2(1, WIDTH)), tokens.dim[0]);
    x = nn_concat_tokens(g, first, x);
    struct nn_val place = nn_param(g, "encoder.pos_embedding",
                                   nn_shape3(1, tokens.dim[1] + 1, WIDTH), NN_INIT_UNIFORM_FANIN);
    x = nn_add_each(g, x, nn_reshape(g, place, nn_shape2(tokens.dim[1] + 1, WIDTH)));
    for (int i = 0; i < LAYERS; i++) {
        x = encoder_layer(&n, x, i);
        if (out_stage && i % (LAYERS / STAGES) == LAYERS / STAGES - 1)
            out_stage[i / (LAYERS / STAGES)] = as_image(&n, x);
    }
    x = nn_slice_tokens(g, layer_norm(&n, x, "encoder.ln"), 0, 1);
    x = nn_reshape(g, x, nn_shape2(tokens.dim[0], WIDTH));
    return net_linear(&n, x, "heads.head", s.classes, NN_INIT_ZERO);
}

const struct train_net train_nets_vit[] = {
    {
        .name = "vit",
        .summary =
            "a small vision transformer: 4x4 patches, 6 layers of width 192, 2.7 M parameters",
        .stages = STAGES,
        .groups = {"conv_proj|encoder.layers.encoder_layer_0|encoder.layers.encoder_layer_1",
                   "encoder.layers.encoder_layer_2|encoder.layers.encoder_layer_3",
                   "encoder.layers.encoder_layer_4|encoder.layers.encoder_layer_5|encoder.ln"},
        .mean = .5f,
        .std = .5f,
        .lr = .01f,
        .build = build,
    },
    {.name = NULL},
};
