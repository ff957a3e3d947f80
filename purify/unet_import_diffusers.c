/*
 * UNet2DModel of diffusers, with the config.json that its folder holds: of the tensors' names alone
 * neither the embedding's form nor the padding could be told.
 */
#include "unet_import.h"

#include <string.h>

/* ---- the configuration ---- */

static double number(const json_t *config, const char *key, double otherwise)
{
    const json_t *v = json_object_get(config, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

static bool truth(const json_t *config, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(config, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

/* Absent, null, or one of two texts. */
static bool is_text(const json_t *config, const char *key, const char *one, const char *other)
{
    const json_t *v = json_object_get(config, key);
    const char *text = json_string_value(v);
    return !v || json_is_null(v) || (text && (!strcmp(text, one) || !strcmp(text, other)));
}

/* -1: purify_unet_check refuses it. */
static int in_range(double v)
{
    return v >= 0 && v <= 1 << 20 ? (int)v : -1;
}

static int whole(const json_t *config, const char *key, int otherwise)
{
    return in_range(number(config, key, otherwise));
}

static status refuse(const char *key, const char *why, struct errmsg *e)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "config.json: \"%s\" %s", key, why);
}

static status check_supported(const json_t *c, struct errmsg *e)
{
    if (!is_text(c, "_class_name", "UNet2DModel", "UNetUnconditionalModel"))
        return refuse("_class_name", "is not UNet2DModel", e);
    if (!is_text(c, "act_fn", "silu", "swish"))
        return refuse("act_fn", "is not silu", e);
    if (!is_text(c, "time_embedding_type", "positional", "positional"))
        return refuse("time_embedding_type", "is not positional", e);
    if (!is_text(c, "resnet_time_scale_shift", "default", "scale_shift"))
        return refuse("resnet_time_scale_shift", "is neither default nor scale_shift", e);
    if (truth(c, "center_input_sample", false))
        return refuse("center_input_sample", "is true", e);
    if (number(c, "mid_block_scale_factor", 1) != 1)
        return refuse("mid_block_scale_factor", "is not 1", e);
    double shift = number(c, "freq_shift", 0), padding = number(c, "downsample_padding", 1);
    if (shift != 0 && shift != 1)
        return refuse("freq_shift", "is neither 0 nor 1", e);
    if (padding != 0 && padding != 1)
        return refuse("downsample_padding", "is neither 0 nor 1", e);
    double groups = number(c, "norm_num_groups", 32);
    if (number(c, "attn_norm_num_groups", groups) != groups)
        return refuse("attn_norm_num_groups", "is not norm_num_groups", e);
    return STATUS_OK;
}

static status check_blocks(const json_t *c, const char *key, struct errmsg *e)
{
    static const char *const known[] = {"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D",
                                        "UpBlock2D",   "AttnUpBlock2D",   "ResnetUpsampleBlock2D"};
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(c, key), i, item)
    {
        bool good = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            good |= json_is_string(item) && strcmp(json_string_value(item), known[k]) == 0;
        if (!good)
            return refuse(key, "has a block that is not known", e);
    }
    return STATUS_OK;
}

static status read_schedule(const json_t *c, struct purify_unet *u, struct errmsg *e)
{
    if (!c)
        return STATUS_OK;
    double first = number(c, "beta_start", 1e-4), last = number(c, "beta_end", 0.02);
    bool cosine = !is_text(c, "beta_schedule", "linear", "linear");
    if (cosine && !is_text(c, "beta_schedule", "squaredcos_cap_v2", "squaredcos_cap_v2"))
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "scheduler_config.json: \"beta_schedule\" is neither linear nor "
                          "squaredcos_cap_v2");
    if (!cosine && (first != 1e-4 || last != 0.02))
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "scheduler_config.json: beta goes from %g to %g, not from 0.0001 to 0.02",
                          first, last);
    if (!is_text(c, "prediction_type", "epsilon", "epsilon"))
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "scheduler_config.json: the network does not predict noise "
                          "(\"prediction_type\")");
    u->beta = cosine ? PURIFY_BETA_COSINE : PURIFY_BETA_LINEAR;
    u->total = whole(c, "num_train_timesteps", 1000);
    return STATUS_OK;
}

/* ---- the architecture ---- */

static status read_levels(const struct unet_source *s, struct purify_unet *u, struct errmsg *e)
{
    const json_t *widths = json_object_get(s->config, "block_out_channels"), *width;
    size_t i;
    json_array_foreach(widths, i, width)
    {
        bool attends =
            import_find(&s->src, "down_blocks.%zu.attentions.0.group_norm.weight", i) != NULL;
        int channels = in_range(json_number_value(width));
        if (i == 0)
            u->ch = channels;
        status st = unet_add_level(u, channels, attends, e);
        if (st)
            return st;
    }
    u->mid_attn = import_find(&s->src, "mid_block.attentions.0.group_norm.weight") != NULL;
    u->res_resample = import_find(&s->src, "down_blocks.0.downsamplers.0.conv1.weight") != NULL;
    u->scale_shift = import_dim(&s->src, 0, "mid_block.resnets.0.time_emb_proj.weight") ==
                     2 * import_dim(&s->src, 0, "mid_block.resnets.0.conv2.weight");
    return i ? STATUS_OK : refuse("block_out_channels", "is no list of channels", e);
}

