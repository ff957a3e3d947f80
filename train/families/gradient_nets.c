/*
 * The classifiers that gradients are taken of: small, since it is the texture of a gradient that
 * matters, and that is the first layers' doing. They differ in what shapes it: the first kernel and
 * its stride, the nonlinearity, normalisation, skip connections, and whether what is last is a mean
 * over the image or a weight for each place (as of NTGA's surrogate, Yuan & Wu, ICML 2021, which
 * `strided` follows).
 */
#include "families/gradients.h"

#include "net_layers.h"

enum { LAYERS_MAX = 5 };
struct layer {
    int out, kernel, stride;
    int skip; /* 1: adds its input, which is of the same shape */
};
struct small {
    struct layer layer[LAYERS_MAX]; /* ended by zeros */
    enum nn_act_kind act;
    bool norm, flat;
};

static struct nn_val build(const struct small *small, struct net n, struct train_net_shape s,
                           struct nn_val x)
{
    for (int i = 0; i < LAYERS_MAX && small->layer[i].out; i++) {
        const struct layer *l = &small->layer[i];
        const struct net_conv conv = {
            .out = l->out, .kernel = l->kernel, .stride = l->stride, .bias = !small->norm};
        struct nn_val y = net_conv(&n, x, NET_NAME("conv%d", i), conv);
        if (small->norm)
            y = net_batch_norm(&n, y, NET_NAME("norm%d", i));
        if (l->skip)
            y = nn_add(n.g, y, x);
        x = nn_act(n.g, y, small->act);
    }
    if (!small->flat)
        return net_head(&n, x, "head", s.classes);
    struct nn_shape shape = nn_val_shape(n.g, x);
    int values = shape.rank == 4 ? shape.dim[1] * shape.dim[2] * shape.dim[3] : 1;
    return net_linear(&n, nn_reshape(n.g, x, nn_shape2(shape.dim[0], values)), "head", s.classes,
                      NN_INIT_UNIFORM_FANIN);
}

static const struct small small[GRADIENTS_NETS] = {
    {.layer = {{16, 3, 1, 0}, {32, 3, 2, 0}, {48, 3, 2, 0}}, .act = NN_RELU},
    {.layer = {{16, 3, 1, 0}, {32, 3, 2, 0}, {48, 3, 2, 0}}, .act = NN_RELU, .norm = true},
    {.layer = {{24, 5, 2, 0}, {48, 5, 2, 0}}, .act = NN_RELU, .flat = true},
    {.layer = {{16, 5, 2, 0}, {32, 3, 2, 0}}, .act = NN_SILU, .flat = true},
    {.layer = {{16, 7, 2, 0}, {16, 3, 1, 1}, {48, 3, 2, 0}}, .act = NN_RELU6, .norm = true},
    {.layer = {{16, 3, 1, 0}, {16, 3, 1, 1}, {32, 3, 2, 0}, {32, 3, 1, 1}, {64, 3, 2, 0}},
     .act = NN_RELU,
     .norm = true},
};

/* A network's row is a function: it has no argument that could say which it is. */
#define BUILD(i)                                                                                   \
    static struct nn_val build_##i(struct nn_graph *g, struct train_net_shape s, struct nn_val x,  \
                                   bool training, struct nn_val *out_stage)                        \
    {                                                                                              \
        (void)out_stage;                                                                           \
        return build(&small[i], (struct net){g, training}, s, x);                                  \
    }
BUILD(0)
BUILD(1)
BUILD(2)
BUILD(3)
BUILD(4)
BUILD(5)

/* With a weight for each place a smaller rate is enough. */
const struct train_net gradients_nets[GRADIENTS_NETS] = {
    {.name = "plain", .mean = .5f, .std = .25f, .lr = .2f, .build = build_0},
    {.name = "normed", .mean = .5f, .std = .25f, .lr = .1f, .build = build_1},
    {.name = "strided", .mean = .5f, .std = .25f, .lr = .05f, .build = build_2},
    {.name = "smooth", .mean = .5f, .std = .25f, .lr = .02f, .build = build_3},
    {.name = "stem", .mean = .5f, .std = .25f, .lr = .1f, .build = build_4},
    {.name = "residual", .mean = .5f, .std = .25f, .lr = .1f, .build = build_5},
};
