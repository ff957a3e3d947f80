/*
 * The header of a GIF file, to the first frame's image data:
 *
 *     "GIF87a" or "GIF89a", screen width (2), height (2), flags, background, aspect
 *     palette, when the flags say so
 *     extensions: '!', kind, blocks of length (1) and bytes, a zero; F9 tells the transparent index
 *     ',', left (2), top (2), width (2), height (2), flags; palette; code size (1); blocks
 *
 * Where readers differ, what PIL shows counts: a screen grows to hold a frame that reaches over it.
 */
#include "gif_format.h"

/* Sub-blocks of extensions before the first frame: 16 MiB of comments at the most. */
enum { MAX_BLOCKS = 1 << 16 };

struct gif_scan {
    struct source *s;
    struct gif_layout *l;
    uint64_t at;
    unsigned blocks; /* seen */
};

static int le16(const uint8_t *p)
{
    return p[1] << 8 | p[0];
}

/* The palette that flags announce at gs->at. */
static status scan_palette(struct gif_scan *gs, uint8_t flags, struct errmsg *e)
{
    const uint8_t *p;
    struct gif_layout *l = gs->l;
    if (!(flags & 0x80))
        return STATUS_OK;
    int n = 2 << (flags & 7);
    status st = source_at(gs->s, gs->at, 3 * (size_t)n, &p, e);
    if (st)
        return st;
    l->palette_off = gs->at;
    l->colors = n;
    l->grey_palette = true;
    for (int i = 0; i < n; i++, p += 3)
        if (p[0] != i || p[1] != i || p[2] != i)
            l->grey_palette = false;
    gs->at += 3 * (uint64_t)n;
    return STATUS_OK;
}

/* gs->at: behind the '!'. */
static status scan_extension(struct gif_scan *gs, struct errmsg *e)
{
    const uint8_t *p;
    status st = source_at(gs->s, gs->at, 2, &p, e);
    if (st)
        return st;
    bool control = p[0] == 0xf9;
    gs->at++;
    for (bool first = true;; first = false) {
        st = source_at(gs->s, gs->at, 1, &p, e);
        if (st)
            return st;
        unsigned n = p[0];
        if (control && first && n >= 4) {
            st = source_at(gs->s, gs->at + 1, 4, &p, e);
            if (st)
                return st;
            if (p[0] & 1)
                gs->l->transparent = p[3];
        }
        gs->at += 1 + (uint64_t)n;
        if (!n)
            return STATUS_OK;
        if (++gs->blocks > MAX_BLOCKS)
            return errmsg_set(e, STATUS_LIMIT, "GIF: too many extensions before the image");
    }
}

/* gs->at: of the ','. */
static status scan_frame(struct gif_scan *gs, struct image_info *i, struct errmsg *e)
{
    const uint8_t *p;
    struct gif_layout *l = gs->l;
    status st = source_at(gs->s, gs->at, GIF_FRAME_HEAD, &p, e);
    if (st)
        return st;
    uint8_t flags = p[9];
    l->frame_off = gs->at;
    l->left = le16(p + 1);
    l->top = le16(p + 3);
    l->width = le16(p + 5);
    l->height = le16(p + 7);
    l->interlaced = flags & 0x40;
    if (l->left + l->width > i->width)
        i->width = l->left + l->width;
    if (l->top + l->height > i->height)
        i->height = l->top + l->height;
    gs->at += GIF_FRAME_HEAD;
    st = scan_palette(gs, flags, e);
    if (!st)
        st = source_at(gs->s, gs->at, 1, &p, e); /* the code size */
    if (!st && (l->width == 0 || l->height == 0))
        return errmsg_set(e, STATUS_CORRUPT, "GIF: an empty frame");
    i->header_bytes = (size_t)gs->at + 1;
    return st;
}

status image_gif_layout(struct source *s, struct gif_layout *l, struct image_info *i,
                        struct errmsg *e)
{
    const uint8_t *p;
    struct gif_scan gs = {.s = s, .l = l, .at = GIF_HEAD};
    *l = (struct gif_layout){.transparent = -1};
    status st = source_at(s, 0, GIF_HEAD, &p, e);
    if (st)
        return st;
    i->width = le16(p + 6);
    i->height = le16(p + 8);
    st = scan_palette(&gs, p[10], e);
    while (!st) {
        st = source_at(s, gs.at, 1, &p, e);
        if (st)
            return st;
        if (*p == ',')
            return scan_frame(&gs, i, e);
        if (*p == ';')
            return errmsg_set(e, STATUS_CORRUPT, "GIF: no image");
        gs.at++;
        if (*p == '!')
            st = scan_extension(&gs, e);
        else if (++gs.blocks > MAX_BLOCKS) /* stray bytes are skipped */
            return errmsg_set(e, STATUS_LIMIT, "GIF: too many stray bytes before the image");
    }
    return st;
}

/* A code has at least 2 bits; those of the longest runs have 12, and give at most 4096 pixels. So
   4096 pixels need at least 1.5 bytes. */
static uint64_t least_bytes(const struct gif_layout *l)
{
    return (uint64_t)l->width * (uint64_t)l->height / 4096 * 3 / 2;
}

status image_gif_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct gif_layout l;
    status st = image_gif_layout(s, &l, &out->info, e);
    if (st)
        return st;
    out->info.source_bits = 8;
    out->info.channels = l.palette_off && !l.grey_palette ? 3 : 1;
    out->info.has_alpha = l.transparent >= 0;
    out->least_bytes = least_bytes(&l);
    return STATUS_OK;
}
