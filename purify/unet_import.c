/*
 * Published DDPM UNets (Ho et al. 2020, as ported to PyTorch). Their tensors are called as ours are
 * (purify.h), so that reading is a matter of finding the architecture:
 *
 *     conv_in.weight (ch, channels, 3, 3)
 *     down.L.block.B.conv1.weight (ch * ch_mult[L], ...), down.L.attn.0.q.weight where there is
 *     attention, mid.attn_1.q.weight
 */
#include "import.h"
#include "model.h"

#define FIRST "conv_in.weight"

enum { RES_BLOCKS_LOOK = 64 };

/* Channels of a level; 0: there is no such level. */
static int level_channels(const struct import_source *s, int level)
{
    const struct nn_file_tensor *t = import_find(s, "down.%d.block.0.conv1.weight", level);
    return t && t->shape.rank == 4 ? t->shape.dim[0] : 0;
}

static status find_levels(const struct import_source *s, struct purify_unet *u, struct errmsg *e)
{
    int c;
    for (; (c = level_channels(s, u->levels)) > 0; u->levels++) {
        if (u->levels == PURIFY_LEVELS_MAX || c % u->ch)
            return errmsg_set(e, STATUS_UNSUPPORTED, "level %d: %d channels, and %d in conv_in",
                              u->levels, c, u->ch);
        u->ch_mult[u->levels] = c / u->ch;
        if (import_find(s, "down.%d.attn.0.q.weight", u->levels))
            u->attn[u->attn_count++] = u->size >> u->levels;
    }
    while (u->res_blocks < RES_BLOCKS_LOOK &&
           import_find(s, "down.0.block.%d.conv1.weight", u->res_blocks))
        u->res_blocks++;
    return STATUS_OK;
}

static status find_architecture(const struct import_source *s, const struct purify_import *how,
                                struct purify_unet *out, struct errmsg *e)
{
    const struct nn_file_tensor *first = import_find(s, FIRST),
                                *last = import_find(s, "conv_out.weight");
    struct purify_unet u = {.size = how->size,
                            .groups = how->groups,
                            .mid_attn = import_find(s, "mid.attn_1.q.weight") != NULL,
                            .total = 1000,
                            .beta = PURIFY_BETA_LINEAR,
                            .t_max = 1000};
    if (!first || first->shape.rank != 4 || first->shape.dim[0] < 1)
        return errmsg_set(e, STATUS_UNSUPPORTED, "\"%s" FIRST "\" is missing or no convolution",
                          s->prefix);
    u.ch = first->shape.dim[0];
    u.in_channels = first->shape.dim[1];
    if (last && last->shape.rank == 4 && last->shape.dim[0] != u.in_channels)
        return import_no_place(e, last->name, "learns its variance: such networks are not read");
    status st = find_levels(s, &u, e);
    if (!st)
        st = purify_unet_check(&u, e);
    if (!st)
        *out = u;
    return st;
}

status purify_unet_import(const struct nn_file *f, const struct purify_import *how,
                          const char *out_path, struct purify_unet *out, struct errmsg *e)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    struct import_source s;
    struct purify_unet u = {0};
    struct purify_meta meta;
    status st = import_open(f, how->prefix, FIRST, "DDPM network as ported to PyTorch", &s, e);
    if (!st)
        st = find_architecture(&s, how, &u, e);
    if (!st)
        st = nn_params_new(&p);
    if (!st)
        st = unet_declare(p, &u, e);
    if (!st)
        st = import_load(&s, NULL, p, e);
    if (st)
        return st;
    purify_unet_to_meta(&u, &meta);
    st = import_save(&s, p, &meta, out_path, e);
    if (!st)
        *out = u;
    return st;
}
