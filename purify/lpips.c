/*
 * The networks of LPIPS (Zhang et al. 2018; its released version 0.1): the feature parts of
 * AlexNet, VGG-16 and SqueezeNet 1.1 as torchvision has them, with its names, features.I.weight for
 * layer I of the sequence. An activation and a pooling are layers of their own there.
 */
#include "percept.h"

struct body {
    struct nn_graph *g;
    struct nn_val x;
    int layer; /* that comes next */
};

/* The statistics that LPIPS puts before every network, of images in [-1,1]. */
static struct nn_val scaled(struct nn_graph *g, struct nn_val x)
{
    static const float shift[] = {-.030f, -.088f, -.188f}, scale[] = {.458f, .448f, .450f};
    int channels = nn_val_shape(g, x).dim[3];
    struct nn_val y = NN_NONE;
    for (int c = 0; c < 3; c++) {
        struct nn_val one = nn_slice_c(g, x, channels == 1 ? 0 : c, 1);
        one = nn_affine(g, one, 1 / scale[c], -shift[c] / scale[c]);
        y = c > 0 ? nn_concat(g, y, one) : one;
    }
    return y;
}

static struct body begin(struct nn_graph *g, struct nn_val x)
{
    return (struct body){g, scaled(g, x), 0};
}

struct conv {
    int out, kernel, stride, pad;
};

/* The layer's part called `part` ("" or "squeeze.") with its activation. */
static struct nn_val conv_relu(struct body *b, const char *part, struct conv k, struct nn_val x)
{
    char name[NN_NAME_MAX];
    struct nn_shape s = nn_shape4(k.out, nn_val_shape(b->g, x).dim[3], k.kernel, k.kernel);
    snprintf(name, sizeof name, "features.%d.%sweight", b->layer, part);
    struct nn_val weight = nn_param(b->g, name, s, NN_INIT_KAIMING);
    snprintf(name, sizeof name, "features.%d.%sbias", b->layer, part);
    struct nn_val bias = nn_param(b->g, name, nn_shape1(k.out), NN_INIT_ZERO);
    struct nn_conv attr = {.stride = k.stride,
                           .pad_top = k.pad,
                           .pad_left = k.pad,
                           .pad_bottom = k.pad,
                           .pad_right = k.pad};
    return nn_act(b->g, nn_conv2d(b->g, x, weight, bias, attr), NN_RELU);
}

static struct nn_val conv(struct body *b, struct conv k)
{
    b->x = conv_relu(b, "", k, b->x);
    b->layer += 2;
    return b->x;
}

static void pool(struct body *b, struct nn_pool attr)
{
    b->x = nn_max_pool(b->g, b->x, attr);
    b->layer++;
}

/* SqueezeNet's module (Iandola et al. 2016, section 3.2); expand: channels of each of the two. */
static struct nn_val fire(struct body *b, int squeeze, int expand)
{
    struct nn_val x = conv_relu(b, "squeeze.", (struct conv){squeeze, 1, 1, 0}, b->x);
    b->x = nn_concat(b->g, conv_relu(b, "expand1x1.", (struct conv){expand, 1, 1, 0}, x),
                     conv_relu(b, "expand3x3.", (struct conv){expand, 3, 1, 1}, x));
    b->layer++;
    return b->x;
}

/* ---- AlexNet (Krizhevsky 2014, one column) ---- */

static int alexnet_features(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                            struct nn_val x, struct nn_val *out_feature)
{
    (void)cfg;
    static const struct nn_pool halve = {.kernel = 3, .stride = 2};
    struct body b = begin(g, x);
    out_feature[0] = conv(&b, (struct conv){64, 11, 4, 2});
    pool(&b, halve);
    out_feature[1] = conv(&b, (struct conv){192, 5, 1, 2});
    pool(&b, halve);
    out_feature[2] = conv(&b, (struct conv){384, 3, 1, 1});
    out_feature[3] = conv(&b, (struct conv){256, 3, 1, 1});
    out_feature[4] = conv(&b, (struct conv){256, 3, 1, 1});
    return 5;
}

static int alexnet_min_side(const struct purify_percept_cfg *cfg)
{
    (void)cfg;
    return 31; /* 7, 3, 1 after the first convolution and the poolings */
}

const struct percept_net lpips_alexnet = {
    .name = "lpips-alexnet",
    .published = "alexnet",
    .takes_grey = true,
    .min_side = alexnet_min_side,
    .features = alexnet_features,
};

/* ---- VGG-16 (Simonyan & Zisserman 2015, configuration D) ---- */

static int vgg16_features(struct nn_graph *g, const struct purify_percept_cfg *cfg, struct nn_val x,
                          struct nn_val *out_feature)
{
    (void)cfg;
    static const int width[] = {64, 128, 256, 512, 512}, depth[] = {2, 2, 3, 3, 3};
    struct body b = begin(g, x);
    for (int s = 0; s < 5; s++) {
        if (s > 0)
            pool(&b, (struct nn_pool){.kernel = 2, .stride = 2});
        for (int i = 0; i < depth[s]; i++)
            out_feature[s] = conv(&b, (struct conv){width[s], 3, 1, 1});
    }
    return 5;
}

static int vgg16_min_side(const struct purify_percept_cfg *cfg)
{
    (void)cfg;
    return 16; /* four halvings */
}

const struct percept_net lpips_vgg16 = {
    .name = "lpips-vgg16",
    .published = "vgg16",
    .takes_grey = true,
    .min_side = vgg16_min_side,
    .features = vgg16_features,
};

/* ---- SqueezeNet 1.1 ---- */

static int squeezenet_features(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                               struct nn_val x, struct nn_val *out_feature)
{
    (void)cfg;
    static const struct nn_pool halve = {.kernel = 3, .stride = 2, .ceil_mode = true};
    struct body b = begin(g, x);
    out_feature[0] = conv(&b, (struct conv){64, 3, 2, 0});
    pool(&b, halve);
    fire(&b, 16, 64);
    out_feature[1] = fire(&b, 16, 64);
    pool(&b, halve);
    fire(&b, 32, 128);
    out_feature[2] = fire(&b, 32, 128);
    pool(&b, halve);
    out_feature[3] = fire(&b, 48, 192);
    out_feature[4] = fire(&b, 48, 192);
    out_feature[5] = fire(&b, 64, 256);
    out_feature[6] = fire(&b, 64, 256);
    return 7;
}

static int squeezenet_min_side(const struct purify_percept_cfg *cfg)
{
    (void)cfg;
    return 17; /* 8, 4, 2, 1 after the first convolution and the poolings, which round up */
}

const struct percept_net lpips_squeezenet = {
    .name = "lpips-squeezenet1_1",
    .published = "squeezenet1_1",
    .takes_grey = true,
    .min_side = squeezenet_min_side,
    .features = squeezenet_features,
};
