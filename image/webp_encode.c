/*
 * Pixels to a lossless WebP of a size that only the header decides.
 *
 *     RIFF | VP8X | ICCP | VP8L | EXIF | XMP | JUNK, the padding
 *
 * VP8L is written here: no transform, no colour cache, no copies, and prefix codes in which each of
 * the 256 literals of a channel is of eight bits. A pixel is then its bytes (green, red, blue,
 * alpha) with their bits in reverse, for codes are read from their highest bit on. Without alpha
 * that channel's code has the one symbol 255, of no bits.
 *
 * A code's lengths are themselves sent through a prefix code of lengths. The one length that occurs
 * is 8, so a code of no bits does, and the lengths themselves take no bits. The green channel's
 * alphabet goes on with 24 symbols for copies, which have no code: its lengths are said to end at
 * 256. The header is stretched (by zero lengths, which are allowed) so that the pixels begin on a
 * byte.
 */
#include "webp_format.h"

#include <string.h>

enum {
    CHUNKS_BYTES = RIFF_HEAD + RIFF_CHUNK_HEAD + WEBP_X_BYTES,
    CODE_HEAD = 26,      /* of the VP8L data, without alpha */
    CODE_HEAD_ALPHA = 29 /* with */
};

static uint64_t vp8l_bytes(const struct image_info *i)
{
    uint64_t pixels = (uint64_t)i->width * (uint64_t)i->height;
    return i->has_alpha ? CODE_HEAD_ALPHA + 4 * pixels : CODE_HEAD + 3 * pixels;
}

uint64_t image_webp_least_size(const struct image_info *info)
{
    uint64_t data = vp8l_bytes(info);
    return CHUNKS_BYTES + info->metadata_bytes + RIFF_CHUNK_HEAD + data + (data & 1);
}

static uint8_t *put24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    return p + 3;
}

static uint8_t *put_chunk_head(uint8_t *p, const char *name, uint64_t len)
{
    memcpy(p, name, 4);
    put24(p + 4, (uint32_t)len);
    p[7] = (uint8_t)(len >> 24);
    return p + RIFF_CHUNK_HEAD;
}

/* ---- VP8L ---- */

struct bits {
    uint8_t *p;
    uint32_t pending, count; /* count < 8 bits */
};

static void put_bits(struct bits *b, uint32_t value, int n)
{
    for (int i = 0; i < n; i++) {
        b->pending |= (value >> i & 1) << b->count;
        if (++b->count == 8) {
            *b->p++ = (uint8_t)b->pending;
            b->pending = b->count = 0;
        }
    }
}

/* A code of the 256 literals, all of eight bits. Lengths of lengths come in the order 17 18 0 1 2 3
   4 5 16 6 7 8; that of 8 is 1, all others 0. */
static void put_literal_code(struct bits *b, int more_lengths, bool green)
{
    put_bits(b, 0, 1); /* not a simple code */
    put_bits(b, (uint32_t)(12 - 4 + more_lengths), 4);
    for (int i = 0; i < 11; i++)
        put_bits(b, 0, 3);
    put_bits(b, 1, 3);
    for (int i = 0; i < more_lengths; i++)
        put_bits(b, 0, 3);
    put_bits(b, green, 1); /* whether the lengths end early */
    if (green) {
        put_bits(b, 3, 3); /* the end's number has 2 + 2 * 3 bits */
        put_bits(b, 256 - 2, 8);
    }
}

/* A code of one symbol, which takes no bits. */
static void put_single_code(struct bits *b, uint32_t symbol, int symbol_bits)
{
    put_bits(b, 1, 1); /* a simple code */
    put_bits(b, 0, 1); /* of one symbol */
    put_bits(b, symbol_bits == 8, 1);
    put_bits(b, symbol, symbol_bits);
}

static uint8_t *put_code_head(uint8_t *p, const struct image *img)
{
    struct bits b = {.p = p};
    bool alpha = img->alpha;
    put_bits(&b, 0x2f, 8);
    put_bits(&b, (uint32_t)img->width - 1, 14);
    put_bits(&b, (uint32_t)img->height - 1, 14);
    put_bits(&b, alpha, 1);
    put_bits(&b, 0, 3);            /* version */
    put_bits(&b, 0, 3);            /* no transform, no colour cache, one set of codes */
    put_literal_code(&b, 0, true); /* green */
    put_literal_code(&b, alpha ? 1 : 2, false); /* red */
    put_literal_code(&b, alpha ? 1 : 0, false); /* blue */
    if (alpha)
        put_literal_code(&b, 0, false);
    else
        put_single_code(&b, 255, 8);
    put_single_code(&b, 0, alpha ? 1 : 8); /* distances */
    CHECK(b.count == 0 && b.p - p == (alpha ? CODE_HEAD_ALPHA : CODE_HEAD));
    return b.p;
}

