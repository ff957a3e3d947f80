/*
 * Residual networks for small images (He et al. 2016, section 4.2, and the usual 3x3-stem variant
 * of ResNet-18), with the parameter names of the published PyTorch checkpoints, so that those load:
 * torchvision's for resnet18 and resnet8, the CIFAR port's (option A shortcuts, head `linear`) for
 * resnet20. `percept` is the body of purify's perceptual distance with its classifier head.
 */
#include "nets.h"

#include <string.h>

static const float bn_momentum = .1f, bn_eps = 1e-5f; /* torch's defaults */

struct builder {
    struct nn_graph *g;
    bool training;
};

static struct nn_val param(struct builder *b, const char *prefix, const char *name,
                           struct nn_shape s, enum nn_init init)
{
    char full[NN_NAME_MAX];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return nn_param(b->g, full, s, init);
}

static struct nn_val buffer(struct builder *b, const char *prefix, const char *name, int c,
                            enum nn_init init)
{
    char full[NN_NAME_MAX];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return nn_buffer(b->g, full, nn_shape1(c), init);
}

static int channels_of(struct builder *b, struct nn_val x)
{
    return nn_val_shape(b->g, x).dim[3];
}

static struct nn_val conv(struct builder *b, struct nn_val x, const char *name, int out, int kernel,
                          int stride)
{
    struct nn_shape s = nn_shape4(out, channels_of(b, x), kernel, kernel);
    struct nn_val w = param(b, name, "weight", s, NN_INIT_KAIMING);
    return nn_conv2d(b->g, x, w, NN_NONE, nn_conv_same(kernel, stride));
}

static struct nn_val norm(struct builder *b, struct nn_val x, const char *name)
{
    int c = channels_of(b, x);
    struct nn_val gamma = param(b, name, "weight", nn_shape1(c), NN_INIT_ONE);
    struct nn_val beta = param(b, name, "bias", nn_shape1(c), NN_INIT_ZERO);
    struct nn_val mean = buffer(b, name, "running_mean", c, NN_INIT_ZERO);
    struct nn_val var = buffer(b, name, "running_var", c, NN_INIT_ONE);
    return nn_batch_norm(b->g, x, gamma, beta, mean, var, bn_momentum, bn_eps, b->training);
}

static struct nn_val head(struct builder *b, struct nn_val x, const char *name, int classes)
{
    struct nn_val f = nn_global_avg_pool(b->g, x);
    int c = nn_val_shape(b->g, f).dim[1];
    struct nn_val w = param(b, name, "weight", nn_shape2(classes, c), NN_INIT_UNIFORM_FANIN);
    return nn_linear(b->g, f, w, param(b, name, "bias", nn_shape1(classes), NN_INIT_ZERO));
}

/* Option A: every second pixel, new channels zero on both sides. */
static struct nn_val pad_shortcut(struct builder *b, struct nn_val x, int out, int stride)
{
    int c = channels_of(b, x);
    if (stride > 1)
        x = nn_avg_pool(b->g, x, (struct nn_pool){.kernel = 1, .stride = stride});
    if (out == c)
        return x;
    struct nn_val zero = nn_affine(b->g, nn_slice_c(b->g, x, 0, (out - c) / 2), 0, 0);
    return nn_concat(b->g, nn_concat(b->g, zero, x), zero);
}

struct block {
    int out, stride;
    bool option_a; /* shortcut without weights; else 1x1 convolution and norm where shapes differ */
};

static struct nn_val basic_block(struct builder *b, struct nn_val x, const char *name,
                                 struct block k)
{
    char sub[NN_NAME_MAX];
    int in = channels_of(b, x);
    struct nn_val y = x, skip = x;
    snprintf(sub, sizeof sub, "%.64s.conv1", name);
    y = conv(b, y, sub, k.out, 3, k.stride);
    snprintf(sub, sizeof sub, "%.64s.bn1", name);
    y = nn_act(b->g, norm(b, y, sub), NN_RELU);
    snprintf(sub, sizeof sub, "%.64s.conv2", name);
    y = conv(b, y, sub, k.out, 3, 1);
    snprintf(sub, sizeof sub, "%.64s.bn2", name);
    y = norm(b, y, sub);
    if (k.option_a) {
        skip = pad_shortcut(b, x, k.out, k.stride);
    } else if (k.stride != 1 || in != k.out) {
        snprintf(sub, sizeof sub, "%.64s.downsample.0", name);
        skip = conv(b, x, sub, k.out, 1, k.stride);
        snprintf(sub, sizeof sub, "%.64s.downsample.1", name);
        skip = norm(b, skip, sub);
    }
    return nn_act(b->g, nn_add(b->g, y, skip), NN_RELU);
}

struct resnet {
    int stages, blocks, width; /* width doubles with every stage */
    bool option_a;
    const char *head;
    int stem_stride; /* 0 counts as 1 */
};

