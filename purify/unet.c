/*
 * The DDPM UNet of Ho et al. 2020, appendix B, as the PyTorch port of it is laid out: same order of
 * operations, same names, so that published checkpoints map one to one. Initial values are Ho et
 * al.'s (Xavier uniform, zero for the last convolution of every residual branch).
 */
#include "unet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SKIPS_MAX = PURIFY_LEVELS_MAX * (UNET_RES_BLOCKS_MAX + 1) };

struct builder {
    struct nn_graph *g;
    const struct purify_unet *cfg;
    bool training;
    struct nn_val temb; /* silu of the time embedding, (N,4ch): every block projects the same */
};

static int channels_of(const struct builder *b, struct nn_val x)
{
    struct nn_shape s = nn_val_shape(b->g, x);
    return s.rank ? s.dim[s.rank - 1] : 0;
}

static struct nn_val param(struct builder *b, const char *name, const char *leaf, struct nn_shape s,
                           enum nn_init init)
{
    char full[NN_NAME_MAX];
    snprintf(full, sizeof full, "%s.%s", name, leaf);
    return nn_param(b->g, full, s, init);
}

static struct nn_val linear(struct builder *b, struct nn_val x, const char *name, int out)
{
    int in = channels_of(b, x);
    return nn_linear(b->g, x, param(b, name, "weight", nn_shape2(out, in), NN_INIT_XAVIER),
                     param(b, name, "bias", nn_shape1(out), NN_INIT_ZERO));
}

static struct nn_val conv(struct builder *b, struct nn_val x, const char *name, int out, int kernel,
                          struct nn_conv attr, enum nn_init init)
{
    struct nn_shape w = nn_shape4(out, channels_of(b, x), kernel, kernel);
    return nn_conv2d(b->g, x, param(b, name, "weight", w, init),
                     param(b, name, "bias", nn_shape1(out), NN_INIT_ZERO), attr);
}

static struct nn_val norm(struct builder *b, struct nn_val x, const char *name)
{
    struct nn_shape s = nn_shape1(channels_of(b, x));
    return nn_group_norm(b->g, x, param(b, name, "weight", s, NN_INIT_ONE),
                         param(b, name, "bias", s, NN_INIT_ZERO), b->cfg->groups,
                         b->cfg->norm_eps > 0 ? b->cfg->norm_eps : 1e-6f);
}

static struct nn_val silu(struct builder *b, struct nn_val x)
{
    return nn_act(b->g, x, NN_SILU);
}

/* prefix.leaf, for the parts of a block. */
struct name {
    char text[NN_NAME_MAX];
};
__attribute__((format(printf, 1, 2))) static struct name name(const char *fmt, ...)
{
    struct name n;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(n.text, sizeof n.text, fmt, ap);
    va_end(ap);
    return n;
}

/* temb_scale's bias starts at the 1 that it holds. */
static struct nn_val gain(struct builder *b, const char *name, int out)
{
    struct nn_shape w = nn_shape2(out, channels_of(b, b->temb));
    return nn_linear(b->g, b->temb, param(b, name, "weight", w, NN_INIT_XAVIER),
                     param(b, name, "bias", nn_shape1(out), NN_INIT_ONE));
}

/* norm2 with the time embedding: added before it, or scaling and shifting what it gives. */
static struct nn_val timed_norm(struct builder *b, struct nn_val h, const char *pre, int out)
{
    struct name n2 = name("%s.norm2", pre);
    if (!b->cfg->scale_shift)
        return norm(b, nn_add_nc(b->g, h, linear(b, b->temb, name("%s.temb_proj", pre).text, out)),
                    n2.text);
    h = nn_mul_nc(b->g, norm(b, h, n2.text), gain(b, name("%s.temb_scale", pre).text, out));
    return nn_add_nc(b->g, h, linear(b, b->temb, name("%s.temb_shift", pre).text, out));
}

enum resample { SAME, HALVE, DOUBLE };
static struct nn_val resample(struct builder *b, struct nn_val x, enum resample how)
{
    if (how == SAME)
        return x;
    return how == DOUBLE ? nn_upsample2(b->g, x)
                         : nn_avg_pool(b->g, x, (struct nn_pool){.kernel = 2, .stride = 2});
}

static struct nn_val res_block(struct builder *b, struct nn_val x, const char *pre, int out,
                               enum resample how)
{
    int in = channels_of(b, x);
    struct nn_conv same3 = nn_conv_same(3, 1), same1 = nn_conv_same(1, 1);
    struct nn_val h = resample(b, silu(b, norm(b, x, name("%s.norm1", pre).text)), how);
    h = conv(b, h, name("%s.conv1", pre).text, out, 3, same3, NN_INIT_XAVIER);
    h = silu(b, timed_norm(b, h, pre, out));
    if (b->training && b->cfg->dropout > 0)
        h = nn_dropout(b->g, h, b->cfg->dropout);
    h = conv(b, h, name("%s.conv2", pre).text, out, 3, same3, NN_INIT_ZERO);
    if (in != out)
        x = conv(b, x, name("%s.nin_shortcut", pre).text, out, 1, same1, NN_INIT_XAVIER);
    return nn_add(b->g, resample(b, x, how), h);
}

