#ifndef NN_NET_CASES_H
#define NN_NET_CASES_H
/* Whole networks for tests and profiles: a DDPM-like UNet, and for small images a ResNet-18, a
   MobileNet and a vision transformer. Static; included by test programs only. */
#include "nn/nn.h"

#include <stdio.h>

#define NET_ONLY __attribute__((unused)) static

struct net {
    struct nn_graph *g;
    int ids; /* layers named so far */
};

static struct nn_val net_param(struct net *n, const char *kind, struct nn_shape s,
                               enum nn_init init)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%d", kind, n->ids++);
    return nn_param(n->g, name, s, init);
}

NET_ONLY struct nn_val net_conv(struct net *n, struct nn_val x, int o, int kernel, int stride,
                                bool bias)
{
    int c = nn_val_shape(n->g, x).dim[3];
    struct nn_val w = net_param(n, "w", nn_shape4(o, c, kernel, kernel), NN_INIT_KAIMING);
    struct nn_val b = bias ? net_param(n, "b", nn_shape1(o), NN_INIT_ZERO) : NN_NONE;
    return nn_conv2d(n->g, x, w, b, nn_conv_same(kernel, stride));
}
NET_ONLY struct nn_val net_linear(struct net *n, struct nn_val x, int o)
{
    struct nn_shape s = nn_val_shape(n->g, x);
    struct nn_val w = net_param(n, "w", nn_shape2(o, s.dim[s.rank - 1]), NN_INIT_UNIFORM_FANIN);
    return nn_linear(n->g, x, w, net_param(n, "b", nn_shape1(o), NN_INIT_ZERO));
}

/* ---- UNet ---- */

NET_ONLY struct nn_val net_norm_silu(struct net *n, struct nn_val x, bool silu)
{
    int c = nn_val_shape(n->g, x).dim[3];
    struct nn_val gamma = net_param(n, "g", nn_shape1(c), NN_INIT_ONE);
    struct nn_val beta = net_param(n, "b", nn_shape1(c), NN_INIT_ZERO);
    struct nn_val y = nn_group_norm(n->g, x, gamma, beta,
                                    c % 32       ? 4
                                    : c / 4 < 32 ? c / 4
                                                 : 32,
                                    1e-6f);
    return silu ? nn_act(n->g, y, NN_SILU) : y;
}
NET_ONLY struct nn_val net_unet_block(struct net *n, struct nn_val x, struct nn_val temb, int o)
{
    struct nn_val h = net_conv(n, net_norm_silu(n, x, true), o, 3, 1, true);
    h = nn_add_nc(n->g, h, net_linear(n, temb, o));
    h = net_conv(n, net_norm_silu(n, h, true), o, 3, 1, true);
    if (nn_val_shape(n->g, x).dim[3] != o)
        x = net_conv(n, x, o, 1, 1, true);
    return nn_add(n->g, h, x);
}
NET_ONLY struct nn_val net_attention(struct net *n, struct nn_val x)
{
    int c = nn_val_shape(n->g, x).dim[3];
    struct nn_val h = net_norm_silu(n, x, false);
    struct nn_val q = net_conv(n, h, c, 1, 1, true), k = net_conv(n, h, c, 1, 1, true);
    struct nn_val v = net_conv(n, h, c, 1, 1, true);
    return nn_add(n->g, net_conv(n, nn_attention(n->g, q, k, v, 1), c, 1, 1, true), x);
}

/* Channel multipliers 1,2,2,2 for up to four levels, two blocks a level, attention at the second
   and in the middle. Input "x", "t"; returns eps. Four levels of ch 128 are the UNet of DDPM for
   CIFAR-10 (Ho et al. 2020). */
