/*
 * The header of a WebP file: the chunks up to the image, its first bytes, and for an extended file
 * those behind it, where EXIF and XMP stand.
 */
#include "exif.h"
#include "webp_format.h"

#include <string.h>

/* Behind the image; an animation has one for each frame. */
enum { MAX_CHUNKS = 2000 };

enum { ANMF_BYTES = 16, VP8_FRAME_HEAD = 10, VP8L_HEAD = 5 };

struct chunk {
    uint64_t off; /* of its name */
    uint32_t len;
    char name[4];
};

struct webp_scan {
    struct header *h;
    struct webp_image image;
    uint64_t end; /* of the RIFF, or of the file where that is shorter */
    bool extended, found;
    uint8_t flags; /* of VP8X */
    uint8_t kept;  /* bit per kept kind */
};

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t le24(const uint8_t *p)
{
    return (uint32_t)p[2] << 16 | le16(p);
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | le24(p);
}

static bool is(const struct chunk *c, const char *name)
{
    return memcmp(c->name, name, 4) == 0;
}

static uint64_t behind(const struct chunk *c)
{
    return c->off + RIFF_CHUNK_HEAD + (uint64_t)c->len + (c->len & 1);
}

static status read_chunk(struct source *s, uint64_t off, struct chunk *out, struct errmsg *e)
{
    const uint8_t *p;
    status st = source_at(s, off, RIFF_CHUNK_HEAD, &p, e);
    if (st)
        return st;
    out->off = off;
    out->len = le32(p + 4);
    memcpy(out->name, p, 4);
    return STATUS_OK;
}

/* The sizes in the image's own data. */
static status scan_bitstream(struct source *s, const struct chunk *c, struct webp_scan *ws,
                             struct errmsg *e)
{
    const uint8_t *p;
    struct webp_image *i = &ws->image;
    bool lossless = is(c, "VP8L");
    size_t n = lossless ? VP8L_HEAD : VP8_FRAME_HEAD;
    if (c->len < n)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: the image data is cut short");
    status st = source_at(s, c->off + RIFF_CHUNK_HEAD, n, &p, e);
    if (st)
        return st;
    if (lossless ? p[0] != 0x2f || p[4] >> 5 : p[0] & 1 || memcmp(p + 3, "\x9d\x01\x2a", 3) != 0)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: a damaged image header");
    uint32_t sizes = lossless ? le32(p + 1) : 0;
    int width = lossless ? (int)(sizes & 0x3fff) + 1 : (int)(le16(p + 6) & 0x3fff);
    int height = lossless ? (int)(sizes >> 14 & 0x3fff) + 1 : (int)(le16(p + 8) & 0x3fff);
    if (ws->extended && !i->animated && (width != i->width || height != i->height))
        return errmsg_set(e, STATUS_CORRUPT, "WebP: the image is not of the size it is said to be");
    i->width = width;
    i->height = height;
    i->lossless = lossless;
    ws->found = true;
    ws->h->info.header_bytes = (size_t)(c->off + RIFF_CHUNK_HEAD + n);
    if (i->animated)
        return STATUS_OK;
    ws->h->info.width = width;
    ws->h->info.height = height;
    if (lossless) /* the image's own size counts, as in libwebp */
        ws->h->info.has_alpha = sizes >> 28 & 1;
    return STATUS_OK;
}

/* The image's chunks from off: an alpha plane may stand before a lossy image. */
static status scan_image(struct source *s, uint64_t off, struct webp_scan *ws, struct errmsg *e)
{
    struct chunk c;
    status st = read_chunk(s, off, &c, e);
    ws->image.off = off;
    if (!st && is(&c, "ALPH")) {
        if (!ws->image.animated)
            ws->h->info.has_alpha = true;
        st = read_chunk(s, behind(&c), &c, e);
        if (!st && is(&c, "VP8L"))
            return errmsg_set(e, STATUS_CORRUPT, "WebP: an alpha plane of a lossless image");
    }
    if (st)
        return st;
    if (!is(&c, "VP8 ") && !is(&c, "VP8L"))
        return errmsg_set(e, STATUS_CORRUPT, "WebP: no image where one should be");
    ws->image.end = behind(&c) - (c.len & 1);
    return scan_bitstream(s, &c, ws, e);
}

static status scan_frame(struct source *s, const struct chunk *c, struct webp_scan *ws,
                         struct errmsg *e)
{
    const uint8_t *p;
    struct webp_image *i = &ws->image;
    if (c->len < ANMF_BYTES)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: a damaged frame");
    status st = source_at(s, c->off + RIFF_CHUNK_HEAD, ANMF_BYTES, &p, e);
    if (st)
        return st;
    i->x = (int)(2 * le24(p));
    i->y = (int)(2 * le24(p + 3));
    /* as in libwebp, the image's own size is used, not that in the frame's header */
    st = scan_image(s, c->off + RIFF_CHUNK_HEAD + ANMF_BYTES, ws, e);
    if (st)
        return st;
    const struct image_info *canvas = &ws->h->info;
    if (i->x > canvas->width || i->width > canvas->width - i->x || i->y > canvas->height ||
        i->height > canvas->height - i->y)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: a frame reaches over the canvas");
    if (i->end > c->off + RIFF_CHUNK_HEAD + (uint64_t)c->len)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: an image reaches over its frame");
    return st;
}

