/*
 * The header of a PNG file: IHDR, what decides about alpha, and the metadata we keep, up to the
 * first IDAT. Contents that do not matter here are not even read; image_decode checks every CRC.
 */
#include "exif.h"
#include "png_format.h"

#include <ctype.h>
#include <string.h>

enum png_color {
    COLOR_GREY = 0,
    COLOR_RGB = 2,
    COLOR_PALETTE = 3,
    COLOR_GREY_ALPHA = 4,
    COLOR_RGBA = 6
};

/* Bit n is set when depth n is legal; 0: no such colour type. */
static uint32_t legal_depths(unsigned color)
{
    switch (color) {
    case COLOR_GREY:
        return 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8 | 1u << 16;
    case COLOR_PALETTE:
        return 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8;
    case COLOR_RGB:
    case COLOR_GREY_ALPHA:
    case COLOR_RGBA:
        return 1u << 8 | 1u << 16;
    default:
        return 0;
    }
}

struct chunk {
    uint64_t off; /* of its length field */
    uint32_t len;
    char type[5];
};

static status read_chunk(struct source *s, uint64_t off, struct chunk *out, struct errmsg *e)
{
    const uint8_t *p;
    status st = source_at(s, off, PNG_CHUNK_HEAD, &p, e);
    if (st)
        return st;
    out->off = off;
    out->len = read_be32(p);
    memcpy(out->type, p + 4, 4);
    out->type[4] = 0;
    for (int i = 0; i < 4; i++)
        if (!isascii(p[4 + i]) || !isalpha(p[4 + i]))
            return errmsg_set(e, STATUS_CORRUPT, "PNG: a chunk's name is not of four letters");
    if (out->len > 0x7fffffff)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: a chunk of impossible length");
    return STATUS_OK;
}

/* State while walking over the chunks. */
struct png_scan {
    struct header *h;
    unsigned color;
    uint32_t palette_len; /* bytes; 0 before PLTE */
    uint32_t kept;        /* bit per row of kept_types: the first of a kind counts */
};

static status scan_ihdr(struct source *s, const struct chunk *c, struct png_scan *ps,
                        struct errmsg *e)
{
    const uint8_t *p;
    if (strcmp(c->type, "IHDR") != 0 || c->len != PNG_IHDR_BYTES) {
        if (strcmp(c->type, "CgBI") == 0)
            return errmsg_set(e, STATUS_UNSUPPORTED, "PNG: Apple's variant is not readable");
        return errmsg_set(e, STATUS_CORRUPT, "PNG: the first chunk is not IHDR");
    }
    status st = source_at(s, c->off, PNG_CHUNK_FRAME + PNG_IHDR_BYTES, &p, e);
    if (st)
        return st;
    if (read_be32(p + 8 + PNG_IHDR_BYTES) != image_png_crc(p + 4, 4 + PNG_IHDR_BYTES))
        return errmsg_set(e, STATUS_CORRUPT, "PNG: the checksum of IHDR is wrong");
    p += PNG_CHUNK_HEAD;
    uint32_t width = read_be32(p), height = read_be32(p + 4);
    unsigned depth = p[8];
    ps->color = p[9];
    if (width > 0x7fffffff || height > 0x7fffffff || depth > 16 ||
        !(legal_depths(ps->color) >> depth & 1) || p[10] || p[11] || p[12] > 1)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: IHDR holds impossible values");
    struct image_info *i = &ps->h->info;
    i->format = IMAGE_PNG;
    i->width = (int)width;
    i->height = (int)height;
    i->source_bits = (int)depth;
    i->is_label = ps->color == COLOR_PALETTE || depth < 8;
    i->channels = ps->color == COLOR_GREY || ps->color == COLOR_GREY_ALPHA ? 1 : 3;
    i->has_alpha = ps->color == COLOR_GREY_ALPHA || ps->color == COLOR_RGBA;
    return STATUS_OK;
}

static status scan_trns(const struct chunk *c, struct png_scan *ps, struct errmsg *e)
{
    bool legal = (ps->color == COLOR_GREY && c->len == 2) ||
                 (ps->color == COLOR_RGB && c->len == 6) ||
                 (ps->color == COLOR_PALETTE && c->len >= 1 && c->len <= ps->palette_len / 3);
    if (!legal)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: tRNS is out of place");
    ps->h->info.has_alpha = true;
    return STATUS_OK;
}

static status scan_plte(const struct chunk *c, struct png_scan *ps, struct errmsg *e)
{
    if (c->len < 3 || c->len > 3 * 256 || c->len % 3 || ps->palette_len)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: PLTE is out of place");
    ps->palette_len = c->len;
    return STATUS_OK;
}

static status scan_kept(struct source *s, const struct chunk *c, struct png_scan *ps,
                        struct errmsg *e)
{
    static const char *const kept_types[] = {"iCCP", "sRGB", "gAMA", "cHRM", "eXIf"};
    for (unsigned i = 0; i < ARRAY_LEN(kept_types); i++) {
        if (strcmp(c->type, kept_types[i]) != 0 || ps->kept >> i & 1)
            continue;
        ps->kept |= 1u << i;
        if (strcmp(c->type, "eXIf") == 0) {
            status st =
                exif_orientation(s, c->off + PNG_CHUNK_HEAD, c->len, &ps->h->info.orientation);
            if (st)
                return st;
        }
        return header_add_piece(ps->h, c->off, c->len + PNG_CHUNK_FRAME, e);
    }
    return STATUS_OK;
}

static status scan_chunk(struct source *s, const struct chunk *c, struct png_scan *ps,
                         struct errmsg *e)
{
    if (strcmp(c->type, "PLTE") == 0)
        return scan_plte(c, ps, e);
    if (strcmp(c->type, "tRNS") == 0)
        return scan_trns(c, ps, e);
    if (isupper((unsigned char)c->type[0]))
        return errmsg_set(e, STATUS_CORRUPT, "PNG: chunk %s before the image data", c->type);
    return scan_kept(s, c, ps, e);
}

/* Deflate makes at most 1032 bytes of one. One sample per pixel is the least; interlacing adds
 * bytes. */
static uint64_t least_bytes(const struct image_info *i)
{
    uint64_t bits = (uint64_t)i->width * (uint64_t)i->source_bits;
    return (uint64_t)i->height * (1 + bits / 8) / 1032;
}

status image_png_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct png_scan ps = {.h = out};
    struct chunk c;
    uint64_t off = PNG_SIGNATURE_BYTES;
    status st = read_chunk(s, off, &c, e);
    if (!st)
        st = scan_ihdr(s, &c, &ps, e);
    while (!st) {
        off += PNG_CHUNK_FRAME + (uint64_t)c.len;
        st = read_chunk(s, off, &c, e);
        if (st || strcmp(c.type, "IDAT") == 0)
            break;
        st = scan_chunk(s, &c, &ps, e);
    }
    if (st)
        return st;
    if (ps.color == COLOR_PALETTE && !ps.palette_len)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: palette image without a palette");
    out->info.header_bytes = (size_t)off + PNG_CHUNK_HEAD;
    out->least_bytes = least_bytes(&out->info);
    return STATUS_OK;
}
