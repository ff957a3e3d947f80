/* The UNet's configuration in the metadata of its weights file. */
#include "meta.h"
#include "names.h"

#define ARCHITECTURE "ddpm-unet"

/* What differs from Ho et al.'s network; a file of theirs does not mention it. */
static void add_variant(const struct purify_unet *cfg, struct purify_meta *out)
{
    const struct {
        const char *key;
        int value;
    } whole[] = {{"scale_shift", cfg->scale_shift},
                 {"res_resample", cfg->res_resample},
                 {"heads", cfg->heads},
                 {"head_channels", cfg->head_channels},
                 {"even_padding", cfg->even_padding},
                 {"plain_embedding", cfg->plain_embedding}};
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if (whole[i].value)
            meta_add(out, whole[i].key, "%d", whole[i].value);
    if (cfg->norm_eps > 0)
        meta_add(out, "norm_eps", "%.9g", (double)cfg->norm_eps);
    if (cfg->t_scale > 0)
        meta_add(out, "t_scale", "%.9g", (double)cfg->t_scale);
}

static void read_variant(struct meta_reader *r, int any, struct purify_unet *u)
{
    const struct {
        const char *key;
        bool *out;
    } flag[] = {{"scale_shift", &u->scale_shift},
                {"res_resample", &u->res_resample},
                {"even_padding", &u->even_padding},
                {"plain_embedding", &u->plain_embedding}};
    for (size_t i = 0; i < ARRAY_LEN(flag); i++) {
        int v = 0;
        if (nn_file_meta(r->file, flag[i].key))
            meta_int(r, flag[i].key, 0, 1, &v);
        *flag[i].out = v;
    }
    if (nn_file_meta(r->file, "heads"))
        meta_int(r, "heads", 0, any, &u->heads);
    if (nn_file_meta(r->file, "head_channels"))
        meta_int(r, "head_channels", 0, any, &u->head_channels);
    if (nn_file_meta(r->file, "norm_eps"))
        meta_float(r, "norm_eps", 0, 1, &u->norm_eps);
    if (nn_file_meta(r->file, "t_scale"))
        meta_float(r, "t_scale", 0, 1000, &u->t_scale);
}

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
    add_variant(cfg, out);
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
    read_variant(&r, ANY, &u);
    if (r.st)
        return r.st;
    u.mid_attn = mid_attn;
    u.beta = (enum purify_beta)beta;
    status st = purify_unet_check(&u, e);
    if (!st)
        *out = u;
    return st;
}