/* Kept as WebPDemux finds it: the first of its kind, when VP8X announces it. */
static status scan_kept(struct source *s, const struct chunk *c, struct webp_scan *ws)
{
    uint8_t flag = is(c, "ICCP")   ? WEBP_ICC
                   : is(c, "EXIF") ? WEBP_EXIF
                   : is(c, "XMP ") ? WEBP_XMP
                                   : 0;
    if (!(ws->flags & flag) || ws->kept & flag || behind(c) > ws->end)
        return STATUS_OK;
    ws->kept |= flag;
    if (flag == WEBP_EXIF) {
        status st = exif_orientation(s, c->off + RIFF_CHUNK_HEAD, c->len, &ws->h->info.orientation);
        if (st)
            return st;
    }
    ws->h->info.header_bytes = (size_t)behind(c);
    header_add_piece(ws->h, c->off, (uint32_t)(behind(c) - c->off),
                     flag == WEBP_ICC ? PIECE_COLOR : PIECE_ORIENTATION);
    return STATUS_OK;
}

static status scan_extended(struct source *s, const struct chunk *c, struct webp_scan *ws,
                            struct errmsg *e)
{
    const uint8_t *p;
    if (c->len < WEBP_X_BYTES)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: a damaged header");
    status st = source_at(s, c->off + RIFF_CHUNK_HEAD, WEBP_X_BYTES, &p, e);
    if (st)
        return st;
    ws->extended = true;
    ws->flags = p[0];
    ws->image.animated = p[0] & WEBP_ANIMATION;
    struct image_info *i = &ws->h->info;
    i->has_alpha = p[0] & WEBP_ALPHA;
    ws->image.width = i->width = (int)le24(p + 4) + 1;
    ws->image.height = i->height = (int)le24(p + 7) + 1;
    return STATUS_OK;
}

static status scan_chunk(struct source *s, const struct chunk *c, struct webp_scan *ws,
                         struct errmsg *e)
{
    bool image = is(c, "ALPH") || is(c, "VP8 ") || is(c, "VP8L"), frame = is(c, "ANMF");
    if (ws->found || !(ws->image.animated ? frame : image))
        return scan_kept(s, c, ws);
    return frame ? scan_frame(s, c, ws, e) : scan_image(s, c->off, ws, e);
}

/* The chunks of an extended file. When one of them exceeds the file, only decoding finds out
   whether that matters. */
static status walk(struct source *s, uint64_t off, struct webp_scan *ws, struct errmsg *e)
{
    for (int n = 0; n < MAX_CHUNKS; n++) {
        struct chunk c;
        if (ws->found && (off > ws->end || ws->end - off < RIFF_CHUNK_HEAD))
            return STATUS_OK;
        status st = read_chunk(s, off, &c, e);
        if (!st)
            st = scan_chunk(s, &c, ws, e);
        if (st)
            return st;
        off = behind(&c);
    }
    return ws->found ? STATUS_OK
                     : errmsg_set(e, STATUS_LIMIT, "WebP: more than %d chunks before the image",
                                  MAX_CHUNKS);
}

static status scan(struct source *s, struct webp_scan *ws, struct errmsg *e)
{
    const uint8_t *p;
    struct chunk c;
    status st = source_at(s, 4, 4, &p, e);
    if (st)
        return st;
    ws->end = RIFF_CHUNK_HEAD + (uint64_t)le32(p);
    if (ws->end > s->size)
        ws->end = s->size;
    ws->h->info.source_bits = 8;
    ws->h->info.channels = 3;
    st = read_chunk(s, RIFF_HEAD, &c, e);
    if (st)
        return st;
    if (!is(&c, "VP8X"))
        return scan_chunk(s, &c, ws, e);
    st = scan_extended(s, &c, ws, e);
    return st ? st : walk(s, behind(&c), ws, e);
}

/*
 * A lossy image spends at least one binary decision on each macroblock of 16x16 pixels, and the
 * cheapest costs 1/177 of a bit. A lossless one of a single colour spends nothing on its pixels.
 */
static uint64_t least_bytes(const struct webp_image *i)
{
    uint64_t blocks = (((uint64_t)i->width + 15) / 16) * (((uint64_t)i->height + 15) / 16);
    return i->lossless ? 0 : blocks / (177 * 8);
}

status image_webp_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct webp_scan ws = {.h = out};
    status st = scan(s, &ws, e);
    if (st)
        return st;
    if (!ws.found)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: no image");
    out->least_bytes = least_bytes(&ws.image);
    return STATUS_OK;
}

status image_webp_find(struct source *s, struct webp_image *out, struct errmsg *e)
{
    struct header h = {.n_pieces = 0};
    struct webp_scan ws = {.h = &h};
    status st = scan(s, &ws, e);
    if (!st)
        *out = ws.image;
    return st;
}