static status architecture(const struct unet_source *s, struct purify_unet *u, struct errmsg *e)
{
    const json_t *c = s->config;
    if (!c)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "a network of diffusers needs its config.json: name the folder that "
                          "holds both");
    status st = check_supported(c, e);
    if (!st)
        st = check_blocks(c, "down_block_types", e);
    if (!st)
        st = check_blocks(c, "up_block_types", e);
    if (!st)
        st = read_schedule(s->scheduler, u, e);
    if (st)
        return st;
    u->in_channels = whole(c, "in_channels", 3);
    u->size = s->how->size ? s->how->size : whole(c, "sample_size", 32);
    u->groups = s->how->groups ? s->how->groups : whole(c, "norm_num_groups", 32);
    u->res_blocks = whole(c, "layers_per_block", 2);
    if (!u->heads && !u->head_channels)
        u->head_channels =
            whole(c, "attention_head_dim", json_object_get(c, "attention_head_dim") ? 0 : 8);
    u->plain_embedding = number(c, "freq_shift", 0) == 0;
    u->even_padding = number(c, "downsample_padding", 1) == 1;
    u->norm_eps = (float)number(c, "norm_eps", 1e-5);
    return read_levels(s, u, e);
}

/* ---- the tensors ---- */

/* The name that the file uses: attention's layers were renamed once. */
static const char *layer_name(const struct unet_source *s, const char *unit,
                              const struct unet_place *at)
{
    static const char *const pair[][3] = {
        {"temb_proj", "time_emb_proj", NULL},
        {"temb_scale", "time_emb_proj", NULL},
        {"temb_shift", "time_emb_proj", NULL},
        {"nin_shortcut", "conv_shortcut", NULL},
        {"norm", "group_norm", NULL},
        {"q", "to_q", "query"},
        {"k", "to_k", "key"},
        {"v", "to_v", "value"},
        {"proj_out", "to_out.0", "proj_attn"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pair); i++)
        if (strcmp(pair[i][0], at->layer) == 0)
            return pair[i][2] && import_find(&s->src, "%s.%s.%s", unit, pair[i][2], at->leaf)
                       ? pair[i][2]
                       : pair[i][1];
    return at->layer;
}

static void unit_name(const struct purify_unet *u, const struct unet_place *at, char *out, size_t n)
{
    static const char *const units[] = {[UNIT_BLOCK] = "resnets",
                                        [UNIT_ATTN] = "attentions",
                                        [UNIT_DOWNSAMPLE] = "downsamplers",
                                        [UNIT_UPSAMPLE] = "upsamplers"};
    bool down = at->part == PART_DOWN;
    if (at->part == PART_MID)
        snprintf(out, n, "mid_block.%s.%d", units[at->unit], at->index);
    else
        snprintf(out, n, "%s_blocks.%d.%s.%d", down ? "down" : "up",
                 down ? at->level : u->levels - 1 - at->level, units[at->unit], at->index);
}

static void piece(const struct unet_source *s, const struct purify_unet *u,
                  const struct unet_place *at, struct unet_piece *out)
{
    size_t n = sizeof out->tensor;
    char unit[64];
    switch (at->part) {
    case PART_TEMB:
        snprintf(out->tensor, n, "time_embedding.linear_%d.%s", at->index + 1, at->leaf);
        out->swap_halves = at->index == 0 && strcmp(at->leaf, "weight") == 0 &&
                           truth(s->config, "flip_sin_to_cos", true);
        return;
    case PART_IN:
        snprintf(out->tensor, n, "conv_in.%s", at->leaf);
        return;
    case PART_NORM:
        snprintf(out->tensor, n, "conv_norm_out.%s", at->leaf);
        return;
    case PART_OUT:
        snprintf(out->tensor, n, "conv_out.%s", at->leaf);
        unet_noise_rows(s, u, out);
        return;
    case PART_DOWN:
    case PART_MID:
    case PART_UP:
        unit_name(u, at, unit, sizeof unit);
        snprintf(out->tensor, n, "%s.%s.%s", unit, layer_name(s, unit, at), at->leaf);
        unet_time_rows(s, at, out);
        return;
    }
}

const struct unet_family unet_diffusers = {"diffusers", "time_embedding.linear_1.weight",
                                           architecture, piece};
