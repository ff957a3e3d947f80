/*
 * Published DDPM UNets (Ho et al. 2020, as ported to PyTorch). Their tensors are called as ours are
 * (purify.h), so that reading is a matter of finding the architecture:
 *
 *     conv_in.weight (ch, channels, 3, 3)
 *     down.L.block.B.conv1.weight (ch * ch_mult[L], ...), down.L.attn.0.q.weight where there is
 *     attention, mid.attn_1.q.weight
 */
#include "meta.h"
#include "model.h"

#include <stdarg.h>
#include <string.h>

#define FIRST "conv_in.weight"

enum { RES_BLOCKS_LOOK = 64, PREFIX_MAX = 128 };

struct source {
    const struct nn_file *file;
    char prefix[PREFIX_MAX];
};

/* The tensor prefix + name; NULL: there is none, or no room for its name. */
__attribute__((format(printf, 2, 3))) static const struct nn_file_tensor *
find(const struct source *s, const char *fmt, ...)
{
    char name[2 * PREFIX_MAX];
    size_t n = strlen(s->prefix);
    va_list ap;
    memcpy(name, s->prefix, n);
    va_start(ap, fmt);
    vsnprintf(name + n, sizeof name - n, fmt, ap);
    va_end(ap);
    return nn_file_find(s->file, name);
}

/* What stands before the only conv_in.weight. */
static status find_prefix(struct source *s, struct errmsg *e)
{
    const char *found = NULL;
    for (int i = 0; i < nn_file_count(s->file); i++) {
        const char *name = nn_file_at(s->file, i)->name;
        size_t n = strlen(name), end = strlen(FIRST);
        if (n < end || strcmp(name + n - end, FIRST) != 0 ||
            (n > end && name[n - end - 1] != '.') || n - end >= PREFIX_MAX)
            continue;
        if (found)
            return errmsg_set(
                e, STATUS_INVALID,
                "there are several networks, with \"%.100s\" and \"%.100s\": say which "
                "with --prefix",
                found, name);
        found = name;
        memcpy(s->prefix, name, n - end);
        s->prefix[n - end] = 0;
    }
    return found
               ? STATUS_OK
               : errmsg_set(e, STATUS_UNSUPPORTED,
                            "no tensor is called \"" FIRST "\": this is no DDPM network as ported "
                            "to PyTorch");
}

static status no_place(struct errmsg *e, const char *name, const char *why)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "tensor \"%.200s\" %s", name, why);
}

/* Channels of a level; 0: there is no such level. */
static int level_channels(const struct source *s, int level)
{
    const struct nn_file_tensor *t = find(s, "down.%d.block.0.conv1.weight", level);
    return t && t->shape.rank == 4 ? t->shape.dim[0] : 0;
}

static status find_levels(const struct source *s, struct purify_unet *u, struct errmsg *e)
{
    int c;
    for (; (c = level_channels(s, u->levels)) > 0; u->levels++) {
        if (u->levels == PURIFY_LEVELS_MAX || c % u->ch)
            return errmsg_set(e, STATUS_UNSUPPORTED, "level %d: %d channels, and %d in conv_in",
                              u->levels, c, u->ch);
        u->ch_mult[u->levels] = c / u->ch;
        if (find(s, "down.%d.attn.0.q.weight", u->levels))
            u->attn[u->attn_count++] = u->size >> u->levels;
    }
    while (u->res_blocks < RES_BLOCKS_LOOK &&
           find(s, "down.0.block.%d.conv1.weight", u->res_blocks))
        u->res_blocks++;
    return STATUS_OK;
}

static status find_architecture(const struct source *s, const struct purify_import *how,
                                struct purify_unet *out, struct errmsg *e)
{
    const struct nn_file_tensor *first = find(s, FIRST), *last = find(s, "conv_out.weight");
    struct purify_unet u = {.size = how->size,
                            .groups = how->groups,
                            .mid_attn = find(s, "mid.attn_1.q.weight") != NULL,
                            .total = 1000,
                            .beta = PURIFY_BETA_LINEAR,
                            .t_max = 1000};
    if (!first || first->shape.rank != 4 || first->shape.dim[0] < 1)
        return errmsg_set(e, STATUS_UNSUPPORTED, "\"%s" FIRST "\" is missing or no convolution",
                          s->prefix);
    u.ch = first->shape.dim[0];
    u.in_channels = first->shape.dim[1];
    if (last && last->shape.rank == 4 && last->shape.dim[0] != u.in_channels)
        return no_place(e, last->name, "learns its variance: such networks are not read");
    status st = find_levels(s, &u, e);
    if (!st)
        st = purify_unet_check(&u, e);
    if (!st)
        *out = u;
    return st;
}

/* Every tensor under the prefix has a place. */
static status check_all_used(const struct source *s, struct nn_params *p, struct errmsg *e)
{
    size_t n = strlen(s->prefix);
    for (int i = 0; i < nn_file_count(s->file); i++) {
        const char *name = nn_file_at(s->file, i)->name;
        if (strncmp(name, s->prefix, n) == 0 && !nn_params_find(p, name + n))
            return no_place(e, name, "has no place in the architecture that the others make");
    }
    return STATUS_OK;
}

static status save(const struct source *s, const struct nn_params *p, const struct purify_unet *u,
                   const char *path, struct errmsg *e)
{
    struct purify_meta meta;
    struct digest digest;
    char hex[DIGEST_HEX_LEN + 1];
    status st = nn_file_digest(s->file, &digest);
    if (st)
        return st;
    digest_hex(&digest, hex);
    purify_unet_to_meta(u, &meta);
    meta.pair[meta.n++] = (struct nn_meta){"imported_sha256", hex};
    if (s->prefix[0])
        meta.pair[meta.n++] = (struct nn_meta){"imported_prefix", s->prefix};
    return nn_params_save(p, path, meta.pair, meta.n, false, e);
}

status purify_unet_import(const struct nn_file *f, const struct purify_import *how,
                          const char *out_path, struct purify_unet *out, struct errmsg *e)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    struct source s = {.file = f};
    struct purify_unet u = {0};
    if (how->prefix && strlen(how->prefix) >= PREFIX_MAX)
        return errmsg_set(e, STATUS_INVALID, "the prefix is longer than %d", PREFIX_MAX - 1);
    if (how->prefix)
        memcpy(s.prefix, how->prefix, strlen(how->prefix) + 1);
    status st = how->prefix ? STATUS_OK : find_prefix(&s, e);
    if (!st)
        st = find_architecture(&s, how, &u, e);
    if (!st)
        st = nn_params_new(&p);
    if (!st)
        st = unet_declare(p, &u, e);
    if (!st)
        st = check_all_used(&s, p, e);
    if (!st && (st = nn_params_load(p, f, s.prefix, e)) == STATUS_INVALID)
        st = STATUS_UNSUPPORTED; /* the file's fault, not the caller's */
    if (!st)
        st = save(&s, p, &u, out_path, e);
    if (!st)
        *out = u;
    return st;
}
