/*
 * Pixels to BMP: uncompressed, from the bottom up; 24 bits, 8 bits with a palette of greys, or 32
 * bits with the masks of a version 4 header, which say that the fourth byte is alpha. Padding is
 * between the header and the rows, whose offset the header gives.
 */
#include "bmp_format.h"

#include <string.h>

enum { GREY_PALETTE_BYTES = 4 * 256, PIXELS_PER_METRE = 3780 /* 96 dpi */ };

static int bits_of(const struct image_info *i)
{
    return i->has_alpha ? 32 : i->channels == 3 ? 24 : 8;
}

static uint32_t head_bytes(const struct image_info *i)
{
    return BMP_FILE_HEAD + (i->has_alpha ? BMP_V4_BYTES : BMP_INFO_BYTES) +
           (i->channels == 1 ? GREY_PALETTE_BYTES : 0);
}

static uint64_t rows_bytes(const struct image_info *i)
{
    return bmp_stride(i->width, bits_of(i)) * (uint64_t)i->height;
}

uint64_t image_bmp_least_size(const struct image_info *info)
{
    return head_bytes(info) + rows_bytes(info);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

static void put_head(uint8_t *out, const struct image_info *i, uint32_t off)
{
    memset(out, 0, head_bytes(i));
    out[0] = 'B';
    out[1] = 'M';
    put32(out + 2, (uint32_t)i->encoded_size);
    put32(out + 10, off);
    uint8_t *p = out + BMP_FILE_HEAD;
    put32(p, i->has_alpha ? BMP_V4_BYTES : BMP_INFO_BYTES);
    put32(p + 4, (uint32_t)i->width);
    put32(p + 8, (uint32_t)i->height);
    put16(p + 12, 1);
    put16(p + 14, (uint32_t)bits_of(i));
    put32(p + 16, i->has_alpha ? BMP_MASKS : BMP_RAW);
    put32(p + 20, (uint32_t)rows_bytes(i));
    put32(p + 24, PIXELS_PER_METRE);
    put32(p + 28, PIXELS_PER_METRE);
    if (i->has_alpha) {
        put32(p + 40, 0x00ff0000); /* red */
        put32(p + 44, 0x0000ff00);
        put32(p + 48, 0x000000ff);
        put32(p + 52, 0xff000000);
        memcpy(p + 56, "BGRs", 4); /* sRGB */
    }
    if (i->channels == 1) {
        put32(p + 32, 256);
        put32(p + 36, 256);
        for (uint32_t grey = 0; grey < 256; grey++)
            put32(p + BMP_INFO_BYTES + 4 * grey, grey << 16 | grey << 8 | grey);
    }
}

/* Returns the place behind the row's samples. */
static uint8_t *put_row(uint8_t *p, const struct image *img, size_t y)
{
    size_t width = (size_t)img->width;
    const uint8_t *from = img->pixels + y * width * (size_t)img->channels;
    const uint8_t *alpha = img->alpha ? img->alpha + y * width : NULL;
    if (img->channels == 1) {
        memcpy(p, from, width);
        return p + width;
    }
    for (size_t x = 0; x < width; x++, from += 3) {
        *p++ = from[2];
        *p++ = from[1];
        *p++ = from[0];
        if (alpha)
            *p++ = alpha[x];
    }
    return p;
}

status image_bmp_encode(const struct image *img, const struct image_info *i, const uint8_t *meta,
                        uint8_t *out, struct errmsg *e)
{
    (void)meta;
    (void)e;
    uint64_t stride = bmp_stride(i->width, bits_of(i));
    size_t off = (size_t)(i->encoded_size - rows_bytes(i));
    put_head(out, i, (uint32_t)off);
    memset(out + head_bytes(i), 0, off - head_bytes(i));
    for (size_t y = 0; y < (size_t)img->height; y++) {
        uint8_t *row = out + off + ((size_t)img->height - 1 - y) * stride;
        uint8_t *end = put_row(row, img, y);
        memset(end, 0, (size_t)(row + stride - end));
    }
    return STATUS_OK;
}

static const uint8_t magic[] = {'B', 'M'};

/* Two letters are not enough to recognise a BMP: the header's size must be one of the known ones,
   too. */
static bool is_bmp(const uint8_t *head, size_t len)
{
    if (len < BMP_FILE_HEAD + 4)
        return false;
    const uint8_t *size = head + BMP_FILE_HEAD;
    return bmp_is_head_size(size[0]) && memcmp(size + 1, "\0\0", 3) == 0;
}

const struct image_codec image_bmp_codec = {
    .name = "BMP",
    .magic = magic,
    .magic_len = sizeof magic,
    .is = is_bmp,
    .holds = HOLDS_GREY | HOLDS_RGB | HOLDS_RGBA,
    .max_width = 1 << 24, /* so that rows of padding do not outgrow the 32 bits of a size */
    .max_height = 1 << 24,
    .pad_least = 1,
    .pad_unit = 1,
    .scan = image_bmp_scan,
    .decode = image_bmp_decode,
    .least_size = image_bmp_least_size,
    .encode = image_bmp_encode,
};