NET_ONLY struct nn_val net_unet(struct nn_graph *g, int batch, int side, int ch, int levels)
{
    struct net net = {g, 0}, *n = &net;
    static const int mult[] = {1, 2, 2, 2};
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(batch, side, side, 3));
    struct nn_val t = nn_input(g, "t", NN_F32, nn_shape1(batch));
    struct nn_val temb =
        nn_act(g, net_linear(n, nn_timestep_embedding(g, t, ch, 1), 4 * ch), NN_SILU);
    temb = nn_act(g, net_linear(n, temb, 4 * ch), NN_SILU);
    struct nn_val skip[16], h = net_conv(n, x, ch, 3, 1, true);
    int depth = 0;
    skip[depth++] = h;
    for (int level = 0; level < levels; level++) {
        for (int i = 0; i < 2; i++) {
            h = net_unet_block(n, h, temb, ch * mult[level]);
            if (level == 1)
                h = net_attention(n, h);
            skip[depth++] = h;
        }
        if (level < levels - 1)
            skip[depth++] = h = net_conv(n, h, ch * mult[level], 3, 2, true);
    }
    h = net_unet_block(n, h, temb, ch * 2);
    h = net_unet_block(n, net_attention(n, h), temb, ch * 2);
    for (int level = levels - 1; level >= 0; level--) {
        for (int i = 0; i < 3; i++) {
            h = net_unet_block(n, nn_concat(g, h, skip[--depth]), temb, ch * mult[level]);
            if (level == 1)
                h = net_attention(n, h);
        }
        if (level > 0)
            h = net_conv(n, nn_upsample2(g, h), ch * mult[level], 3, 1, true);
    }
    return net_conv(n, net_norm_silu(n, h, true), 3, 3, 1, true);
}

/* ---- ResNet-18, He et al. 2016, with the stem for small images ---- */

NET_ONLY struct nn_val net_batch_norm(struct net *n, struct nn_val x, bool training)
{
    struct nn_shape c = nn_shape1(nn_val_shape(n->g, x).dim[3]);
    struct nn_val gamma = net_param(n, "g", c, NN_INIT_ONE),
                  beta = net_param(n, "b", c, NN_INIT_ZERO);
    char name[32];
    snprintf(name, sizeof name, "mean.%d", n->ids++);
    struct nn_val mean = nn_buffer(n->g, name, c, NN_INIT_ZERO);
    snprintf(name, sizeof name, "var.%d", n->ids++);
    struct nn_val var = nn_buffer(n->g, name, c, NN_INIT_ONE);
    return nn_batch_norm(n->g, x, gamma, beta, mean, var, 0.1f, 1e-5f, training);
}
NET_ONLY struct nn_val net_resnet_block(struct net *n, struct nn_val x, int o, int stride,
                                        bool training)
{
    struct nn_val h = net_batch_norm(n, net_conv(n, x, o, 3, stride, false), training);
    h = net_batch_norm(n, net_conv(n, nn_act(n->g, h, NN_RELU), o, 3, 1, false), training);
    if (stride != 1 || nn_val_shape(n->g, x).dim[3] != o)
        x = net_batch_norm(n, net_conv(n, x, o, 1, stride, false), training);
    return nn_act(n->g, nn_add(n->g, h, x), NN_RELU);
}
/* Input "x", "labels"; returns the loss per sample, logits in *out_logits. */
NET_ONLY struct nn_val net_resnet18(struct nn_graph *g, int batch, int side, int width,
                                    bool training, struct nn_val *out_logits)
{
    struct net net = {g, 0}, *n = &net;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(batch, side, side, 3));
    struct nn_val labels = nn_input(g, "labels", NN_I32, nn_shape1(batch));
    struct nn_val h =
        nn_act(g, net_batch_norm(n, net_conv(n, x, width, 3, 1, false), training), NN_RELU);
    for (int level = 0; level < 4; level++)
        for (int i = 0; i < 2; i++)
            h = net_resnet_block(n, h, width << level, level && !i ? 2 : 1, training);
    *out_logits = net_linear(n, nn_global_avg_pool(g, h), 10);
    return nn_softmax_xent(g, *out_logits, labels);
}

/* ---- MobileNet, Howard et al. 2017, with ReLU6 and fewer layers ---- */

