/*
 * The header of a PNG file: IHDR, what decides about alpha, and the metadata we keep, up to the
 * first IDAT. Contents that do not matter here are not even read.
 *
 * It accepts what PIL or libpng accept, since training programs read with one of them: chunks in a
 * wrong order, of wrong lengths, twice, or with a wrong checksum. Where the two differ, PIL
 * decides.
 */
#include "exif.h"
#include "png_format.h"

#include <ctype.h>
#include <string.h>

/* Bit n is set when depth n is legal; 0: no such colour type. */
static uint32_t legal_depths(unsigned color)
{
    switch (color) {
    case PNG_GREY:
        return 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8 | 1u << 16;
    case PNG_PALETTE:
        return 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8;
    case PNG_RGB:
    case PNG_GREY_ALPHA:
    case PNG_RGBA:
        return 1u << 8 | 1u << 16;
    default:
        return 0;
    }
}

status image_png_chunk(struct source *s, uint64_t off, struct png_chunk *out, struct errmsg *e)
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
        if (!isascii(p[4 + i]) || (!isalnum(p[4 + i]) && p[4 + i] != '_'))
            return errmsg_set(e, STATUS_CORRUPT, "PNG: a chunk's name is not of four letters");
    return STATUS_OK;
}

uint64_t image_png_next(const struct png_chunk *c)
{
    return c->off + PNG_CHUNK_FRAME + c->len;
}

/* State while walking over the chunks. */
struct png_scan {
    struct header *h;
    struct png_look *look; /* (optional) */
    bool has_ihdr;
    unsigned color;
    bool trns;     /* there is one that counts */
    uint32_t kept; /* bit per row of kept_types: the first of a kind counts, but for eXIf */
};

enum { MAX_EXIF = 4 };

static status check_crc(struct source *s, const struct png_chunk *c, bool *out_good,
                        struct errmsg *e)
{
    const uint8_t *p;
    status st = source_at(s, c->off, PNG_CHUNK_FRAME + (size_t)c->len, &p, e);
    if (st)
        return st;
    *out_good = read_be32(p + PNG_CHUNK_HEAD + c->len) == image_png_crc(p + 4, 4 + (size_t)c->len);
    return STATUS_OK;
}

/* PIL uses the last IHDR; libpng refuses a second one. As in PIL, it may be longer, the compression
   method may be anything, and any interlacing other than zero is Adam7. */
static status scan_ihdr(struct source *s, const struct png_chunk *c, struct png_scan *ps,
                        struct errmsg *e)
{
    const uint8_t *p;
    bool good;
    if (c->len < PNG_IHDR_BYTES || c->len > SOURCE_WINDOW / 2)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: IHDR of %u bytes", c->len);
    status st = check_crc(s, c, &good, e);
    if (!st && !good)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: the checksum of IHDR is wrong");
    if (!st)
        st = source_at(s, c->off + PNG_CHUNK_HEAD, PNG_IHDR_BYTES, &p, e);
    if (st)
        return st;
    uint32_t width = read_be32(p), height = read_be32(p + 4);
    unsigned depth = p[8];
    ps->color = p[9];
    if (width > 0x7fffffff || height > 0x7fffffff || depth > 16 ||
        !(legal_depths(ps->color) >> depth & 1) || p[11])
        return errmsg_set(e, STATUS_CORRUPT, "PNG: IHDR holds impossible values");
    struct image_info *i = &ps->h->info;
    i->width = (int)width;
    i->height = (int)height;
    i->source_bits = (int)depth;
    i->is_label = ps->color == PNG_PALETTE || depth < 8;
    i->channels = ps->color == PNG_GREY || ps->color == PNG_GREY_ALPHA ? 1 : 3;
    ps->has_ihdr = true;
    if (ps->look) {
        ps->look->color = ps->color;
        ps->look->interlaced = p[12] != 0;
    }
    return STATUS_OK;
}

/* Those of a wrong checksum are libpng's to ignore, and PIL's to refuse. Too short ones are to both
   as if they were not there; longer ones than needed, or than the palette, PIL takes. */
static status scan_trns(struct source *s, const struct png_chunk *c, struct png_scan *ps,
                        struct errmsg *e)
{
    uint32_t least = ps->color == PNG_GREY ? 2 : ps->color == PNG_RGB ? 6 : 1;
    if (!ps->has_ihdr || c->len < least)
        return STATUS_OK;
    if (c->len <= SOURCE_WINDOW - PNG_CHUNK_FRAME) {
        bool good;
        status st = check_crc(s, c, &good, e);
        if (st || !good)
            return st;
    }
    ps->trns = true;
    if (ps->look)
        ps->look->trns = *c;
    return STATUS_OK;
}