static int heads_of(const struct purify_unet *cfg, int channels)
{
    if (cfg->head_channels)
        return channels / cfg->head_channels;
    return cfg->heads ? cfg->heads : 1;
}

static struct nn_val attn_block(struct builder *b, struct nn_val x, const char *pre)
{
    int c = channels_of(b, x);
    struct nn_conv same = nn_conv_same(1, 1);
    struct nn_val h = norm(b, x, name("%s.norm", pre).text);
    struct nn_val q = conv(b, h, name("%s.q", pre).text, c, 1, same, NN_INIT_XAVIER);
    struct nn_val k = conv(b, h, name("%s.k", pre).text, c, 1, same, NN_INIT_XAVIER);
    struct nn_val v = conv(b, h, name("%s.v", pre).text, c, 1, same, NN_INIT_XAVIER);
    h = nn_attention(b->g, q, k, v, heads_of(b->cfg, c));
    h = conv(b, h, name("%s.proj_out", pre).text, c, 1, same, NN_INIT_ZERO);
    return nn_add(b->g, x, h);
}

/* One residual block of a level ("down" or "up") with its attention. */
static struct nn_val level_block(struct builder *b, struct nn_val x, const char *path, int level,
                                 int block)
{
    int out = b->cfg->ch * b->cfg->ch_mult[level];
    x = res_block(b, x, name("%s.%d.block.%d", path, level, block).text, out, SAME);
    return unet_has_attn(b->cfg, level)
               ? attn_block(b, x, name("%s.%d.attn.%d", path, level, block).text)
               : x;
}

struct skips {
    struct nn_val val[SKIPS_MAX + 1];
    int n;
};

static struct nn_val downsample(struct builder *b, struct nn_val x, int level)
{
    /* Ho et al.: one row and column of zeros at the far ends */
    struct nn_conv halve = {2, 0, 0, 1, 1, 1};
    int c = channels_of(b, x);
    if (b->cfg->res_resample)
        return res_block(b, x, name("down.%d.downsample", level).text, c, HALVE);
    if (b->cfg->even_padding)
        halve.pad_top = halve.pad_left = 1;
    return conv(b, x, name("down.%d.downsample.conv", level).text, c, 3, halve, NN_INIT_XAVIER);
}

static struct nn_val upsample(struct builder *b, struct nn_val x, int level)
{
    int c = channels_of(b, x);
    if (b->cfg->res_resample)
        return res_block(b, x, name("up.%d.upsample", level).text, c, DOUBLE);
    return conv(b, nn_upsample2(b->g, x), name("up.%d.upsample.conv", level).text, c, 3,
                nn_conv_same(3, 1), NN_INIT_XAVIER);
}

static struct nn_val down_path(struct builder *b, struct nn_val x, struct skips *skips)
{
    x = conv(b, x, "conv_in", b->cfg->ch, 3, nn_conv_same(3, 1), NN_INIT_XAVIER);
    skips->val[skips->n++] = x;
    for (int level = 0; level < b->cfg->levels; level++) {
        for (int block = 0; block < b->cfg->res_blocks; block++)
            skips->val[skips->n++] = x = level_block(b, x, "down", level, block);
        if (level + 1 < b->cfg->levels)
            skips->val[skips->n++] = x = downsample(b, x, level);
    }
    return x;
}

static struct nn_val up_path(struct builder *b, struct nn_val x, struct skips *skips)
{
    for (int level = b->cfg->levels - 1; level >= 0; level--) {
        for (int block = 0; block <= b->cfg->res_blocks; block++) {
            x = nn_concat(b->g, x, skips->val[--skips->n]);
            x = level_block(b, x, "up", level, block);
        }
        if (level > 0)
            x = upsample(b, x, level);
    }
    return x;
}

struct nn_val purify_unet_build(struct nn_graph *g, const struct purify_unet *cfg, struct nn_val x,
                                struct nn_val t, bool training)
{
    CHECK(purify_unet_check(cfg, NULL) == STATUS_OK);
    struct builder b = {.g = g, .cfg = cfg, .training = training};
    if (cfg->t_scale > 0)
        t = nn_affine(g, t, cfg->t_scale, 0);
    struct nn_val e = nn_timestep_embedding(g, t, cfg->ch, !cfg->plain_embedding);
    e = silu(&b, linear(&b, e, "temb.dense.0", 4 * cfg->ch));
    b.temb = silu(&b, linear(&b, e, "temb.dense.1", 4 * cfg->ch));

    struct skips skips = {.n = 0};
    struct nn_val h = down_path(&b, x, &skips);
    int c = channels_of(&b, h);
    h = res_block(&b, h, "mid.block_1", c, SAME);
    if (cfg->mid_attn)
        h = attn_block(&b, h, "mid.attn_1");
    h = res_block(&b, h, "mid.block_2", c, SAME);
    h = up_path(&b, h, &skips);
    h = silu(&b, norm(&b, h, "norm_out"));
    return conv(&b, h, "conv_out", cfg->in_channels, 3, nn_conv_same(3, 1), NN_INIT_ZERO);
}
