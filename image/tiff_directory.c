/*
 * The header of a TIFF file: "II" or "MM" (the order of bytes), 42, the offset of a directory: the
 * number of entries (2), and of each the tag (2), type (2), number of values (4), and the values
 * themselves in 4 bytes, or their offset when they need more.
 *
 * It is read here rather than by libtiff, so that the size is known after a few bounded reads. Of a
 * tag that occurs twice the first one is used, as in libtiff.
 */
#include "tiff_directory.h"

#include <assert.h>

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

enum { MAX_ENTRIES = 1024, ENTRY_BYTES = 12 };

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
        return numbers(t, en, TIFF_MAX_SAMPLES, t->bits, &t->n_bits, e);
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
        return en->count ? numbers(t, en, TIFF_MAX_SAMPLES, t->extra, &t->n_extra, e) : STATUS_OK;
    case TAG_SAMPLE_FORMAT:
        return numbers(t, en, TIFF_MAX_SAMPLES, t->formats, &t->n_formats, e);
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

status tiff_directory_read(struct tiff_scan *t, struct errmsg *e)
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