NET_ONLY struct nn_val net_norm_relu6(struct net *n, struct nn_val x, bool training)
{
    return nn_act(n->g, net_batch_norm(n, x, training), NN_RELU6);
}
/* A kernel per channel, then 1x1. */
NET_ONLY struct nn_val net_separable(struct net *n, struct nn_val x, int o, int stride,
                                     bool training)
{
    int c = nn_val_shape(n->g, x).dim[3];
    struct nn_conv each = nn_conv_same(3, stride);
    each.groups = c;
    struct nn_val w = net_param(n, "w", nn_shape4(c, 1, 3, 3), NN_INIT_UNIFORM_FANIN);
    struct nn_val h = net_norm_relu6(n, nn_conv2d(n->g, x, w, NN_NONE, each), training);
    return net_norm_relu6(n, net_conv(n, h, o, 1, 1, false), training);
}
/* As net_resnet18. */
NET_ONLY struct nn_val net_mobile(struct nn_graph *g, int batch, int side, int width, bool training,
                                  struct nn_val *out_logits)
{
    struct net net = {g, 0}, *n = &net;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(batch, side, side, 3));
    struct nn_val labels = nn_input(g, "labels", NN_I32, nn_shape1(batch));
    struct nn_val h = net_norm_relu6(n, net_conv(n, x, width, 3, 1, false), training);
    for (int level = 1; level <= 3; level++)
        for (int i = 0; i < 2; i++)
            h = net_separable(n, h, width << level, level > 1 && !i ? 2 : 1, training);
    *out_logits = net_linear(n, nn_global_avg_pool(g, h), 10);
    return nn_softmax_xent(g, *out_logits, labels);
}

/* ---- vision transformer, Dosovitskiy et al. 2021: patches of 4x4, six layers, heads of 64 ---- */

NET_ONLY struct nn_val net_layer_norm(struct net *n, struct nn_val x)
{
    struct nn_shape c = nn_shape1(nn_val_shape(n->g, x).dim[2]);
    struct nn_val gamma = net_param(n, "g", c, NN_INIT_ONE);
    return nn_layer_norm(n->g, x, gamma, net_param(n, "b", c, NN_INIT_ZERO), 1e-6f);
}
NET_ONLY struct nn_val net_self_attention(struct net *n, struct nn_val x)
{
    struct nn_shape s = nn_val_shape(n->g, x);
    int c = s.dim[2];
    struct nn_val all = net_linear(n, x, 3 * c), part[3];
    for (int i = 0; i < 3; i++)
        part[i] =
            nn_reshape(n->g, nn_slice_c(n->g, all, i * c, c), nn_shape4(s.dim[0], 1, s.dim[1], c));
    struct nn_val y = nn_attention(n->g, part[0], part[1], part[2], c / 64);
    return net_linear(n, nn_reshape(n->g, y, s), c);
}
/* As net_resnet18. */
NET_ONLY struct nn_val net_vit(struct nn_graph *g, int batch, int side, int width, bool training,
                               struct nn_val *out_logits)
{
    enum { PATCH = 4, LAYERS = 6 };
    (void)training;
    struct net net = {g, 0}, *n = &net;
    int tokens = side / PATCH * (side / PATCH) + 1;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(batch, side, side, 3));
    struct nn_val labels = nn_input(g, "labels", NN_I32, nn_shape1(batch));
    struct nn_val w = net_param(n, "w", nn_shape4(width, 3, PATCH, PATCH), NN_INIT_UNIFORM_FANIN);
    struct nn_val b = net_param(n, "b", nn_shape1(width), NN_INIT_ZERO);
    struct nn_val h = nn_conv2d(g, x, w, b, (struct nn_conv){.stride = PATCH});
    struct nn_val class = net_param(n, "class", nn_shape2(1, width), NN_INIT_ZERO);
    h = nn_concat_tokens(g, nn_repeat(g, class, batch),
                         nn_reshape(g, h, nn_shape3(batch, tokens - 1, width)));
    h = nn_add_each(g, h,
                    net_param(n, "position", nn_shape2(tokens, width), NN_INIT_UNIFORM_FANIN));
    for (int i = 0; i < LAYERS; i++) {
        h = nn_add(g, h, net_self_attention(n, net_layer_norm(n, h)));
        struct nn_val mlp = nn_act(g, net_linear(n, net_layer_norm(n, h), 4 * width), NN_GELU);
        h = nn_add(g, h, net_linear(n, mlp, width));
    }
    h = nn_slice_tokens(g, net_layer_norm(n, h), 0, 1);
    *out_logits = net_linear(n, nn_reshape(g, h, nn_shape2(batch, width)), 10);
    return nn_softmax_xent(g, *out_logits, labels);
}

#endif
