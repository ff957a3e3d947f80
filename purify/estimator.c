/* The estimator's graph, and what configurations are allowed. */
#include "purify/purify.h"

#include <stdio.h>

enum {
    SIZE_MAX_PX = 256,
    SIDE_MAX = 9,    /* squared: PURIFY_ESTIMATOR_ENTRIES_MAX */
    WIDTH_STEP = 32, /* what kernels of matrix products are made for */
    WIDTH_MAX = 512
};

struct purify_estimator purify_estimator_default(void)
{
    return (struct purify_estimator){
        .in_channels = 3, .size = 32, .side = 3, .levels = 4, .width = {32, 64, 96, 128}};
}

status purify_estimator_check(const struct purify_estimator *cfg, struct errmsg *e)
{
    if (cfg->in_channels != 1 && cfg->in_channels != 3)
        return errmsg_set(e, STATUS_INVALID, "%d image channels, not 1 or 3", cfg->in_channels);
    if (cfg->side < 3 || cfg->side > SIDE_MAX || cfg->side % 2 == 0)
        return errmsg_set(e, STATUS_INVALID,
                          "kernels of %d pixels a side, not an odd number of 3 to %d", cfg->side,
                          SIDE_MAX);
    if (cfg->levels < 1 || cfg->levels > PURIFY_LEVELS_MAX)
        return errmsg_set(e, STATUS_INVALID, "%d levels, not 1 to %d", cfg->levels,
                          PURIFY_LEVELS_MAX);
    int unit = 1 << (cfg->levels - 1);
    if (cfg->size < 2 * unit || cfg->size > SIZE_MAX_PX || cfg->size % unit)
        return errmsg_set(e, STATUS_INVALID,
                          "squares of %d pixels: %d levels want a multiple of %d, %d to %d",
                          cfg->size, cfg->levels, unit, 2 * unit, SIZE_MAX_PX);
    for (int i = 0; i < cfg->levels; i++)
        if (cfg->width[i] < WIDTH_STEP || cfg->width[i] > WIDTH_MAX || cfg->width[i] % WIDTH_STEP)
            return errmsg_set(e, STATUS_INVALID,
                              "%d channels at level %d, not a multiple of %d up to %d",
                              cfg->width[i], i, WIDTH_STEP, WIDTH_MAX);
    return STATUS_OK;
}

struct nn_val purify_estimator_build(struct nn_graph *g, const struct purify_estimator *cfg,
                                     struct nn_val x)
{
    CHECK(purify_estimator_check(cfg, NULL) == STATUS_OK);
    char name[NN_NAME_MAX];
    int in = cfg->in_channels;
    for (int i = 0; i < cfg->levels; i++) {
        snprintf(name, sizeof name, "conv.%d.weight", i);
        struct nn_val w = nn_param(g, name, nn_shape4(cfg->width[i], in, 3, 3), NN_INIT_KAIMING);
        snprintf(name, sizeof name, "conv.%d.bias", i);
        struct nn_val b = nn_param(g, name, nn_shape1(cfg->width[i]), NN_INIT_ZERO);
        x = nn_act(g, nn_conv2d(g, x, w, b, nn_conv_same(3, i ? 2 : 1)), NN_RELU);
        in = cfg->width[i];
    }
    struct nn_shape s = nn_val_shape(g, x);
    int n = s.dim[1] * s.dim[2] * s.dim[3], entries = cfg->side * cfg->side;
    struct nn_val w = nn_param(g, "head.weight", nn_shape2(entries, n), NN_INIT_XAVIER);
    struct nn_val b = nn_param(g, "head.bias", nn_shape1(entries), NN_INIT_ZERO);
    return nn_linear(g, nn_reshape(g, x, nn_shape2(s.dim[0], n)), w, b);
}
