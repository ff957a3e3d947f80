/*
 * Pixels to PNG of a size that only the header decides.
 *
 *     signature | IHDR | kept metadata | IDAT | orientation | padding | IEND
 *
 * IDAT is a zlib stream of deflate "stored" blocks: 2 bytes of header, then per 65535 bytes of rows
 * 5 bytes (final flag, length, its complement), then Adler-32. A row is one filter byte (0: none)
 * and the samples. Written by hand because it is twenty lines, allocates nothing, cannot fail, and
 * does not depend on how a version of zlib cuts its stored blocks.
 *
 * Padding is chunks of zero bytes, of a name that says: ancillary, private, safe to copy.
 *
 * Measured (PIL 9.4, zlib 1.2.13, 64x64 photographs): stored files are written 2.5 times and
 * read 1.8 times as fast as compressed ones, which would be padded to the same size.
 */
#include "png_format.h"

#include <string.h>
#include <zlib.h>

enum { STORED_MAX = 65535, BLOCK_HEAD = 5, ZLIB_HEAD = 2, ZLIB_TAIL = 4 };

/* Readers built on libpng refuse chunks of more than 8 MB, other than IDAT. */
enum { PAD_MAX = 1 << 20 };

static const uint8_t signature[PNG_SIGNATURE_BYTES] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
static const uint8_t iend[PNG_CHUNK_FRAME] = {0,   0,   0,    0,    'I',  'E',
                                              'N', 'D', 0xae, 0x42, 0x60, 0x82};

uint32_t image_png_crc(const void *data, size_t len)
{
    return (uint32_t)crc32_z(0, data, len);
}

static uint64_t raw_bytes(const struct image_info *i)
{
    uint64_t row = (uint64_t)i->width * (uint64_t)(i->channels + i->has_alpha);
    return (uint64_t)i->height * (row + 1);
}

static uint64_t zlib_bytes(uint64_t raw)
{
    return ZLIB_HEAD + raw + BLOCK_HEAD * ((raw + STORED_MAX - 1) / STORED_MAX) + ZLIB_TAIL;
}

uint64_t image_png_least_size(const struct image_info *info)
{
    return PNG_SIGNATURE_BYTES + PNG_CHUNK_FRAME + PNG_IHDR_BYTES + info->metadata_bytes +
           PNG_CHUNK_FRAME + zlib_bytes(raw_bytes(info)) + PNG_CHUNK_FRAME;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
    return p + 4;
}

/* A chunk whose data is in place already: writes what stands around it, returns the place behind.
 */
static uint8_t *frame_chunk(uint8_t *chunk, const char *type, uint32_t len)
{
    put32(chunk, len);
    memcpy(chunk + 4, type, 4);
    return put32(chunk + PNG_CHUNK_HEAD + len, image_png_crc(chunk + 4, 4 + (size_t)len));
}

/* Writes rows as stored blocks. */
struct stored {
    uint8_t *p;
    uint64_t raw_left;   /* bytes that are still to come in all */
    uint32_t block_left; /* bytes that still fit into the open block */
    uint32_t adler;
};

static void stored_open_block(struct stored *s)
{
    uint32_t n = s->raw_left < STORED_MAX ? (uint32_t)s->raw_left : STORED_MAX;
    s->p[0] = n == s->raw_left; /* final */
    s->p[1] = (uint8_t)n;
    s->p[2] = (uint8_t)(n >> 8);
    s->p[3] = (uint8_t)~n;
    s->p[4] = (uint8_t)(~n >> 8);
    s->p += BLOCK_HEAD;
    s->block_left = n;
}

static void stored_put(struct stored *s, const uint8_t *data, size_t len)
{
    s->adler = (uint32_t)adler32_z(s->adler, data, len);
    while (len) {
        if (!s->block_left)
            stored_open_block(s);
        size_t n = len < s->block_left ? len : s->block_left;
        memcpy(s->p, data, n);
        s->p += n;
        data += n;
        len -= n;
        s->block_left -= (uint32_t)n;
        s->raw_left -= n;
    }
}

