/* The table of formats, telling them apart, and the pieces of metadata that a header keeps. */
#include "codec.h"

#include <assert.h>
#include <string.h>

const struct image_codec *const image_codecs[] = {
    [IMAGE_PNG] = &image_png_codec,   [IMAGE_JPEG] = &image_jpeg_codec,
    [IMAGE_WEBP] = &image_webp_codec, [IMAGE_BMP] = &image_bmp_codec,
    [IMAGE_TIFF] = &image_tiff_codec, [IMAGE_GIF] = &image_gif_codec,
};
static_assert(ARRAY_LEN(image_codecs) == IMAGE_FORMAT_COUNT, "one row per enum image_format");

const char *image_format_name(enum image_format format)
{
    return (unsigned)format < IMAGE_FORMAT_COUNT ? image_codecs[format]->name : "?";
}

void header_drop_color(struct header *h)
{
    int n = 0;
    for (int i = 0; i < h->n_pieces; i++) {
        if (h->pieces[i].kind == PIECE_COLOR)
            h->info.metadata_bytes -= h->pieces[i].len;
        else
            h->pieces[n++] = h->pieces[i];
    }
    h->n_pieces = n;
    h->no_color = true;
}

static bool fits(const struct header *h, uint32_t len)
{
    return h->n_pieces < HEADER_MAX_PIECES && h->info.metadata_bytes <= h->max_metadata &&
           len <= h->max_metadata - h->info.metadata_bytes;
}

void header_add_piece(struct header *h, uint64_t off, uint32_t len, enum piece_kind kind)
{
    if (kind == PIECE_COLOR && h->no_color)
        return;
    if (!fits(h, len))
        header_drop_color(h);
    if (!fits(h, len) || (kind == PIECE_COLOR && h->no_color))
        return;
    h->pieces[h->n_pieces++] = (struct header_piece){off, len, kind};
    h->info.metadata_bytes += len;
}

status source_copy(struct source *s, uint64_t off, uint64_t len, uint8_t *out, struct errmsg *e)
{
    while (len) {
        const uint8_t *p;
        size_t n = len < SOURCE_WINDOW ? (size_t)len : SOURCE_WINDOW;
        status st = source_at(s, off, n, &p, e);
        if (st)
            return st;
        memcpy(out, p, n);
        out += n;
        off += n;
        len -= n;
    }
    return STATUS_OK;
}

enum image_format image_sniff(const void *head, size_t len)
{
    for (int i = 0; i < IMAGE_FORMAT_COUNT; i++) {
        const struct image_codec *c = image_codecs[i];
        if (len >= c->magic_len && (!c->magic_len || memcmp(head, c->magic, c->magic_len) == 0) &&
            (!c->is || c->is(head, len)))
            return (enum image_format)i;
    }
    return IMAGE_FORMAT_COUNT;
}
