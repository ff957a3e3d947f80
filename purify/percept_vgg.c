/* Our own small network of the perceptual distance, a VGG-like body, and the classifier it is
   trained as. */
#include "percept.h"

enum { WIDTH_MAX = 2048, CLASSES_MAX = 1 << 20 };

static struct nn_val layer_param(struct nn_graph *g, int stage, const char *leaf, struct nn_shape s,
                                 enum nn_init init)
{
    char name[NN_NAME_MAX];
    snprintf(name, sizeof name, "stage.%d.%s", stage, leaf);
    return nn_param(g, name, s, init);
}

static struct nn_val conv_relu(struct nn_graph *g, struct nn_val x, int stage, int index, int in,
                               int out)
{
    char weight[16], bias[16];
    snprintf(weight, sizeof weight, "conv%d.weight", index);
    snprintf(bias, sizeof bias, "conv%d.bias", index);
    struct nn_val w = layer_param(g, stage, weight, nn_shape4(out, in, 3, 3), NN_INIT_KAIMING);
    struct nn_val b = layer_param(g, stage, bias, nn_shape1(out), NN_INIT_ZERO);
    return nn_act(g, nn_conv2d(g, x, w, b, nn_conv_same(3, 1)), NN_RELU);
}

static int features(struct nn_graph *g, const struct purify_percept_cfg *cfg, struct nn_val x,
                    struct nn_val *out_feature)
{
    CHECK(cfg->stages >= 1 && cfg->stages <= PURIFY_LEVELS_MAX);
    int in = cfg->in_channels;
    for (int s = 0; s < cfg->stages; s++) {
        if (s > 0)
            x = nn_max_pool(g, x, (struct nn_pool){.kernel = 2, .stride = 2});
        x = conv_relu(g, x, s, 1, in, cfg->width[s]);
        x = conv_relu(g, x, s, 2, cfg->width[s], cfg->width[s]);
        out_feature[s] = x;
        in = cfg->width[s];
    }
    return cfg->stages;
}

/* Every stage but the first begins with a halving. */
static int min_side(const struct purify_percept_cfg *cfg)
{
    return 1 << (cfg->stages - 1);
}

struct nn_val purify_percept_logits(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                                    struct nn_val x)
{
    CHECK(cfg->net == PURIFY_PERCEPT_VGG);
    struct nn_val feature[PURIFY_FEATURES_MAX], lin[PURIFY_FEATURES_MAX];
    int n = features(g, cfg, x, feature), width = cfg->width[cfg->stages - 1];
    percept_lin(g, feature, n, lin); /* so that a saved classifier is a whole distance */
    struct nn_val w =
        nn_param(g, "head.weight", nn_shape2(cfg->classes, width), NN_INIT_UNIFORM_FANIN);
    struct nn_val b = nn_param(g, "head.bias", nn_shape1(cfg->classes), NN_INIT_ZERO);
    return nn_linear(g, nn_global_avg_pool(g, feature[n - 1]), w, b);
}

static void write_meta(const struct purify_percept_cfg *cfg, struct purify_meta *out)
{
    meta_add(out, "in_channels", "%d", cfg->in_channels);
    meta_add_list(out, "width", cfg->width, cfg->stages);
    meta_add(out, "classes", "%d", cfg->classes);
}

static void read_meta(struct meta_reader *r, struct purify_percept_cfg *c)
{
    meta_int(r, "in_channels", 1, 3, &c->in_channels);
    meta_list(r, "width", PURIFY_LEVELS_MAX, c->width, &c->stages);
    meta_int(r, "classes", 1, CLASSES_MAX, &c->classes);
    bool good = c->stages >= 1 && c->in_channels != 2;
    for (int s = 0; s < c->stages; s++)
        good = good && c->width[s] >= 1 && c->width[s] <= WIDTH_MAX;
    if (!r->st && !good)
        r->st = errmsg_set(r->e, STATUS_INVALID, "the weights file's stages make no network");
}

const struct percept_net percept_vgg = {
    .name = "percept-vgg",
    .relative = true,
    .min_side = min_side,
    .features = features,
    .write = write_meta,
    .read = read_meta,
};