/* One row with its alpha, interleaved a piece at a time. */
static void put_row_alpha(struct stored *s, const uint8_t *row, const uint8_t *alpha, int width,
                          int channels)
{
    uint8_t piece[256 * 4];
    for (int x = 0; x < width;) {
        uint8_t *to = piece;
        for (int n = 0; n < 256 && x < width; n++, x++) {
            for (int c = 0; c < channels; c++)
                *to++ = *row++;
            *to++ = alpha[x];
        }
        stored_put(s, piece, (size_t)(to - piece));
    }
}

static uint8_t *put_zlib(uint8_t *p, const struct image *img, uint64_t raw)
{
    static const uint8_t filter_none = 0;
    size_t stride = (size_t)img->width * (size_t)img->channels;
    p[0] = 0x78; /* deflate, 32 KiB window */
    p[1] = 0x01; /* fastest; makes the two bytes a multiple of 31 */
    struct stored s = {.p = p + ZLIB_HEAD, .raw_left = raw, .adler = 1};
    for (size_t y = 0; y < (size_t)img->height; y++) {
        const uint8_t *row = img->pixels + y * stride;
        stored_put(&s, &filter_none, 1);
        if (img->alpha)
            put_row_alpha(&s, row, img->alpha + y * (size_t)img->width, img->width, img->channels);
        else
            stored_put(&s, row, stride);
    }
    return put32(s.p, s.adler);
}

static uint8_t *put_ihdr(uint8_t *chunk, const struct image *img)
{
    uint8_t *p = put32(chunk + PNG_CHUNK_HEAD, (uint32_t)img->width);
    p = put32(p, (uint32_t)img->height);
    p[0] = 8;
    p[1] = (uint8_t)((img->channels == 3 ? 2 : 0) + (img->alpha ? 4 : 0));
    p[2] = p[3] = p[4] = 0; /* deflate, adaptive filters, not interlaced */
    return frame_chunk(chunk, "IHDR", PNG_IHDR_BYTES);
}

uint8_t *image_png_put_chunk(uint8_t *p, const char *type, const void *data, uint32_t len)
{
    memcpy(p + PNG_CHUNK_HEAD, data, len);
    return frame_chunk(p, type, len);
}

uint8_t *image_png_put_padding(uint8_t *p, uint64_t left)
{
    while (left) { /* what is left after each chunk is 0 or enough for another */
        uint64_t n = left < PAD_MAX ? left : PAD_MAX;
        if (left - n > 0 && left - n < PNG_CHUNK_FRAME)
            n -= PNG_CHUNK_FRAME;
        memset(p + PNG_CHUNK_HEAD, 0, (size_t)n - PNG_CHUNK_FRAME);
        p = frame_chunk(p, "paDd", (uint32_t)n - PNG_CHUNK_FRAME);
        left -= n;
    }
    return p;
}

static uint8_t *put_bytes(uint8_t *p, const uint8_t *data, size_t n)
{
    if (n)
        memcpy(p, data, n);
    return p + n;
}

status image_png_encode(const struct image *img, const struct image_info *info, const uint8_t *meta,
                        uint8_t *out, struct errmsg *e)
{
    (void)e;
    uint64_t raw = raw_bytes(info);
    size_t behind = info->metadata_bytes ? PNG_SLOT : 0; /* the image data, as in the source */
    size_t before = info->metadata_bytes - behind;
    memcpy(out, signature, sizeof signature);
    uint8_t *p = put_ihdr(out + sizeof signature, img);
    p = put_bytes(p, meta, before);
    put_zlib(p + PNG_CHUNK_HEAD, img, raw);
    p = frame_chunk(p, "IDAT", (uint32_t)zlib_bytes(raw));
    if (behind)
        p = put_bytes(p, meta + before, behind);
    p = image_png_put_padding(p, info->encoded_size - image_png_least_size(info));
    memcpy(p, iend, sizeof iend);
    CHECK((uint64_t)(p + sizeof iend - out) == info->encoded_size);
    return STATUS_OK;
}

const struct image_codec image_png_codec = {
    .name = "PNG",
    .magic = signature,
    .magic_len = sizeof signature,
    .holds = HOLDS_ALL,
    .max_width = 0x7fffffff,
    .max_height = 0x7fffffff,
    .pad_least = PNG_CHUNK_FRAME,
    .pad_unit = 1,
    .scan = image_png_scan,
    .decode = image_png_decode,
    .least_size = image_png_least_size,
    .metadata = image_png_metadata,
    .encode = image_png_encode,
};
