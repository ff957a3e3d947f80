/* The restorer's configuration: what is allowed, and what follows from it. */
#include "purify/purify.h"

enum {
    WIDTH_STEP = 32, /* what kernels of matrix products are made for */
    WIDTH_MAX = 1024,
    BLOCKS_MAX = 16,
    REACH_MAX = 256 /* px; a photograph's tiles are evaluated with so much around them */
};

struct purify_restorer purify_restorer_default(void)
{
    return (struct purify_restorer){
        .in_channels = 3, .levels = 3, .width = {64, 96, 128}, .blocks = 2};
}

status purify_restorer_check(const struct purify_restorer *cfg, struct errmsg *e)
{
    if (cfg->in_channels != 1 && cfg->in_channels != 3)
        return errmsg_set(e, STATUS_INVALID, "%d image channels, not 1 or 3", cfg->in_channels);
    if (cfg->levels < 1 || cfg->levels > PURIFY_LEVELS_MAX)
        return errmsg_set(e, STATUS_INVALID, "%d levels, not 1 to %d", cfg->levels,
                          PURIFY_LEVELS_MAX);
    if (cfg->blocks < 1 || cfg->blocks > BLOCKS_MAX)
        return errmsg_set(e, STATUS_INVALID, "%d residual blocks, not 1 to %d", cfg->blocks,
                          BLOCKS_MAX);
    for (int i = 0; i < cfg->levels; i++)
        if (cfg->width[i] < WIDTH_STEP || cfg->width[i] > WIDTH_MAX || cfg->width[i] % WIDTH_STEP)
            return errmsg_set(e, STATUS_INVALID,
                              "%d channels at level %d, not a multiple of %d up to %d",
                              cfg->width[i], i, WIDTH_STEP, WIDTH_MAX);
    int reach = purify_restorer_reach(cfg);
    if (reach > REACH_MAX)
        return errmsg_set(
            e, STATUS_INVALID,
            "%d levels of %d blocks see pixels %d away, over %d: take fewer of either", cfg->levels,
            cfg->blocks, reach, REACH_MAX);
    return STATUS_OK;
}

int purify_restorer_unit(const struct purify_restorer *cfg)
{
    return 1 << cfg->levels;
}

/*
 * Followed from the result to the input, for the position that is the first of a region: it begins
 * on a multiple of the unit, so the first position at any level is 0, and `first` is the furthest
 * one before it that is read. (Towards the region's other side it is as far, or one position less.)
 */
int purify_restorer_reach(const struct purify_restorer *cfg)
{
    int first = -1, convs = 2 * cfg->blocks, unit = purify_restorer_unit(cfg); /* -1: conv_out */
    for (int level = 0; level < cfg->levels - 1; level++)
        first = (first - convs - 1) / 2; /* rounds down: both are below 0 */
    for (int level = cfg->levels - 1; level >= 0; level--) {
        first -= convs;
        if (level > 0)
            first = 2 * first - 1;
    }
    first -= 1; /* conv_in */
    return (-2 * first + unit - 1) / unit * unit;
}
