/*
 * The networks of Nichol & Dhariwal 2021 (improved-diffusion) and Dhariwal & Nichol 2021 (ADM,
 * guided-diffusion), without class labels. Blocks are numbered through: input_blocks has the first
 * convolution, then each level's blocks and what halves it; output_blocks each level's blocks, from
 * the coarsest, the last with what doubles it. Attention has one layer for q, k and v, a head's
 * three after one another (the older of the two orders, which the published networks have). The
 * variance that most of them learn is left out: the samplers' variances are fixed.
 */
#include "unet_import.h"

#include <string.h>

/* What doubles the image in output_blocks.B stands behind the block and its attention. */
static int upsample_index(const struct unet_source *s, int block)
{
    for (int i = 1; i <= 2; i++)
        if (import_find(&s->src, "output_blocks.%d.%d.conv.weight", block, i) ||
            import_find(&s->src, "output_blocks.%d.%d.in_layers.0.weight", block, i))
            return i;
    return 0;
}

static status find_levels(const struct unet_source *s, struct purify_unet *u, struct errmsg *e)
{
    struct {
        int channels;
        bool attends;
    } level[PURIFY_LEVELS_MAX] = {{0, false}};
    int n = 0, blocks = 0, c;
    for (int i = 0; (c = import_dim(&s->src, 0, "output_blocks.%d.0.out_layers.3.weight", i)) > 0;
         i++) {
        if (n == PURIFY_LEVELS_MAX)
            return errmsg_set(e, STATUS_UNSUPPORTED, "more than %d levels", PURIFY_LEVELS_MAX);
        level[n].channels = c;
        level[n].attends |= import_find(&s->src, "output_blocks.%d.1.qkv.weight", i) != NULL;
        blocks++;
        if (upsample_index(s, i)) {
            n++;
            u->res_blocks = blocks - 1;
            blocks = 0;
        }
    }
    if (n == PURIFY_LEVELS_MAX || blocks == 0)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "tensor \"%soutput_blocks.0.0.out_layers.3.weight\" and what follows it "
                          "make no network",
                          s->src.prefix);
    u->res_blocks = blocks - 1;
    status st = STATUS_OK;
    for (int i = n; !st && i >= 0; i--)
        st = unet_add_level(u, level[i].channels, level[i].attends, e);
    return st;
}

static status architecture(const struct unet_source *s, struct purify_unet *u, struct errmsg *e)
{
    u->ch = import_dim(&s->src, 0, "input_blocks.0.0.weight");
    u->in_channels = import_dim(&s->src, 1, "input_blocks.0.0.weight");
    u->mid_attn = import_find(&s->src, "middle_block.1.qkv.weight") != NULL;
    u->scale_shift = import_dim(&s->src, 0, "middle_block.0.emb_layers.1.weight") ==
                     2 * import_dim(&s->src, 0, "middle_block.0.out_layers.3.weight");
    u->even_padding = true;
    u->plain_embedding = true;
    u->norm_eps = 1e-5f;
    if (u->total != 1000) /* their "rescaled" timesteps: as if of 1000 */
        u->t_scale = 1000.0f / (float)u->total;
    status st = find_levels(s, u, e);
    if (st)
        return st;
    u->res_resample =
        import_find(&s->src, "input_blocks.%d.0.in_layers.0.weight", u->res_blocks + 1) &&
        u->levels > 1;
    if (!u->heads && !u->head_channels && (u->mid_attn || u->attn_count))
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "the file does not say how many heads attention has: say it with --heads "
                          "or --head-channels");
    return STATUS_OK;
}

static const char *layer_name(const char *ours)
{
    static const char *const pair[][2] = {
        {"norm1", "in_layers.0"},
        {"conv1", "in_layers.2"},
        {"temb_proj", "emb_layers.1"},
        {"temb_scale", "emb_layers.1"},
        {"temb_shift", "emb_layers.1"},
        {"norm2", "out_layers.0"},
        {"conv2", "out_layers.3"},
        {"nin_shortcut", "skip_connection"},
        {"q", "qkv"},
        {"k", "qkv"},
        {"v", "qkv"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pair); i++)
        if (strcmp(pair[i][0], ours) == 0)
            return pair[i][1];
    return ours; /* attention's norm and proj_out */
}

/* Which rows: several of our layers lie in one of theirs. */
static void choose_rows(const struct unet_source *s, const struct purify_unet *u,
                        const struct unet_place *at, struct unet_piece *out)
{
    unet_time_rows(s, at, out);
    if (at->unit == UNIT_ATTN && strchr("qkv", at->layer[0]) && !at->layer[1]) {
        int rows = import_dim(&s->src, 0, "%s", out->tensor);
        out->group = u->head_channels ? u->head_channels : rows / 3 / (u->heads ? u->heads : 1);
        out->stride = 3 * out->group;
        out->offset = (int)(strchr("qkv", at->layer[0]) - "qkv") * out->group;
    }
}

static void level_piece(const struct unet_source *s, const struct purify_unet *u,
                        const struct unet_place *at, struct unet_piece *out)
{
    bool down = at->part == PART_DOWN, block = at->unit == UNIT_BLOCK || at->unit == UNIT_ATTN;
    int n = u->res_blocks + 1, index = block ? at->index : u->res_blocks;
    int number = down ? 1 + at->level * n + index : (u->levels - 1 - at->level) * n + index;
    int sub = at->unit == UNIT_ATTN ? 1 : at->unit == UNIT_UPSAMPLE ? upsample_index(s, number) : 0;
    const char *layer = layer_name(at->layer);
    if (strcmp(at->layer, "conv") == 0)
        layer = down ? "op" : "conv";
    snprintf(out->tensor, sizeof out->tensor, "%s_blocks.%d.%d.%s.%s", down ? "input" : "output",
             number, sub, layer, at->leaf);
    choose_rows(s, u, at, out);
}

static void piece(const struct unet_source *s, const struct purify_unet *u,
                  const struct unet_place *at, struct unet_piece *out)
{
    size_t n = sizeof out->tensor;
    switch (at->part) {
    case PART_TEMB:
        snprintf(out->tensor, n, "time_embed.%d.%s", 2 * at->index, at->leaf);
        out->swap_halves = at->index == 0 && strcmp(at->leaf, "weight") == 0; /* cos, sin */
        return;
    case PART_IN:
        snprintf(out->tensor, n, "input_blocks.0.0.%s", at->leaf);
        return;
    case PART_MID:
        snprintf(out->tensor, n, "middle_block.%d.%s.%s", at->unit == UNIT_ATTN ? 1 : 2 * at->index,
                 layer_name(at->layer), at->leaf);
        choose_rows(s, u, at, out);
        return;
    case PART_DOWN:
    case PART_UP:
        level_piece(s, u, at, out);
        return;
    case PART_NORM:
        snprintf(out->tensor, n, "out.0.%s", at->leaf);
        return;
    case PART_OUT:
        snprintf(out->tensor, n, "out.2.%s", at->leaf);
        unet_noise_rows(s, u, out);
        return;
    }
}

const struct unet_family unet_adm = {"guided-diffusion", "time_embed.0.weight", architecture,
                                     piece};
