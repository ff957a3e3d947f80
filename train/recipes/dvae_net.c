/* The graph of a disentangling autoencoder (dvae.h). */
#include "recipes/dvae.h"

#include "net_block.h"

static struct nn_val encode(const struct net *n, struct nn_val x, int w)
{
    const struct net_conv stem = {.out = w, .kernel = 3};
    const struct net_block same = {.width = w, .stride = 1}, half = {.width = 2 * w, .stride = 2};
    x = net_relu(n, net_conv_norm(n, x, "conv1", "bn1", stem));
    x = net_block(n, x, "layer1.0", same);
    x = net_block(n, x, "layer1.1", same);
    return net_block(n, x, "layer2.0", half);
}

static struct nn_val conv(const struct net *n, struct nn_val x, const char *layer, int out,
                          int kernel)
{
    return net_conv(n, x, layer, (struct net_conv){.out = out, .kernel = kernel, .bias = true});
}

/* Of each image and channel by itself; nothing is learned. */
static struct nn_val instance_norm(const struct net *n, struct nn_val x)
{
    int c = net_channels(n, x);
    struct nn_val one = nn_buffer(n->g, NET_NAME("one%d", c), nn_shape1(c), NN_INIT_ONE);
    struct nn_val zero = nn_buffer(n->g, NET_NAME("zero%d", c), nn_shape1(c), NN_INIT_ZERO);
    return nn_group_norm(n->g, x, one, zero, c, 1e-5f);
}

static struct nn_val decode(const struct net *n, struct nn_val x, const char *name, int w,
                            int channels)
{
    x = conv(n, nn_upsample2(n->g, x), NET_NAME("%.64s.0", name), w, 3);
    x = conv(n, x, NET_NAME("%.64s.1", name), w, 3);
    x = net_relu(n, instance_norm(n, x));
    x = conv(n, x, NET_NAME("%.64s.2", name), w / 2, 3);
    x = net_relu(n, instance_norm(n, x));
    return conv(n, x, NET_NAME("%.64s.3", name), channels, 3);
}

/* (batch,H/2,W/2,2w): row y of a table that is one matrix. */
static struct nn_val of_class(const struct net *n, struct nn_val label, struct nn_shape like)
{
    int values = like.dim[1] * like.dim[2] * like.dim[3];
    struct nn_val table =
        nn_param(n->g, DVAE_CLASSES, nn_shape2(values, net_channels(n, label)), NN_INIT_ZERO);
    return nn_reshape(n->g, nn_linear(n->g, label, table, NN_NONE), like);
}

struct dvae_net dvae_build(struct nn_graph *g, const struct dvae_shape *s, bool training)
{
    const struct net n = {g, training};
    int w = s->filters;
    struct nn_shape latent = nn_shape4(s->batch, s->height / 2, s->width / 2, 4 * w);
    struct dvae_net net = {
        .x = nn_input(g, "x", NN_F32, nn_shape4(s->batch, s->height, s->width, s->channels)),
        .label = nn_input(g, "label", NN_F32, nn_shape2(s->batch, s->classes)),
        .noise = nn_input(g, "noise", NN_F32, latent),
    };
    struct nn_val f = encode(&n, net.x, w);
    net.mu = conv(&n, f, "mu", 4 * w, 1);
    net.log_var = conv(&n, f, "log_var", 4 * w, 1);
    struct nn_val deviation = nn_act(g, nn_affine(g, net.log_var, .5f, 0), NN_EXP);
    struct nn_val z = nn_add(g, net.mu, nn_mul(g, deviation, net.noise));
    z = conv(&n, z, "latent", 2 * w, 1);
    net.rec = nn_act(g, decode(&n, z, "image", w, s->channels), NN_SIGMOID);
    struct nn_val e = of_class(&n, net.label, nn_val_shape(g, f));
    net.p = decode(&n, nn_add(g, f, e), "added", w, s->channels);
    return net;
}

/* max(x, least); what is constant has no gradient. */
static struct nn_val at_least(struct nn_graph *g, struct nn_val x, float least)
{
    return nn_affine(g, nn_act(g, nn_affine(g, x, 1, -least), NN_RELU), 1, least);
}

static struct nn_val clip(struct nn_graph *g, struct nn_val x)
{
    return nn_affine(g, nn_act(g, nn_affine(g, x, 6, 0), NN_RELU6), 1.0f / 6, 0);
}

struct nn_val dvae_loss(struct nn_graph *g, const struct dvae_net *n, float rate,
                        struct nn_val *late)
{
    const float weight = .01f, least_p = .002f;
    struct nn_shape z = nn_val_shape(g, n->mu);
    struct nn_val both = clip(g, nn_add(g, n->rec, n->p));
    struct nn_val terms = nn_add(g, nn_mul(g, n->mu, n->mu), nn_act(g, n->log_var, NN_EXP));
    terms = nn_affine(g, nn_sub(g, terms, n->log_var), 1, -1);
    struct nn_val kl = nn_affine(g, nn_mean(g, terms), .5f * (float)z.dim[3], 0);
    struct nn_val p2 = nn_mean(g, nn_mul(g, n->p, n->p));
    *late = nn_input(g, "late", NN_F32, nn_shape1(1));
    struct nn_val loss =
        nn_add(g, nn_mean(g, nn_mse(g, n->rec, n->x)), nn_mean(g, nn_mse(g, both, n->x)));
    loss = nn_add(g, loss, nn_affine(g, at_least(g, kl, rate), weight, 0));
    return nn_add(g, loss, nn_mul(g, at_least(g, p2, least_p), *late));
}