static status scan_plte(const struct png_chunk *c, struct png_scan *ps, struct errmsg *e)
{
    if (!ps->has_ihdr || ps->color != PNG_PALETTE)
        return STATUS_OK;
    if (c->len > 3 * 256 + 2)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: PLTE of %u bytes", c->len);
    if (ps->look)
        ps->look->plte = *c;
    return STATUS_OK;
}

static status scan_exif(struct source *s, const struct png_chunk *c, struct png_scan *ps)
{
    int found;
    status st = exif_orientation(s, c->off + PNG_CHUNK_HEAD, c->len, &found);
    if (st)
        return st;
    ps->h->info.orientation = found;
    header_add_piece(ps->h, c->off, c->len + PNG_CHUNK_FRAME, PIECE_ORIENTATION);
    return STATUS_OK;
}

static status scan_kept(struct source *s, const struct png_chunk *c, struct png_scan *ps)
{
    static const char *const color_types[] = {"iCCP", "sRGB", "gAMA", "cHRM"};
    if (c->len > INT32_MAX)
        return STATUS_OK;
    if (strcmp(c->type, "eXIf") == 0)
        return ps->kept >> 8 < MAX_EXIF ? ps->kept += 1u << 8, scan_exif(s, c, ps) : STATUS_OK;
    for (unsigned i = 0; i < ARRAY_LEN(color_types); i++) {
        if (strcmp(c->type, color_types[i]) != 0 || ps->kept >> i & 1)
            continue;
        ps->kept |= 1u << i;
        header_add_piece(ps->h, c->off, c->len + PNG_CHUNK_FRAME, PIECE_COLOR);
    }
    return STATUS_OK;
}

static status scan_chunk(struct source *s, const struct png_chunk *c, struct png_scan *ps,
                         struct errmsg *e)
{
    if (image_png_next(c) > s->size)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: the file ends within its header");
    if (strcmp(c->type, "IHDR") == 0)
        return scan_ihdr(s, c, ps, e);
    if (strcmp(c->type, "PLTE") == 0)
        return scan_plte(c, ps, e);
    if (strcmp(c->type, "tRNS") == 0)
        return scan_trns(s, c, ps, e);
    if (strcmp(c->type, "IEND") == 0)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: no image data");
    return scan_kept(s, c, ps);
}

/* Deflate makes at most 1032 bytes of one. One sample per pixel is the least; interlacing adds
 * bytes. */
static uint64_t least_bytes(const struct image_info *i)
{
    uint64_t bits = (uint64_t)i->width * (uint64_t)i->source_bits;
    return (uint64_t)i->height * (1 + bits / 8) / 1032;
}

static status scan(struct source *s, struct png_scan *ps, struct errmsg *e)
{
    struct header *h = ps->h;
    struct png_chunk c = {0};
    uint64_t off = PNG_SIGNATURE_BYTES;
    for (;;) {
        status st = image_png_chunk(s, off, &c, e);
        if (!st && (strcmp(c.type, "IDAT") == 0 || (strcmp(c.type, "fdAT") == 0 && c.len >= 4)))
            break; /* the second is an animation's, whose first frame PIL shows */
        if (!st)
            st = scan_chunk(s, &c, ps, e);
        if (st)
            return st;
        off = image_png_next(&c);
    }
    if (!ps->has_ihdr)
        return errmsg_set(e, STATUS_CORRUPT, "PNG: no IHDR");
    h->info.format = IMAGE_PNG;
    h->info.has_alpha = ps->color == PNG_GREY_ALPHA || ps->color == PNG_RGBA || ps->trns;
    if (ps->color == PNG_PALETTE &&
        ps->trns) /* masks are opaque; pictures that were reduced are not */
        h->info.is_label = false;
    h->info.header_bytes = (size_t)off + PNG_CHUNK_HEAD;
    h->info.metadata_bytes += PNG_SLOT;
    h->least_bytes = least_bytes(&h->info);
    if (ps->look)
        ps->look->idat = c;
    return STATUS_OK;
}

status image_png_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct png_scan ps = {.h = out};
    return scan(s, &ps, e);
}

status image_png_look(struct source *s, struct png_look *out, struct errmsg *e)
{
    struct header h = {.no_color = true};
    struct png_scan ps = {.h = &h, .look = out};
    memset(out, 0, sizeof *out);
    return scan(s, &ps, e);
}
