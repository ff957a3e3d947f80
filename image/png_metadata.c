/*
 * What is kept of a PNG's metadata: the pieces of the header, and one chunk that tells the
 * orientation when something else does in the source than an eXIf among the pieces.
 *
 * The orientation is found as PIL finds it: the tag of the last eXIf, or text "exif"; without
 * either, that of the text "Raw profile type exif" (ImageMagick's: a name, a length and hexadecimal
 * digits); without the tag, what XMP says, by the same pattern. libpng's readers know eXIf only,
 * torchvision only one before the image data. So the chunk that is written is of the same kind and
 * at the same place as what was found.
 */
#include "exif.h"
#include "png_text.h"

#include <stdio.h>
#include <string.h>

static const char key_profile[] = "Raw profile type exif";
static const uint8_t exif_mark[6] = {'E', 'x', 'i', 'f'};
static const char key_exif[] = "exif";
static const char key_xmp[] = "XML:com.adobe.xmp";

enum { KEY_MAX = 80 };

struct found {
    bool idat; /* seen */
    bool has_exif;
    bool exif_behind, exif_is_text; /* the last one */
    bool exif_marked,
        kept_marked;        /* begins with "Exif" and two zeros, which not all readers take */
    int exif, profile, xmp; /* orientation in the last one; 0: none */
    int exif_kept;          /* orientation in the last eXIf before the image data */
};

/* ---- texts ---- */

static status look_at_text(struct source *s, const struct png_chunk *c, struct found *f,
                           struct errmsg *e)
{
    AUTO(buf_done) struct buf text = BUF_INIT(PNG_TEXT_MAX);
    const uint8_t *p;
    size_t n = c->len < KEY_MAX ? c->len : KEY_MAX;
    status st = source_at(s, c->off + PNG_CHUNK_HEAD, n, &p, e);
    if (st)
        return st;
    const uint8_t *zero = memchr(p, 0, n);
    if (!zero)
        return STATUS_OK;
    bool profile = strcmp((const char *)p, key_profile) == 0;
    bool exif = strcmp((const char *)p, key_exif) == 0 && c->type[0] == 't';
    bool xmp = strcmp((const char *)p, key_xmp) == 0, good;
    if (!(profile || exif || xmp))
        return STATUS_OK;
    st = png_text_value(s, c, (size_t)(zero - p), &text, &good, e);
    if (st || !good)
        return st;
    if (xmp) {
        f->xmp = png_text_orientation(&text);
        return STATUS_OK;
    }
    if (profile)
        png_text_profile(&text);
    struct source tiff;
    source_init_memory(&tiff, text.data, text.len);
    if (exif) {
        f->has_exif = f->exif_is_text = true;
        f->exif_marked = false;
    }
    return exif_orientation(&tiff, 0, text.len, profile ? &f->profile : &f->exif);
}

/* ---- chunks ---- */

static status look_at_chunk(struct source *s, const struct png_chunk *c, struct found *f,
                            struct errmsg *e)
{
    if (strcmp(c->type, "IDAT") == 0 || strcmp(c->type, "fdAT") == 0)
        f->idat = true;
    if (strcmp(c->type, "tEXt") == 0 || strcmp(c->type, "zTXt") == 0 ||
        strcmp(c->type, "iTXt") == 0)
        return look_at_text(s, c, f, e);
    if (strcmp(c->type, "eXIf") != 0)
        return STATUS_OK;
    f->has_exif = true;
    f->exif_is_text = false;
    f->exif_behind = f->idat;
    const uint8_t *p;
    size_t n = c->len < sizeof exif_mark ? 0 : sizeof exif_mark;
    status st = source_at(s, c->off + PNG_CHUNK_HEAD, n, &p, e);
    f->exif_marked = !st && n && memcmp(p, exif_mark, n) == 0;
    if (!st)
        st = exif_orientation(s, c->off + PNG_CHUNK_HEAD, c->len, &f->exif);
    if (!f->idat) {
        f->exif_kept = f->exif;
        f->kept_marked = f->exif_marked;
    }
    return st;
}

