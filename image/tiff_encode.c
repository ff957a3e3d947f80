/*
 * Pixels to TIFF: little-endian, one page, one uncompressed strip.
 *
 *     header | directory | bits of each sample | ICC profile | padding | samples
 *
 * libtiff's readers cut the strip into rows by themselves.
 */
#include "tiff_format.h"

#include <string.h>

enum { FILE_HEAD = 8, ENTRY = 12, BITS_BYTES = 8 };

enum { SHORT = 3, LONG = 4, UNDEFINED = 7 };

static uint32_t n_samples(const struct image_info *i)
{
    return (uint32_t)i->channels + i->has_alpha;
}

static uint32_t n_entries(const struct image_info *i)
{
    return 11u + i->has_alpha + (i->metadata_bytes > 0);
}

/* Relative to the end of the directory. */
static uint32_t values_off(const struct image_info *i)
{
    return FILE_HEAD + 2 + n_entries(i) * ENTRY + 4;
}

static uint64_t samples_bytes(const struct image_info *i)
{
    return (uint64_t)i->width * (uint64_t)i->height * n_samples(i);
}

uint64_t image_tiff_least_size(const struct image_info *info)
{
    return values_off(info) + BITS_BYTES + info->metadata_bytes + samples_bytes(info);
}

static uint8_t *put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    return put16(put16(p, v), v >> 16);
}

/* value: the one value, or where they are. In little-endian order a short value comes first. */
static uint8_t *put_entry(uint8_t *p, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
    return put32(put32(put16(put16(p, tag), type), count), value);
}

static void put_directory(uint8_t *out, const struct image_info *i, uint32_t strip)
{
    uint32_t n = n_samples(i), bits = values_off(i), icc = bits + BITS_BYTES;
    uint8_t *p = put16(out + FILE_HEAD, n_entries(i));
    p = put_entry(p, 256, LONG, 1, (uint32_t)i->width);
    p = put_entry(p, 257, LONG, 1, (uint32_t)i->height);
    p = put_entry(p, 258, SHORT, n, n == 1 ? 8 : n == 2 ? 8 | 8 << 16 : bits);
    p = put_entry(p, 259, SHORT, 1, 1);
    p = put_entry(p, 262, SHORT, 1, i->channels == 3 ? TIFF_RGB : TIFF_BLACK_IS_ZERO);
    p = put_entry(p, 273, LONG, 1, strip);
    p = put_entry(p, 274, SHORT, 1, (uint32_t)i->orientation);
    p = put_entry(p, 277, SHORT, 1, n);
    p = put_entry(p, 278, LONG, 1, (uint32_t)i->height);
    p = put_entry(p, 279, LONG, 1, (uint32_t)samples_bytes(i));
    p = put_entry(p, 284, SHORT, 1, 1);
    if (i->has_alpha)
        p = put_entry(p, 338, SHORT, 1, 2);
    if (i->metadata_bytes)
        p = put_entry(p, 34675, UNDEFINED, (uint32_t)i->metadata_bytes, icc);
    p = put32(p, 0); /* no further page */
    for (uint32_t c = 0; c < BITS_BYTES / 2; c++)
        p = put16(p, 8);
}

status image_tiff_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e)
{
    (void)e;
    uint32_t strip = (uint32_t)(info->encoded_size - samples_bytes(info));
    size_t head = values_off(info) + BITS_BYTES;
    memcpy(out, "II\x2a\0\x08\0\0\0", FILE_HEAD);
    put_directory(out, info, strip);
    if (info->metadata_bytes)
        memcpy(out + head, meta, info->metadata_bytes);
    head += info->metadata_bytes;
    memset(out + head, 0, strip - head);
    uint8_t *p = out + strip;
    if (!img->alpha) {
        memcpy(p, img->pixels, image_pixel_bytes(img));
        return STATUS_OK;
    }
    const uint8_t *from = img->pixels;
    size_t n = (size_t)img->width * (size_t)img->height;
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < img->channels; c++)
            *p++ = *from++;
        *p++ = img->alpha[i];
    }
    return STATUS_OK;
}

/* In both byte orders; Canon's raw files begin in the same way. */
static bool is_tiff(const uint8_t *head, size_t len)
{
    if (len < FILE_HEAD || (len > FILE_HEAD + 2 && memcmp(head + FILE_HEAD, "CR\x02", 3) == 0))
        return false;
    return memcmp(head, "II\x2a\0", 4) == 0 || memcmp(head, "MM\0\x2a", 4) == 0;
}

const struct image_codec image_tiff_codec = {
    .name = "TIFF",
    .is = is_tiff,
    .holds = HOLDS_ALL,
    .max_width = 0x7fffffff,
    .max_height = 0x7fffffff,
    .pad_least = 1,
    .pad_unit = 1,
    .scan = image_tiff_scan,
    .decode = image_tiff_decode,
    .least_size = image_tiff_least_size,
    .encode = image_tiff_encode,
};
