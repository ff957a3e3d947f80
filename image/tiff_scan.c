/* What the first directory of a TIFF file means: the samples, alpha, compression, metadata. */
#include "tiff_directory.h"

#include <string.h>

/* A tile is at most as large as this, and tiles do not cover much more than the image. */
enum { MAX_TILE_BYTES = 64 << 20, MAX_TILE_SIDE = 1 << 16 };

static status refuse(struct errmsg *e, const char *what)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "TIFF: %s are not read", what);
}

static status check_samples(struct tiff_scan *t, struct errmsg *e)
{
    struct tiff_layout *l = t->l;
    if (l->samples < 1 || l->samples > TIFF_MAX_SAMPLES)
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
    status st = tiff_directory_read(&t, e);
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

/* How many bytes of samples one byte of the file can give at most. */
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