static struct nn_val resnet(struct nn_graph *g, const struct resnet *cfg, int classes,
                            struct nn_val x, bool training, struct nn_val *out_stage)
{
    struct builder b = {g, training};
    int stride = cfg->stem_stride ? cfg->stem_stride : 1;
    x = nn_act(g, norm(&b, conv(&b, x, "conv1", cfg->width, 3, stride), "bn1"), NN_RELU);
    for (int s = 0; s < cfg->stages; s++) {
        for (int i = 0; i < cfg->blocks; i++) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%d", s + 1, i);
            struct block k = {cfg->width << s, s > 0 && i == 0 ? 2 : 1, cfg->option_a};
            x = basic_block(&b, x, name, k);
        }
        if (out_stage)
            out_stage[s] = x;
    }
    return head(&b, x, cfg->head, classes);
}

static struct nn_val build_resnet18(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                                    bool training, struct nn_val *out_stage)
{
    static const struct resnet cfg = {4, 2, 64, false, "fc", 1};
    return resnet(g, &cfg, s.classes, x, training, out_stage);
}

static struct nn_val build_resnet8(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                                   bool training, struct nn_val *out_stage)
{
    static const struct resnet cfg = {3, 1, 16, false, "fc", 1};
    return resnet(g, &cfg, s.classes, x, training, out_stage);
}

static struct nn_val build_resnet8s2(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                                     bool training, struct nn_val *out_stage)
{
    static const struct resnet cfg = {3, 1, 16, false, "fc", 2};
    return resnet(g, &cfg, s.classes, x, training, out_stage);
}

static struct nn_val build_resnet20(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                                    bool training, struct nn_val *out_stage)
{
    static const struct resnet cfg = {3, 3, 16, true, "linear", 1};
    return resnet(g, &cfg, s.classes, x, training, out_stage);
}

/* Small, because purification evaluates it at every guided step. */
struct purify_percept_cfg train_net_percept_cfg(struct train_net_shape s)
{
    return (struct purify_percept_cfg){
        .in_channels = s.channels, .stages = 3, .width = {32, 64, 96}, .classes = s.classes};
}

static struct nn_val build_percept(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                                   bool training, struct nn_val *out_stage)
{
    (void)training;
    struct purify_percept_cfg cfg = train_net_percept_cfg(s);
    if (out_stage)
        purify_percept_features(g, &cfg, x, out_stage);
    return purify_percept_logits(g, &cfg, x);
}

static const struct train_net nets[] = {
    {.name = "resnet18",
     .summary = "ResNet-18 with a 3x3 stem, 11.2 M parameters: the networks of the papers' tables",
     .stages = 4,
     .groups = {"conv1|bn1|layer1", "layer2", "layer3", "layer4"},
     .mean = 0,
     .std = 1,
     .lr = .1f,
     .build = build_resnet18},
    {.name = "resnet20",
     .summary = "ResNet-20 of the CIFAR experiments, 0.27 M parameters",
     .stages = 3,
     .groups = {"conv1|bn1|layer1", "layer2", "layer3"},
     .mean = 0,
     .std = 1,
     .lr = .1f,
     .build = build_resnet20},
    {.name = "resnet8",
     .summary = "three residual blocks of 16, 32, 64 channels, 78 k parameters: minutes, not hours",
     .stages = 3,
     .groups = {"conv1|bn1|layer1", "layer2", "layer3"},
     .mean = 0,
     .std = 1,
     .lr = .1f,
     .build = build_resnet8},
    {.name = "resnet8s2",
     .summary = "resnet8 with a stem of stride 2: a quarter of the work, for a quick look",
     .stages = 3,
     .groups = {"conv1|bn1|layer1", "layer2", "layer3"},
     .mean = 0,
     .std = 1,
     .lr = .1f,
     .build = build_resnet8s2},
    {.name = "percept",
     .summary = "the network of the perceptual distance, trained as a classifier",
     .stages = 3,
     .groups = {"stage.0", "stage.1", "stage.2"},
     .mean = .5f,
     .std = .5f,
     .lr = .02f,
     .build = build_percept},
};

const struct train_net *train_net_at(int i)
{
    return i >= 0 && (size_t)i < ARRAY_LEN(nets) ? &nets[i] : NULL;
}

const struct train_net *train_net_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(nets); i++)
        if (strcmp(nets[i].name, name) == 0)
            return &nets[i];
    return NULL;
}

/* A prefix ends at a dot, so that layer1 does not take layer10. */
static bool has_prefix(const char *name, const char *prefix, size_t len)
{
    return strncmp(name, prefix, len) == 0 && name[len] == '.';
}

int train_net_stage_of(const struct train_net *net, const char *name)
{
    for (int s = 0; s < net->stages; s++)
        for (const char *p = net->groups[s]; *p;) {
            size_t len = strcspn(p, "|");
            if (has_prefix(name, p, len))
                return s;
            p += len + (p[len] == '|');
        }
    return -1;
}
