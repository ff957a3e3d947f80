/*
 * The header of a TIFF file: "II" or "MM" (the order of bytes), 42, the offset of a directory: the
 * number of entries (2), and of each the tag (2), type (2), number of values (4), and the values
 * themselves in 4 bytes, or their offset when they need more.
 *
 * Read here rather than by libtiff, so that a size is told from a few bounded reads. Of a tag that
 * comes twice the first one counts, as it does for libtiff.
 */
#include "tiff_format.h"

#include <assert.h>
#include <string.h>

enum tag {
    TAG_SUBFILE = 254,
    TAG_WIDTH = 256,
    TAG_HEIGHT = 257,
    TAG_BITS = 258,
    TAG_COMPRESSION = 259,
    TAG_PHOTOMETRIC = 262,
    TAG_ORIENTATION = 274,
    TAG_SAMPLES = 277,
    TAG_PLANAR = 284,
    TAG_TILE_WIDTH = 322,
    TAG_TILE_HEIGHT = 323,
    TAG_EXTRA = 338,
    TAG_SAMPLE_FORMAT = 339,
    TAG_ICC = 34675,
    TAG_DNG = 50706
};

enum { MAX_ENTRIES = 1024, MAX_SAMPLES = 6, ENTRY_BYTES = 12 };

/* A tile is at most as large as this, and tiles do not cover much more than the image. */
enum { MAX_TILE_BYTES = 64 << 20, MAX_TILE_SIDE = 1 << 16 };

struct tiff_scan {
    struct source *s;
    struct tiff_layout *l;
    uint64_t end; /* of what was looked at */
    bool seen[16];
    uint32_t bits[MAX_SAMPLES], formats[MAX_SAMPLES], extra[MAX_SAMPLES];
    uint32_t n_bits, n_formats, n_extra, planar, subfile;
    bool raw; /* from a camera: the first page is a preview */
};

struct entry {
    uint32_t tag, type, count;
    uint64_t off; /* of the values */
};

static uint32_t get16(const struct tiff_scan *t, const uint8_t *p)
{
    return t->l->little ? (uint32_t)p[1] << 8 | p[0] : read_be16(p);
}

static uint32_t get32(const struct tiff_scan *t, const uint8_t *p)
{
    return t->l->little ? get16(t, p + 2) << 16 | get16(t, p) : read_be32(p);
}

static status look(struct tiff_scan *t, uint64_t off, size_t n, const uint8_t **out,
                   struct errmsg *e)
{
    status st = source_at(t->s, off, n, out, e);
    if (!st && off + n > t->end)
        t->end = off + n;
    return st;
}

static uint32_t type_bytes(uint32_t type)
{
    switch (type) {
    case 1: /* byte */
    case 7: /* undefined */
        return 1;
    case 3: /* short */
        return 2;
    case 4: /* long */
        return 4;
    default:
        return 0;
    }
}

/* At most max of an entry's numbers; *out_n: how many there are of those. */
static status numbers(struct tiff_scan *t, const struct entry *en, uint32_t max, uint32_t *out,
                      uint32_t *out_n, struct errmsg *e)
{
    const uint8_t *p;
    uint32_t bytes = type_bytes(en->type), n = en->count < max ? en->count : max;
    if (!bytes || !n)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: tag %u is of an unexpected type", en->tag);
    status st = look(t, en->off, (size_t)n * bytes, &p, e);
    if (st)
        return st;
    for (uint32_t i = 0; i < n; i++, p += bytes)
        out[i] = bytes == 1 ? *p : bytes == 2 ? get16(t, p) : get32(t, p);
    *out_n = n;
    return STATUS_OK;
}

static status number(struct tiff_scan *t, const struct entry *en, uint32_t *out, struct errmsg *e)
{
    uint32_t n;
    return numbers(t, en, 1, out, &n, e);
}

static void found_icc(struct tiff_scan *t, const struct entry *en)
{
    if (type_bytes(en->type) != 1 || en->count <= 4 || en->off > t->s->size ||
        en->count > t->s->size - en->off)
        return;
    t->l->icc_off = en->off;
    t->l->icc_len = en->count;
    if (en->off + en->count > t->end)
        t->end = en->off + en->count;
}

