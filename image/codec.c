/* The table of formats, and the public calls, which are the only users of it. */
#include "codec.h"

#include <assert.h>
#include <string.h>

static const struct image_codec *const codecs[] = {
    [IMAGE_PNG] = &image_png_codec,   [IMAGE_JPEG] = &image_jpeg_codec,
    [IMAGE_WEBP] = &image_webp_codec, [IMAGE_BMP] = &image_bmp_codec,
    [IMAGE_TIFF] = &image_tiff_codec, [IMAGE_GIF] = &image_gif_codec,
};
static_assert(ARRAY_LEN(codecs) == IMAGE_FORMAT_COUNT, "one row per enum image_format");

/*
 * More than this many bytes of samples would not fit the 31-bit length of one PNG chunk with its
 * framing; far beyond any limit that makes sense.
 */
static const uint64_t MAX_SAMPLE_BYTES = 0x7f000000;

const char *image_format_name(enum image_format format)
{
    return (unsigned)format < IMAGE_FORMAT_COUNT ? codecs[format]->name : "?";
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

static bool has_room(const struct header *h, uint32_t len)
{
    return h->n_pieces < HEADER_MAX_PIECES && h->info.metadata_bytes <= h->max_metadata &&
           len <= h->max_metadata - h->info.metadata_bytes;
}

void header_add_piece(struct header *h, uint64_t off, uint32_t len, enum piece_kind kind)
{
    if (kind == PIECE_COLOR && h->no_color)
        return;
    if (!has_room(h, len))
        header_drop_color(h);
    if (!has_room(h, len) || (kind == PIECE_COLOR && h->no_color))
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

/* ---- probe ---- */

static status check_size(const struct image_info *i, struct errmsg *e)
{
    const struct image_codec *c = codecs[i->format];
    if (i->width < 1 || i->height < 1)
        return errmsg_set(e, STATUS_CORRUPT, "%s of size %dx%d", c->name, i->width, i->height);
    uint64_t row = (uint64_t)i->width * (uint64_t)(i->channels + i->has_alpha) + 1;
    if ((uint64_t)i->width > c->max_width || (uint64_t)i->height > c->max_height ||
        row > MAX_SAMPLE_BYTES / (uint64_t)i->height)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels cannot be written as one %s", i->width,
                          i->height, c->name);
    return STATUS_OK;
}

/*
 * A file is shown at least as large as it is, so that the original fits into the size that was told
 * should its image data turn out to be unreadable. What the codec does not need is padding.
 */
static uint64_t encoded_size(const struct image_info *i)
{
    const struct image_codec *c = codecs[i->format];
    uint64_t least = c->least_size(i);
    if (i->file_size <= least)
        return least;
    uint64_t pad = i->file_size - least;
    if (pad < c->pad_least)
        pad = c->pad_least;
    return least + (pad + c->pad_unit - 1) / c->pad_unit * c->pad_unit;
}

static status check_limits(const struct image_info *i, const struct image_limits *lim,
                           struct errmsg *e)
{
    status st = check_size(i, e);
    if (st)
        return st;
    if ((uint64_t)i->width * (uint64_t)i->height > lim->max_pixels)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit of %llu", i->width,
                          i->height, (unsigned long long)lim->max_pixels);
    return STATUS_OK;
}

enum image_format image_sniff(const void *head, size_t len)
{
    for (int i = 0; i < IMAGE_FORMAT_COUNT; i++) {
        const struct image_codec *c = codecs[i];
        if (len >= c->magic_len && (!c->magic_len || memcmp(head, c->magic, c->magic_len) == 0) &&
            (!c->is || c->is(head, len)))
            return (enum image_format)i;
    }
    return IMAGE_FORMAT_COUNT;
}

/* A format that is not written is shown as a PNG, which holds any image. */
static enum image_format shown_as(enum image_format source)
{
    return codecs[source]->encode ? source : IMAGE_PNG;
}

static status find_codec(struct source *s, enum image_format *out, struct errmsg *e)
{
    const uint8_t *head;
    size_t n = s->size < CODEC_HEAD_BYTES ? (size_t)s->size : CODEC_HEAD_BYTES;
    status st = source_at(s, 0, n, &head, e);
    if (st)
        return st;
    *out = image_sniff(head, n);
    if (*out == IMAGE_FORMAT_COUNT)
        return errmsg_set(e, STATUS_UNSUPPORTED, "of no image format that is read");
    return STATUS_OK;
}