/* The chunks up to the last complete one; no reader reads what follows. */
static status look(struct source *s, struct found *f, struct errmsg *e)
{
    struct png_chunk c;
    for (uint64_t off = PNG_SIGNATURE_BYTES;; off = image_png_next(&c)) {
        status st = image_png_chunk(s, off, &c, NULL);
        if (st == STATUS_CORRUPT || (!st && image_png_next(&c) > s->size))
            return STATUS_OK;
        if (!st && strcmp(c.type, "IEND") == 0)
            return STATUS_OK;
        if (!st)
            st = look_at_chunk(s, &c, f, e);
        if (st)
            return st;
    }
}

/* ---- what is written ---- */

/* A TIFF structure with the one tag. */
static void make_exif(uint8_t *out, int orientation)
{
    static const uint8_t tiff[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1};
    memcpy(out, tiff, sizeof tiff);
    out[19] = (uint8_t)orientation;
}

static uint8_t *put_profile(uint8_t *p, int orientation)
{
    uint8_t exif[26];
    char text[PNG_SLOT];
    make_exif(exif, orientation);
    size_t n = sizeof key_profile;
    memcpy(text, key_profile, n);
    n += (size_t)snprintf(text + n, sizeof text - n, "\nexif\n26\n");
    for (size_t i = 0; i < sizeof exif; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%02x", exif[i]);
    return image_png_put_chunk(p, "tEXt", text, (uint32_t)n);
}

static uint8_t *put_exif_text(uint8_t *p, const uint8_t *exif)
{
    uint8_t text[sizeof key_exif + 26];
    memcpy(text, key_exif, sizeof key_exif);
    memcpy(text + sizeof key_exif, exif, 26);
    return image_png_put_chunk(p, "tEXt", text, sizeof text);
}

static uint8_t *put_xmp(uint8_t *p, int orientation)
{
    char text[PNG_SLOT] = {0};
    size_t n = sizeof key_xmp + 4; /* not compressed, no method, no language, no translated key */
    memcpy(text, key_xmp, sizeof key_xmp);
    n += (size_t)snprintf(text + n, sizeof text - n, "tiff:Orientation=\"%d\"", orientation);
    return image_png_put_chunk(p, "iTXt", text, (uint32_t)n);
}

/* Which orientation PIL finds in the file, and where. */
static uint8_t *put_orientation(uint8_t *p, const struct found *f)
{
    uint8_t exif[sizeof exif_mark + 26];
    int tag = f->has_exif ? f->exif : f->profile;
    int orientation = tag ? tag : f->xmp ? f->xmp : 1;
    if (orientation == (f->exif_kept ? f->exif_kept : 1) &&
        (!f->exif_kept || f->exif_marked == f->kept_marked))
        return p;
    memcpy(exif, exif_mark, sizeof exif_mark);
    make_exif(exif + sizeof exif_mark, orientation);
    size_t skip = f->exif_marked ? 0 : sizeof exif_mark;
    if (f->exif_is_text)
        return put_exif_text(p, exif + sizeof exif_mark);
    if (f->exif_kept || (f->exif_behind && f->exif))
        return image_png_put_chunk(p, "eXIf", exif + skip, (uint32_t)(sizeof exif - skip));
    return f->profile ? put_profile(p, orientation) : put_xmp(p, orientation);
}

/* A piece with a wrong checksum, which libpng ignores, turns into padding. */
static status put_piece(struct source *s, const struct header_piece *piece, uint8_t *out,
                        struct errmsg *e)
{
    status st = source_copy(s, piece->off, piece->len, out, e);
    if (st)
        return st;
    if (read_be32(out + piece->len - 4) != image_png_crc(out + 4, piece->len - PNG_CHUNK_HEAD))
        image_png_put_padding(out, piece->len);
    return STATUS_OK;
}

status image_png_metadata(struct source *s, const struct header *h, uint8_t *out, struct errmsg *e)
{
    struct found f = {0};
    for (int i = 0; i < h->n_pieces; out += h->pieces[i++].len) {
        status st = put_piece(s, &h->pieces[i], out, e);
        if (st)
            return st;
    }
    status st = look(s, &f, e);
    if (st)
        return st;
    uint8_t *end = out + PNG_SLOT;
    out = put_orientation(out, &f);
    image_png_put_padding(out, (uint64_t)(end - out));
    return STATUS_OK;
}