static status scan_value(struct tiff_scan *t, const struct entry *en, struct errmsg *e)
{
    static const uint32_t known[] = {
        TAG_SUBFILE,     TAG_WIDTH,         TAG_HEIGHT, TAG_BITS,       TAG_COMPRESSION,
        TAG_PHOTOMETRIC, TAG_SAMPLES,       TAG_PLANAR, TAG_EXTRA,      TAG_TILE_WIDTH,
        TAG_TILE_HEIGHT, TAG_SAMPLE_FORMAT, TAG_ICC,    TAG_ORIENTATION};
    static_assert(ARRAY_LEN(known) <= sizeof t->seen, "a flag for each");
    struct tiff_layout *l = t->l;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i] != en->tag)
            continue;
        if (t->seen[i])
            return STATUS_OK;
        t->seen[i] = true;
    }
    switch (en->tag) {
    case TAG_SUBFILE:
        return number(t, en, &t->subfile, e);
    case TAG_WIDTH:
        return number(t, en, &l->width, e);
    case TAG_HEIGHT:
        return number(t, en, &l->height, e);
    case TAG_BITS:
        return numbers(t, en, MAX_SAMPLES, t->bits, &t->n_bits, e);
    case TAG_COMPRESSION:
        return number(t, en, &l->compression, e);
    case TAG_PHOTOMETRIC:
        return number(t, en, &l->photometric, e);
    case TAG_ORIENTATION:
        return number(t, en, &l->orientation, e);
    case TAG_SAMPLES:
        return number(t, en, &l->samples, e);
    case TAG_PLANAR:
        return number(t, en, &t->planar, e);
    case TAG_TILE_WIDTH:
        return number(t, en, &l->tile_width, e);
    case TAG_TILE_HEIGHT:
        return number(t, en, &l->tile_height, e);
    case TAG_EXTRA:
        return en->count ? numbers(t, en, MAX_SAMPLES, t->extra, &t->n_extra, e) : STATUS_OK;
    case TAG_SAMPLE_FORMAT:
        return numbers(t, en, MAX_SAMPLES, t->formats, &t->n_formats, e);
    case TAG_ICC:
        found_icc(t, en);
        return STATUS_OK;
    case TAG_DNG:
        t->raw = true;
        return STATUS_OK;
    default:
        return STATUS_OK;
    }
}

static status scan_directory(struct tiff_scan *t, struct errmsg *e)
{
    const uint8_t *p;
    status st = look(t, 0, 8, &p, e);
    if (st)
        return st;
    t->l->little = p[0] == 'I';
    uint64_t at = get32(t, p + 4);
    st = look(t, at, 2, &p, e);
    if (st)
        return st;
    uint32_t n = get16(t, p);
    if (n > MAX_ENTRIES)
        return errmsg_set(e, STATUS_LIMIT, "TIFF: a directory of %u entries", n);
    at += 2;
    for (uint32_t i = 0; i < n && !st; i++, at += ENTRY_BYTES) {
        st = look(t, at, ENTRY_BYTES, &p, e);
        if (st)
            return st;
        struct entry en = {get16(t, p), get16(t, p + 2), get32(t, p + 4), at + 8};
        if ((uint64_t)en.count * type_bytes(en.type) > 4)
            en.off = get32(t, p + 8);
        st = scan_value(t, &en, e);
    }
    return st;
}

/* ---- what it means ---- */

static status refuse(struct errmsg *e, const char *what)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "TIFF: %s are not read", what);
}

static status check_samples(struct tiff_scan *t, struct errmsg *e)
{
    struct tiff_layout *l = t->l;
    if (l->samples < 1 || l->samples > MAX_SAMPLES)
        return refuse(e, "so many samples per pixel");
    if (t->n_bits == 0)
        t->bits[t->n_bits++] = 1;
    l->bits = t->bits[0];
    for (uint32_t i = 1; i < t->n_bits && i < l->samples; i++)
        if (t->bits[i] != l->bits)
            return refuse(e, "samples of different sizes");
    for (uint32_t i = 0; i < t->n_formats && i < l->samples; i++)
        if (t->formats[i] != 1)
            return refuse(e, t->formats[i] == 3 ? "floating point samples" : "signed samples");
    if (l->bits != 1 && l->bits != 2 && l->bits != 4 && l->bits != 8 && l->bits != 16)
        return errmsg_set(e, STATUS_UNSUPPORTED, "TIFF: samples of %u bits are not read", l->bits);
    if (l->bits < 8 && l->samples != 1)
        return refuse(e, "several samples of few bits");
    return STATUS_OK;
}

/* The samples beyond the colours: alpha, or unspecified. */
static status check_extra(struct tiff_scan *t, struct errmsg *e)
{
    struct tiff_layout *l = t->l;
    uint32_t colors = tiff_colors(l);
    l->alpha = TIFF_NO_ALPHA;
    if (l->samples < colors)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: fewer samples than colours");
    if (l->samples == colors)
        return STATUS_OK;
    bool can = l->photometric == TIFF_RGB || l->photometric == TIFF_BLACK_IS_ZERO;
    /* PIL takes a fourth sample that is not explained for alpha, and CorelDraw's number, too */
    uint32_t kind = t->n_extra ? t->extra[0] : l->photometric == TIFF_RGB ? 2 : 0;
    if (!can || l->samples != colors + 1 || (kind != 1 && kind != 2 && kind != 999))
        return refuse(e, "samples of unknown meaning");
    l->alpha = kind == 1 ? TIFF_PREMULTIPLIED : TIFF_ALPHA;
    return STATUS_OK;
}