/* s: the file or its beginning; file_size: of the whole. out is undefined after a failure. */
static status scan(struct source *s, uint64_t file_size, const struct image_limits *lim,
                   struct header *out, struct errmsg *e)
{
    enum image_format format;
    if (file_size > lim->max_file_bytes)
        return errmsg_set(e, STATUS_LIMIT, "%llu bytes are over the limit of %llu",
                          (unsigned long long)file_size, (unsigned long long)lim->max_file_bytes);
    status st = find_codec(s, &format, e);
    if (st)
        return st;
    const struct image_codec *c = codecs[format];
    memset(&out->info, 0, sizeof out->info);
    out->info.source_format = format;
    out->info.format = shown_as(format);
    out->least_bytes = 0;
    out->max_metadata = lim->max_metadata_bytes;
    out->no_color = false;
    out->n_pieces = 0;
    st = c->scan(s, out, e);
    if (!out->info.orientation)
        out->info.orientation = 1; /* the file does not say */
    if (!st)
        st = check_limits(&out->info, lim, e);
    if (st)
        return st;
    out->info.file_size = file_size;
    out->info.encoded_size = encoded_size(&out->info);
    return STATUS_OK;
}

/* A file that is too small for what its header claims is refused before anything is allocated for
 * it. */
static status check_plausible(const struct header *h, uint64_t file_bytes, struct errmsg *e)
{
    if (file_bytes < h->least_bytes)
        return errmsg_set(e, STATUS_CORRUPT, "claims %dx%d pixels, which %llu bytes cannot hold",
                          h->info.width, h->info.height, (unsigned long long)file_bytes);
    return STATUS_OK;
}

status image_probe(const void *data, size_t len, uint64_t file_size, const struct image_limits *lim,
                   struct image_info *out_info, struct errmsg *e)
{
    struct source s;
    struct header h;
    source_init_memory(&s, data, len);
    status st = scan(&s, file_size, lim, &h, e);
    if (st)
        return st;
    *out_info = h.info;
    return STATUS_OK;
}

status image_probe_fd(int fd, uint64_t file_size, const struct image_limits *lim,
                      struct image_info *out_info, struct errmsg *e)
{
    struct source s;
    struct header h;
    source_init_fd(&s, fd, file_size);
    status st = scan(&s, file_size, lim, &h, e);
    if (!st)
        st = check_plausible(&h, file_size, e);
    if (st)
        return st;
    *out_info = h.info;
    return STATUS_OK;
}

/* ---- decode ---- */

status image_decode(const void *data, size_t len, const struct image_limits *lim,
                    struct image *out_img, struct image_info *out_info, struct errmsg *e)
{
    struct source s;
    struct header h;
    struct image img;
    source_init_memory(&s, data, len);
    status st = scan(&s, len, lim, &h, e);
    if (!st)
        st = check_plausible(&h, len, e);
    if (st)
        return st;
    const struct image_info *i = &h.info;
    st = image_alloc(i->width, i->height, i->channels, i->has_alpha, &img);
    if (st)
        return errmsg_set(e, st, "%dx%d pixels: %s", i->width, i->height, status_text(st));
    st = codecs[i->source_format]->decode(data, len, &h, &img, e);
    if (st) {
        image_done(&img);
        return st;
    }
    *out_img = img;
    if (out_info)
        *out_info = h.info;
    return STATUS_OK;
}

status image_load_at(int dirfd, const char *path, const struct image_limits *lim,
                     struct image *out_img, struct image_info *out_info, struct errmsg *e)
{
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    status st = io_read_file_at(dirfd, path, (size_t)lim->max_file_bytes, &data, &len, e);
    if (st)
        return st;
    st = image_decode(data, len, lim, out_img, out_info, e);
    return st ? errmsg_prefix(e, st, "%s", path) : STATUS_OK;
}

/* ---- encode ---- */

static bool holds(const struct image_codec *c, const struct image *img)
{
    unsigned kind = img->channels == 1 ? HOLDS_GREY : HOLDS_RGB;
    return c->holds & (img->alpha ? kind << 1 : kind);
}

