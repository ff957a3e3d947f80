#include "unet.h"

enum { CHANNELS_MAX = 4096, SIZE_MAX_PX = 1024 };

bool unet_has_attn(const struct purify_unet *cfg, int level)
{
    for (int i = 0; i < cfg->attn_count; i++)
        if (cfg->attn[i] == cfg->size >> level)
            return true;
    return false;
}

static status check_levels(const struct purify_unet *u, struct errmsg *e)
{
    if (u->levels < 1 || u->levels > PURIFY_LEVELS_MAX)
        return errmsg_set(e, STATUS_INVALID, "%d levels, not 1 to %d", u->levels,
                          PURIFY_LEVELS_MAX);
    if (u->size < 4 || u->size > SIZE_MAX_PX || u->size % (1 << (u->levels - 1)))
        return errmsg_set(e, STATUS_INVALID,
                          "size is %d, not 4 to %d and divisible by %d (as %d levels need)",
                          u->size, SIZE_MAX_PX, 1 << (u->levels - 1), u->levels);
    for (int i = 0; i < u->levels; i++) {
        int64_t c = (int64_t)u->ch * u->ch_mult[i];
        if (u->ch_mult[i] < 1 || c > CHANNELS_MAX || c % u->groups)
            return errmsg_set(
                e, STATUS_INVALID,
                "channels of level %d: %d * %d is over %d or no multiple of %d groups", i, u->ch,
                u->ch_mult[i], CHANNELS_MAX, u->groups);
    }
    if (u->attn_count < 0 || u->attn_count > PURIFY_LEVELS_MAX)
        return errmsg_set(e, STATUS_INVALID, "attention at %d sizes", u->attn_count);
    for (int i = 0; i < u->attn_count; i++) {
        bool found = false;
        for (int level = 0; level < u->levels; level++)
            found |= u->attn[i] == u->size >> level;
        if (!found)
            return errmsg_set(e, STATUS_INVALID, "attention at size %d, which no level has",
                              u->attn[i]);
    }
    return STATUS_OK;
}

/* Heads divide the channels of every level that has attention, and of the middle. */
static status check_heads(const struct purify_unet *u, struct errmsg *e)
{
    if (u->heads < 0 || u->head_channels < 0)
        return errmsg_set(e, STATUS_INVALID, "%d attention heads, %d channels a head", u->heads,
                          u->head_channels);
    for (int i = 0; i < u->levels; i++) {
        int c = u->ch * u->ch_mult[i], divisor = u->head_channels ? u->head_channels : u->heads;
        bool attends = unet_has_attn(u, i) || (u->mid_attn && i == u->levels - 1);
        if (attends && divisor && c % divisor)
            return errmsg_set(e, STATUS_INVALID, "%d channels of level %d in heads by %d", c, i,
                              divisor);
    }
    return STATUS_OK;
}

status purify_unet_check(const struct purify_unet *u, struct errmsg *e)
{
    if (u->in_channels != 1 && u->in_channels != 3)
        return errmsg_set(e, STATUS_INVALID, "%d image channels, not 1 or 3", u->in_channels);
    /* 4: the embedding divides by ch/2 - 1 */
    if (u->ch < 4 || u->ch > CHANNELS_MAX || u->ch % 2)
        return errmsg_set(e, STATUS_INVALID, "ch is %d, not an even number from 4 to %d", u->ch,
                          CHANNELS_MAX);
    if (u->groups < 1 || u->ch % u->groups)
        return errmsg_set(e, STATUS_INVALID, "%d groups do not divide %d channels", u->groups,
                          u->ch);
    if (u->res_blocks < 1 || u->res_blocks > UNET_RES_BLOCKS_MAX)
        return errmsg_set(e, STATUS_INVALID, "%d residual blocks, not 1 to %d", u->res_blocks,
                          UNET_RES_BLOCKS_MAX);
    if (!(u->dropout >= 0 && u->dropout < 1))
        return errmsg_set(e, STATUS_INVALID, "dropout is %g, not from 0 to below 1",
                          (double)u->dropout);
    if ((unsigned)u->beta >= PURIFY_BETA_COUNT || u->total < 1 || u->total > PURIFY_TOTAL_MAX ||
        u->t_max < 1 || u->t_max > u->total)
        return errmsg_set(e, STATUS_INVALID, "schedule of %d steps, trained on the first %d",
                          u->total, u->t_max);
    if (!(u->norm_eps >= 0 && u->norm_eps <= 1) || !(u->t_scale >= 0 && u->t_scale <= 1000))
        return errmsg_set(e, STATUS_INVALID, "norm_eps is %g, t_scale %g", (double)u->norm_eps,
                          (double)u->t_scale);
    status st = check_levels(u, e);
    return st ? st : check_heads(u, e);
}
