#ifndef IMAGE_BMP_FORMAT_H
#define IMAGE_BMP_FORMAT_H
/* What the BMP files share. Numbers are little-endian. */
#include "codec.h"

enum { BMP_FILE_HEAD = 14, BMP_CORE_BYTES = 12, BMP_INFO_BYTES = 40, BMP_V4_BYTES = 108 };

enum bmp_compression { BMP_RAW, BMP_RLE8, BMP_RLE4, BMP_MASKS };

/* Where a channel's bits are in a pixel of 16 or 32 bits; width 0: the channel is not there. */
struct bmp_channel {
    uint8_t shift, width;
};

struct bmp_layout {
    uint32_t off;  /* of the rows */
    int bits;      /* of a pixel: 1, 4, 8, 16, 24, 32 */
    bool top_down; /* rows are stored from the bottom up otherwise */
    enum bmp_compression compression;
    struct bmp_channel channel[4]; /* red, green, blue, alpha: for 16 and 32 bits */
    uint32_t palette_off;
    uint32_t colors;   /* entries of the palette; 0 without */
    int entry_bytes;   /* of an entry: 3 or 4 */
    bool grey_palette; /* the palette maps each index to the grey of that value */
};

/* Of OS/2, and of Windows' versions. */
static inline bool bmp_is_head_size(uint32_t n)
{
    return n == BMP_CORE_BYTES || n == BMP_INFO_BYTES || n == 52 || n == 56 || n == 64 ||
           n == BMP_V4_BYTES || n == 124;
}

static inline uint64_t bmp_stride(int width, int bits)
{
    return ((uint64_t)width * (uint64_t)bits + 31) / 32 * 4;
}

/* Reads the header; refuses what PIL and OpenCV refuse. */
status image_bmp_layout(struct source *s, struct bmp_layout *out, struct image_info *info,
                        struct errmsg *e) MUST_USE;
status image_bmp_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_bmp_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e) MUST_USE;
uint64_t image_bmp_least_size(const struct image_info *info);
status image_bmp_encode(const struct image *img, const struct image_info *info, const uint8_t *meta,
                        uint8_t *out, struct errmsg *e) MUST_USE;

#endif