status image_info_new(enum image_format format, const struct image *img,
                      struct image_info *out_info, struct errmsg *e)
{
    if ((unsigned)format >= IMAGE_FORMAT_COUNT)
        return errmsg_set(e, STATUS_INVALID, "no such image format");
    if (!codecs[format]->encode)
        return errmsg_set(e, STATUS_INVALID, "%s is not written", codecs[format]->name);
    if (!holds(codecs[format], img))
        return errmsg_set(e, STATUS_INVALID, "%s cannot hold %s%s", codecs[format]->name,
                          img->channels == 1 ? "grey" : "RGB", img->alpha ? " with alpha" : "");
    struct image_info info = {
        .format = format,
        .source_format = format,
        .width = img->width,
        .height = img->height,
        .channels = img->channels,
        .has_alpha = img->alpha != NULL,
        .source_bits = 8,
        .orientation = 1,
    };
    if (check_size(&info, e))
        return STATUS_INVALID;
    info.encoded_size = encoded_size(&info);
    *out_info = info;
    return STATUS_OK;
}

static bool same_image(const struct image_info *a, const struct image_info *b)
{
    return a->source_format == b->source_format && a->width == b->width && a->height == b->height &&
           a->channels == b->channels && a->has_alpha == b->has_alpha &&
           a->metadata_bytes == b->metadata_bytes;
}

/* What a file lacks that was there when it was probed is no damage, but another file. */
static status not_the_same(status st, struct errmsg *e)
{
    return st == STATUS_IO || st == STATUS_NOMEM
               ? st
               : errmsg_set(e, STATUS_AGAIN, "it is not the file that was probed");
}

static status read_metadata(struct source *s, const struct image_info *info,
                            const struct image_limits *lim, uint8_t *out, struct errmsg *e)
{
    struct header h;
    if (!info->metadata_bytes)
        return STATUS_OK;
    status st = scan(s, info->file_size, lim, &h, e);
    if (st || !same_image(&h.info, info))
        return not_the_same(st, e);
    source_unbound(s);
    const struct image_codec *c = codecs[info->source_format];
    if (c->metadata)
        st = c->metadata(s, &h, out, e);
    else
        for (int i = 0; !st && i < h.n_pieces; out += h.pieces[i++].len)
            st = source_copy(s, h.pieces[i].off, h.pieces[i].len, out, e);
    return st ? not_the_same(st, e) : STATUS_OK;
}

status image_metadata(const void *data, size_t len, const struct image_info *info,
                      const struct image_limits *lim, void *out, struct errmsg *e)
{
    struct source s;
    source_init_memory(&s, data, len);
    return read_metadata(&s, info, lim, out, e);
}

status image_metadata_fd(int fd, const struct image_info *info, const struct image_limits *lim,
                         void *out, struct errmsg *e)
{
    struct source s;
    source_init_fd(&s, fd, info->file_size);
    return read_metadata(&s, info, lim, out, e);
}

status image_encode(const struct image *img, const struct image_info *info, const void *metadata,
                    size_t metadata_len, void *out, size_t out_len, struct errmsg *e)
{
    if ((unsigned)info->format >= IMAGE_FORMAT_COUNT || info->width != img->width ||
        info->height != img->height || info->channels != img->channels ||
        info->has_alpha != (img->alpha != NULL) || (img->channels != 1 && img->channels != 3))
        return errmsg_set(e, STATUS_INVALID, "the image is not of the kind that was probed");
    const struct image_codec *c = codecs[info->format];
    if (!c->encode || !holds(c, img) || check_size(info, NULL))
        return errmsg_set(e, STATUS_INVALID, "%s cannot hold this image", c->name);
    if (info->encoded_size != encoded_size(info) || out_len != info->encoded_size)
        return errmsg_set(e, STATUS_INVALID, "room for %zu bytes, but the file has %llu", out_len,
                          (unsigned long long)encoded_size(info));
    if (metadata_len != info->metadata_bytes || (metadata_len && !metadata))
        return errmsg_set(e, STATUS_INVALID, "%zu bytes of metadata instead of %zu", metadata_len,
                          info->metadata_bytes);
    return c->encode(img, info, metadata, out, e);
}
