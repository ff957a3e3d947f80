/*
 * The header of a BMP file:
 *
 *     "BM", file size (4), 0 (4), offset of the rows (4)
 *     header size (4): 12 (OS/2: width, height, planes, bits of 2 bytes each), or 40 to 124
 *     width (4), height (4, negative: rows from the top down), planes (2), bits (2), compression
 * (4), bytes of the rows (4), resolution (8), colours (4), important colours (4) masks of red,
 * green, blue (4 each), in headers of 56 and more of alpha, too palette: blue, green, red, and but
 * for OS/2 a zero byte
 */
#include "bmp_format.h"

#include <string.h>

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p + 2) << 16 | le16(p);
}

static status refuse(struct errmsg *e, const char *what, uint32_t value)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "BMP: %s %u is not read", what, value);
}

/* A mask of one run of bits. */
static bool mask_channel(uint32_t mask, struct bmp_channel *out)
{
    *out = (struct bmp_channel){0, 0};
    if (!mask)
        return true;
    out->shift = (uint8_t)__builtin_ctz(mask);
    uint32_t run = mask >> out->shift;
    out->width = (uint8_t)__builtin_popcount(run);
    return (run & (run + 1)) == 0 && out->width <= 8;
}

static status scan_masks(struct source *s, uint32_t head_bytes, struct bmp_layout *l,
                         struct errmsg *e)
{
    const uint8_t *p;
    uint32_t n = head_bytes >= 56 ? 4 : 3;
    status st = source_at(s, BMP_FILE_HEAD + BMP_INFO_BYTES, 4 * n, &p, e);
    if (st)
        return st;
    uint32_t all = 0, seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t mask = le32(p + 4 * i);
        if (!mask_channel(mask, &l->channel[i]) || mask & all || (l->bits < 32 && mask >> l->bits))
            return errmsg_set(e, STATUS_UNSUPPORTED, "BMP: masks that make no sense");
        all |= mask;
        seen += i < 3 && mask;
    }
    if (!all && l->bits == 32) { /* as PIL: blue, green, red, alpha */
        static const struct bmp_channel bgra[4] = {{16, 8}, {8, 8}, {0, 8}, {24, 8}};
        memcpy(l->channel, bgra, sizeof bgra);
    } else if (seen != 3) {
        return errmsg_set(e, STATUS_UNSUPPORTED, "BMP: a channel without a mask");
    }
    if (head_bytes == BMP_INFO_BYTES)
        l->palette_off += 12;
    return STATUS_OK;
}

/* The channels of pixels without masks. The fourth byte of 32 is not alpha. */
static void usual_channels(struct bmp_layout *l)
{
    static const struct bmp_channel x555[4] = {{10, 5}, {5, 5}, {0, 5}, {0, 0}};
    static const struct bmp_channel x888[4] = {{16, 8}, {8, 8}, {0, 8}, {0, 0}};
    memcpy(l->channel, l->bits == 16 ? x555 : x888, sizeof l->channel);
}

static status scan_palette(struct source *s, struct bmp_layout *l, struct errmsg *e)
{
    const uint8_t *p;
    if (l->colors == 0)
        l->colors = 1u << l->bits;
    if (l->colors > 256)
        return refuse(e, "a palette of colours:", l->colors);
    l->off = l->palette_off + l->colors * (uint32_t)l->entry_bytes; /* unless the file says */
    status st = source_at(s, l->palette_off, l->colors * (uint32_t)l->entry_bytes, &p, e);
    if (st)
        return st;
    l->grey_palette = l->bits == 8 && l->colors != 2;
    for (uint32_t i = 0; i < l->colors; i++, p += l->entry_bytes)
        if (p[0] != i || p[1] != i || p[2] != i)
            l->grey_palette = false;
    return STATUS_OK;
}

static status scan_os2(const uint8_t *p, struct bmp_layout *l, struct image_info *i)
{
    i->width = (int)le16(p + 4);
    i->height = (int)le16(p + 6);
    l->bits = (int)le16(p + 10);
    l->entry_bytes = 3;
    return STATUS_OK;
}

