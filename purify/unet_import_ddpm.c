/* The networks of Ho et al. 2020 as ported to PyTorch: their tensors have the names of ours. */
#include "unet_import.h"

static status architecture(const struct unet_source *s, struct purify_unet *u, struct errmsg *e)
{
    int c;
    u->ch = import_dim(&s->src, 0, "conv_in.weight");
    u->in_channels = import_dim(&s->src, 1, "conv_in.weight");
    u->mid_attn = import_find(&s->src, "mid.attn_1.q.weight") != NULL;
    if (import_dim(&s->src, 0, "conv_out.weight") > u->in_channels)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "tensor \"%sconv_out.weight\" has more channels than an image",
                          s->src.prefix);
    while (import_find(&s->src, "down.0.block.%d.conv1.weight", u->res_blocks))
        u->res_blocks++;
    while ((c = import_dim(&s->src, 0, "down.%d.block.0.conv1.weight", u->levels)) > 0) {
        bool attends = import_find(&s->src, "down.%d.attn.0.q.weight", u->levels) != NULL;
        status st = unet_add_level(u, c, attends, e);
        if (st)
            return st;
    }
    return STATUS_OK;
}

static void piece(const struct unet_source *s, const struct purify_unet *u,
                  const struct unet_place *at, struct unet_piece *out)
{
    (void)s;
    (void)u;
    snprintf(out->tensor, sizeof out->tensor, "%s", at->name);
}

const struct unet_family unet_ddpm = {"DDPM in PyTorch", "temb.dense.0.weight", architecture,
                                      piece};