static status check_kind(struct tiff_scan *t, struct errmsg *e)
{
    struct tiff_layout *l = t->l;
    switch (l->photometric) {
    case TIFF_WHITE_IS_ZERO:
    case TIFF_BLACK_IS_ZERO:
        break;
    case TIFF_RGB:
    case TIFF_CMYK:
    case TIFF_YCC:
        if (l->bits < 8 || (l->bits == 16 && l->photometric == TIFF_YCC))
            return refuse(e, "colours of so many bits");
        break;
    case TIFF_PALETTE:
        if (l->bits > 8)
            return refuse(e, "palettes of so many colours");
        break;
    default:
        return errmsg_set(e, STATUS_UNSUPPORTED, "TIFF: colours of kind %u are not read",
                          l->photometric);
    }
    return STATUS_OK;
}

/* LZMA and WebP are left out: the memory that they take is not bounded by the image. */
static status check_compression(const struct tiff_layout *l, struct errmsg *e)
{
    switch (l->compression) {
    case 1:     /* none */
    case 5:     /* LZW */
    case 8:     /* deflate */
    case 32946: /* deflate */
    case 32773: /* PackBits */
    case 50000: /* zstd */
        return STATUS_OK;
    case TIFF_COMPRESSION_JPEG:
        if (l->bits == 8)
            return STATUS_OK;
        break;
    case 2: /* for faxes */
    case 3:
    case 4:
        if (l->bits == 1)
            return STATUS_OK;
        break;
    default:
        break;
    }
    return errmsg_set(e, STATUS_UNSUPPORTED, "TIFF: compression %u is not read", l->compression);
}

static status check_tiles(const struct tiff_layout *l, struct errmsg *e)
{
    uint64_t w = l->tile_width, h = l->tile_height;
    if (!w && !h)
        return STATUS_OK;
    if (!w || !h)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: tiles without a size");
    uint64_t covered = (l->width + w - 1) / w * w * ((l->height + h - 1) / h * h);
    if (w > MAX_TILE_SIDE || h > MAX_TILE_SIDE ||
        w * h * l->samples * l->bits / 8 > MAX_TILE_BYTES ||
        covered > 16 * (uint64_t)l->width * l->height + (1 << 24))
        return errmsg_set(e, STATUS_LIMIT, "TIFF: tiles of %ux%u", l->tile_width, l->tile_height);
    return STATUS_OK;
}

status image_tiff_layout(struct source *s, struct tiff_layout *l, uint64_t *out_end,
                         struct errmsg *e)
{
    struct tiff_scan t = {.s = s, .l = l, .planar = 1};
    *l = (struct tiff_layout){.samples = 1, .compression = 1};
    status st = scan_directory(&t, e);
    if (st)
        return st;
    l->separate = t.planar == 2 && l->samples > 1;
    if (l->width < 1 || l->height < 1 || l->width > INT32_MAX || l->height > INT32_MAX)
        return errmsg_set(e, STATUS_CORRUPT, "TIFF: of size %ux%u", l->width, l->height);
    if (t.raw || t.subfile & 1)
        return refuse(e, "previews of something else, as in cameras' raw files,");
    st = check_samples(&t, e);
    if (!st)
        st = check_kind(&t, e);
    if (!st)
        st = check_extra(&t, e);
    if (!st)
        st = check_compression(l, e);
    if (!st)
        st = check_tiles(l, e);
    *out_end = t.end;
    return st;
}

/* By how many bytes of samples one byte of the file can stand for. */
static uint64_t least_bytes(const struct tiff_layout *l)
{
    uint64_t area = (uint64_t)l->width * l->height;
    uint64_t bytes = area / 8 * l->bits * (l->photometric == TIFF_YCC ? 1 : l->samples);
    switch (l->compression) {
    case 1:
        return bytes;
    case 5:
        return bytes / 2731;
    case 8:
    case 32946:
        return bytes / 1032;
    case 32773:
        return bytes / 64;
    case TIFF_COMPRESSION_JPEG: /* a bit for each unit of coding of at most 32x32 */
        return area / 1024 / 8;
    default:
        return 0;
    }
}

status image_tiff_scan(struct source *s, struct header *out, struct errmsg *e)
{
    struct tiff_layout l;
    uint64_t end = 0;
    struct image_info *i = &out->info;
    status st = image_tiff_layout(s, &l, &end, e);
    if (st)
        return st;
    i->width = (int)l.width;
    i->height = (int)l.height;
    i->source_bits = (int)l.bits;
    i->is_label = l.bits < 8 || l.photometric == TIFF_PALETTE;
    i->channels = tiff_colors(&l) == 1 && l.photometric != TIFF_PALETTE ? 1 : 3;
    i->has_alpha = l.alpha != TIFF_NO_ALPHA;
    i->orientation = l.orientation <= 8 ? (int)l.orientation : 0;
    i->header_bytes = (size_t)end;
    /* a profile of inks would be wrong for the RGB that is written */
    if (l.icc_len && l.photometric != TIFF_CMYK)
        header_add_piece(out, l.icc_off, (uint32_t)l.icc_len, PIECE_COLOR);
    out->least_bytes = least_bytes(&l);
    return STATUS_OK;
}
