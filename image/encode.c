/* Pixels to files of the size that was probed, and the metadata that goes with them. */
#include "codec.h"

#include <string.h>

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
    if (!image_codecs[format]->encode)
        return errmsg_set(e, STATUS_INVALID, "%s is not written", image_codecs[format]->name);
    if (!holds(image_codecs[format], img))
        return errmsg_set(e, STATUS_INVALID, "%s cannot hold %s%s", image_codecs[format]->name,
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
    if (codec_check_size(&info, e))
        return STATUS_INVALID;
    info.encoded_size = codec_encoded_size(&info);
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
    status st = codec_scan(s, info->file_size, lim, &h, e);
    if (st || !same_image(&h.info, info))
        return not_the_same(st, e);
    source_unbound(s);
    const struct image_codec *c = image_codecs[info->source_format];
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
    const struct image_codec *c = image_codecs[info->format];
    if (!c->encode || !holds(c, img) || codec_check_size(info, NULL))
        return errmsg_set(e, STATUS_INVALID, "%s cannot hold this image", c->name);
    if (info->encoded_size != codec_encoded_size(info) || out_len != info->encoded_size)
        return errmsg_set(e, STATUS_INVALID, "a buffer of %zu bytes, but the file has %llu",
                          out_len, (unsigned long long)codec_encoded_size(info));
    if (metadata_len != info->metadata_bytes || (metadata_len && !metadata))
        return errmsg_set(e, STATUS_INVALID, "%zu bytes of metadata instead of %zu", metadata_len,
                          info->metadata_bytes);
    return c->encode(img, info, metadata, out, e);
}