static status scan_windows(const uint8_t *p, struct bmp_layout *l, struct image_info *i,
                           struct errmsg *e)
{
    uint32_t width = le32(p + 4), height = le32(p + 8);
    l->top_down = height >> 31;
    if (l->top_down)
        height = 0u - height;
    if (width > INT32_MAX || height > INT32_MAX)
        return errmsg_set(e, STATUS_CORRUPT, "BMP: an impossible size");
    i->width = (int)width;
    i->height = (int)height;
    l->bits = (int)le16(p + 14);
    l->compression = (enum bmp_compression)le32(p + 16);
    l->colors = le32(p + 32);
    l->entry_bytes = 4;
    if (le32(p + 16) > BMP_MASKS)
        return refuse(e, "compression", le32(p + 16));
    return STATUS_OK;
}

static status check_bits(const struct bmp_layout *l, struct errmsg *e)
{
    static const uint64_t legal[] = {
        [BMP_RAW] = 1ull << 1 | 1ull << 4 | 1ull << 8 | 1ull << 16 | 1ull << 24 | 1ull << 32,
        [BMP_RLE8] = 1ull << 8,
        [BMP_RLE4] = 1ull << 4,
        [BMP_MASKS] = 1ull << 16 | 1ull << 24 | 1ull << 32,
    };
    if (l->bits > 32 || !(legal[l->compression] >> l->bits & 1))
        return refuse(e, "a pixel of bits:", (uint32_t)l->bits);
    return STATUS_OK;
}

static status scan_pixels(struct source *s, uint32_t head_bytes, struct bmp_layout *l,
                          struct errmsg *e)
{
    usual_channels(l);
    if (l->compression == BMP_MASKS) {
        status st = scan_masks(s, head_bytes, l, e);
        if (st)
            return st;
    }
    if (l->bits > 8) {
        l->colors = 0; /* a hint to displays of few colours */
        l->off = l->palette_off;
        return STATUS_OK;
    }
    return scan_palette(s, l, e);
}

status image_bmp_layout(struct source *s, struct bmp_layout *l, struct image_info *i,
                        struct errmsg *e)
{
    const uint8_t *p;
    *l = (struct bmp_layout){.compression = BMP_RAW};
    status st = source_at(s, 0, BMP_FILE_HEAD + 4, &p, e);
    if (st)
        return st;
    uint32_t off = le32(p + 10), head_bytes = le32(p + 14);
    bool os2 = head_bytes == BMP_CORE_BYTES;
    if (!bmp_is_head_size(head_bytes))
        return refuse(e, "a header of bytes:", head_bytes);
    l->palette_off = BMP_FILE_HEAD + head_bytes;
    st = source_at(s, BMP_FILE_HEAD, head_bytes, &p, e);
    if (!st)
        st = os2 ? scan_os2(p, l, i) : scan_windows(p, l, i, e);
    if (!st)
        st = check_bits(l, e);
    if (!st)
        st = scan_pixels(s, head_bytes, l, e);
    if (st)
        return st;
    /* Some writers forget the palette, or the offset altogether. */
    if (off && !(l->colors && off == BMP_FILE_HEAD + head_bytes))
        l->off = off;
    i->header_bytes = l->palette_off + l->colors * (uint32_t)l->entry_bytes;
    return STATUS_OK;
}

/* The padding of the last row may be missing. Run lengths hold at most 255 pixels in two bytes, and
   four can leave out 255 rows. */
static uint64_t least_bytes(const struct image_info *i, const struct bmp_layout *l)
{
    if (l->compression == BMP_RLE8 || l->compression == BMP_RLE4)
        return l->off + (uint64_t)i->height / 255 * 4;
    return l->off + bmp_stride(i->width, l->bits) * ((uint64_t)i->height - 1) +
           ((uint64_t)i->width * (uint64_t)l->bits + 7) / 8;
}

status image_bmp_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct bmp_layout l;
    struct image_info *i = &out->info;
    status st = image_bmp_layout(s, &l, i, e);
    if (st)
        return st;
    i->source_bits = l.bits < 8 ? l.bits : 8;
    i->is_label = l.colors && !l.grey_palette;
    i->channels = l.grey_palette ? 1 : 3;
    i->has_alpha = l.channel[3].width && l.bits == 32;
    if (i->width > 0 && i->height > 0)
        out->least_bytes = least_bytes(i, &l);
    return STATUS_OK;
}
