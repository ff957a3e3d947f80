/* Headers: what an image is, and how large it is as it is shown. */
#include "codec.h"

#include <string.h>

/*
 * More than this many bytes of samples would not fit the 31-bit length of one PNG chunk with its
 * framing; far beyond any limit that makes sense.
 */
static const uint64_t MAX_SAMPLE_BYTES = 0x7f000000;

status codec_check_size(const struct image_info *i, struct errmsg *e)
{
    const struct image_codec *c = image_codecs[i->format];
    if (i->width < 1 || i->height < 1)
        return errmsg_set(e, STATUS_CORRUPT, "%s of size %dx%d", c->name, i->width, i->height);
    uint64_t row = (uint64_t)i->width * (uint64_t)(i->channels + i->has_alpha) + 1;
    if ((uint64_t)i->width > c->max_width || (uint64_t)i->height > c->max_height ||
        row > MAX_SAMPLE_BYTES / (uint64_t)i->height)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels cannot be written as one %s", i->width,
                          i->height, c->name);
    return STATUS_OK;
}

uint64_t codec_encoded_size(const struct image_info *i)
{
    const struct image_codec *c = image_codecs[i->format];
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
    status st = codec_check_size(i, e);
    if (st)
        return st;
    if ((uint64_t)i->width * (uint64_t)i->height > lim->max_pixels)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit of %llu", i->width,
                          i->height, (unsigned long long)lim->max_pixels);
    return STATUS_OK;
}

/* A format that is not written is shown as a PNG, which holds any image. */
static enum image_format shown_as(enum image_format source)
{
    return image_codecs[source]->encode ? source : IMAGE_PNG;
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

status codec_scan(struct source *s, uint64_t file_size, const struct image_limits *lim,
                  struct header *out, struct errmsg *e)
{
    enum image_format format;
    if (file_size > lim->max_file_bytes)
        return errmsg_set(e, STATUS_LIMIT, "%llu bytes are over the limit of %llu",
                          (unsigned long long)file_size, (unsigned long long)lim->max_file_bytes);
    status st = find_codec(s, &format, e);
    if (st)
        return st;
    const struct image_codec *c = image_codecs[format];
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
    out->info.encoded_size = codec_encoded_size(&out->info);
    return STATUS_OK;
}

status codec_check_bytes(const struct header *h, uint64_t file_bytes, struct errmsg *e)
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
    status st = codec_scan(&s, file_size, lim, &h, e);
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
    status st = codec_scan(&s, file_size, lim, &h, e);
    if (!st)
        st = codec_check_bytes(&h, file_size, e);
    if (st)
        return st;
    *out_info = h.info;
    return STATUS_OK;
}
