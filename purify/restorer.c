/* The restorer's graph. */
#include "purify/purify.h"

#include <stdarg.h>
#include <stdio.h>

struct builder {
    struct nn_graph *g;
    const struct purify_restorer *cfg;
};
/* What a convolution is like, but for its channels. */
struct kind {
    int kernel, stride;
    enum nn_init init;
};
static const struct kind same = {3, 1, NN_INIT_KAIMING}, silent = {3, 1, NN_INIT_ZERO},
                         halve = {3, 2, NN_INIT_XAVIER}, widen = {1, 1, NN_INIT_XAVIER};

__attribute__((format(printf, 5, 6))) static struct nn_val
conv(struct builder *b, struct nn_val x, int out, const struct kind *kind, const char *fmt, ...)
{
    char name[NN_NAME_MAX / 2], full[NN_NAME_MAX];
    int in = nn_val_shape(b->g, x).dim[3], k = kind->kernel;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    snprintf(full, sizeof full, "%s.weight", name);
    struct nn_val w = nn_param(b->g, full, nn_shape4(out, in, k, k), kind->init);
    snprintf(full, sizeof full, "%s.bias", name);
    struct nn_val bias = nn_param(b->g, full, nn_shape1(out), NN_INIT_ZERO);
    return nn_conv2d(b->g, x, w, bias, nn_conv_same(k, kind->stride));
}

/* The residual blocks of a level, on the way "down" or "up". */
static struct nn_val blocks(struct builder *b, struct nn_val x, const char *way, int level)
{
    int width = b->cfg->width[level];
    for (int i = 0; i < b->cfg->blocks; i++) {
        struct nn_val h = conv(b, x, width, &same, "%s.%d.block.%d.conv0", way, level, i);
        h = nn_act(b->g, h, NN_RELU);
        h = conv(b, h, width, &silent, "%s.%d.block.%d.conv1", way, level, i);
        x = nn_add(b->g, x, h);
    }
    return x;
}

struct nn_val purify_restorer_build(struct nn_graph *g, const struct purify_restorer *cfg,
                                    struct nn_val x)
{
    CHECK(purify_restorer_check(cfg, NULL) == STATUS_OK);
    struct builder b = {g, cfg};
    struct nn_val skip[PURIFY_LEVELS_MAX];
    int last = cfg->levels - 1;
    x = conv(&b, x, cfg->width[0], &same, "conv_in");
    for (int level = 0; level < last; level++) {
        skip[level] = blocks(&b, x, "down", level);
        x = conv(&b, skip[level], cfg->width[level + 1], &halve, "down.%d.downsample", level);
    }
    x = blocks(&b, x, "down", last);
    for (int level = last - 1; level >= 0; level--) {
        x = conv(&b, x, cfg->width[level], &widen, "up.%d.upsample", level);
        x = nn_add(g, skip[level], nn_upsample2(g, x));
        x = blocks(&b, x, "up", level);
    }
    return conv(&b, x, 4 * cfg->in_channels, &silent, "conv_out");
}