static void fill_reversed(uint8_t table[256])
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned v = (i & 0xf0) >> 4 | (i & 0x0f) << 4;
        v = (v & 0xcc) >> 2 | (v & 0x33) << 2;
        table[i] = (uint8_t)((v & 0xaa) >> 1 | (v & 0x55) << 1);
    }
}

static uint8_t *put_vp8l(uint8_t *p, const struct image *img)
{
    uint8_t reversed[256];
    fill_reversed(reversed);
    p = put_code_head(p, img);
    const uint8_t *from = img->pixels;
    size_t n = (size_t)img->width * (size_t)img->height;
    for (size_t i = 0; i < n; i++, from += 3) {
        *p++ = reversed[from[1]];
        *p++ = reversed[from[0]];
        *p++ = reversed[from[2]];
        if (img->alpha)
            *p++ = reversed[img->alpha[i]];
    }
    return p;
}

/* ---- the file ---- */

/* Copies the kept chunks of one kind and sets its flag. */
static uint8_t *put_kept(uint8_t *p, const uint8_t *meta, size_t len, const char *name,
                         uint8_t flag, uint8_t *flags)
{
    while (len >= RIFF_CHUNK_HEAD) {
        size_t n = RIFF_CHUNK_HEAD +
                   ((size_t)meta[7] << 24 | (size_t)meta[6] << 16 | (size_t)meta[5] << 8 | meta[4]);
        n += n & 1;
        if (n > len)
            n = len; /* not what image_metadata gave */
        if (memcmp(meta, name, 4) == 0) {
            memcpy(p, meta, n);
            p += n;
            *flags |= flag;
        }
        meta += n;
        len -= n;
    }
    return p;
}

status image_webp_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e)
{
    uint64_t data = vp8l_bytes(info);
    uint64_t padding = info->encoded_size - image_webp_least_size(info);
    uint8_t *p = put_chunk_head(out, "RIFF", info->encoded_size - RIFF_CHUNK_HEAD);
    memcpy(p, "WEBP", 4);
    p = put_chunk_head(out + RIFF_HEAD, "VP8X", WEBP_X_BYTES);
    uint8_t *flags = p;
    memset(p, 0, 4);
    flags[0] = img->alpha ? WEBP_ALPHA : 0;
    p = put24(p + 4, (uint32_t)img->width - 1);
    p = put24(p, (uint32_t)img->height - 1);
    p = put_kept(p, meta, info->metadata_bytes, "ICCP", WEBP_ICC, flags);
    p = put_vp8l(put_chunk_head(p, "VP8L", data), img);
    if (data & 1)
        *p++ = 0;
    p = put_kept(p, meta, info->metadata_bytes, "EXIF", WEBP_EXIF, flags);
    p = put_kept(p, meta, info->metadata_bytes, "XMP ", WEBP_XMP, flags);
    if ((uint64_t)(p - out) + padding != info->encoded_size)
        return errmsg_set(e, STATUS_INVALID, "WebP: the metadata is not that of an image");
    if (padding) {
        p = put_chunk_head(p, "JUNK", padding - RIFF_CHUNK_HEAD);
        memset(p, 0, (size_t)padding - RIFF_CHUNK_HEAD);
    }
    return STATUS_OK;
}

static const uint8_t magic[] = {'R', 'I', 'F', 'F'};

static bool is_webp(const uint8_t *head, size_t len)
{
    return len >= RIFF_HEAD && memcmp(head + 8, "WEBP", 4) == 0;
}

const struct image_codec image_webp_codec = {
    .name = "WebP",
    .magic = magic,
    .magic_len = sizeof magic,
    .is = is_webp,
    .holds = HOLDS_RGB | HOLDS_RGBA,
    .max_width = 16383,
    .max_height = 16383,
    .pad_least = RIFF_CHUNK_HEAD,
    .pad_unit = 2,
    .scan = image_webp_scan,
    .decode = image_webp_decode,
    .least_size = image_webp_least_size,
    .encode = image_webp_encode,
};
