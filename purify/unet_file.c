/* The UNet's configuration in the metadata of its weights file. */
#include "meta.h"
#include "names.h"

#define ARCHITECTURE "ddpm-unet"

void purify_unet_to_meta(const struct purify_unet *cfg, struct purify_meta *out)
{
    out->n = 0;
    meta_add(out, "architecture", ARCHITECTURE);
    meta_add(out, "in_channels", "%d", cfg->in_channels);
    meta_add(out, "size", "%d", cfg->size);
    meta_add(out, "ch", "%d", cfg->ch);
    meta_add_list(out, "ch_mult", cfg->ch_mult, cfg->levels);
    meta_add(out, "res_blocks", "%d", cfg->res_blocks);
    meta_add_list(out, "attn", cfg->attn, cfg->attn_count);
    meta_add(out, "mid_attn", "%d", cfg->mid_attn);
    meta_add(out, "groups", "%d", cfg->groups);
    meta_add(out, "dropout", "%.9g", (double)cfg->dropout);
    meta_add(out, "timesteps", "%d", cfg->total);
    meta_add(out, "beta", "%s", purify_beta_names[cfg->beta]);
    meta_add(out, "t_max", "%d", cfg->t_max);
}

status purify_unet_from_file(const struct nn_file *f, struct purify_unet *out, struct errmsg *e)
{
    static const char *const architecture[] = {ARCHITECTURE};
    enum { ANY = 1 << 20 }; /* purify_unet_check says what fits together */
    struct meta_reader r = {.file = f, .e = e};
    struct purify_unet u = {0};
    int mid_attn = 0, beta = 0;
    meta_architecture(&r, architecture, 1);
    meta_int(&r, "in_channels", 1, ANY, &u.in_channels);
    meta_int(&r, "size", 1, ANY, &u.size);
    meta_int(&r, "ch", 1, ANY, &u.ch);
    meta_list(&r, "ch_mult", PURIFY_LEVELS_MAX, u.ch_mult, &u.levels);
    meta_int(&r, "res_blocks", 1, ANY, &u.res_blocks);
    meta_list(&r, "attn", PURIFY_LEVELS_MAX, u.attn, &u.attn_count);
    meta_int(&r, "mid_attn", 0, 1, &mid_attn);
    meta_int(&r, "groups", 1, ANY, &u.groups);
    meta_float(&r, "dropout", 0, 1, &u.dropout);
    meta_int(&r, "timesteps", 1, ANY, &u.total);
    meta_enum(&r, "beta", purify_beta_names, PURIFY_BETA_COUNT, &beta);
    meta_int(&r, "t_max", 1, ANY, &u.t_max);
    if (r.st)
        return r.st;
    u.mid_attn = mid_attn;
    u.beta = (enum purify_beta)beta;
    status st = purify_unet_check(&u, e);
    if (!st)
        *out = u;
    return st;
}
