#ifndef IMAGE_TIFF_FORMAT_H
#define IMAGE_TIFF_FORMAT_H
/* What the TIFF files share. Of a file of several pages the first is read. */
#include "codec.h"

enum tiff_photometric {
    TIFF_WHITE_IS_ZERO,
    TIFF_BLACK_IS_ZERO,
    TIFF_RGB,
    TIFF_PALETTE,
    TIFF_CMYK = 5,
    TIFF_YCC = 6
};

enum tiff_alpha { TIFF_NO_ALPHA, TIFF_PREMULTIPLIED, TIFF_ALPHA };

struct tiff_layout {
    bool little;
    uint32_t width, height;
    uint32_t bits;        /* of a sample, the same for all: 1, 2, 4, 8, 16 */
    uint32_t samples;     /* of a pixel */
    uint32_t photometric; /* enum tiff_photometric */
    uint32_t compression;
    bool separate; /* each sample is in a plane of its own */
    enum tiff_alpha alpha;
    uint32_t tile_width, tile_height; /* 0: strips */
    uint32_t orientation;             /* 0: none */
    uint64_t icc_off, icc_len;        /* 0: none */
};

/* Colour samples of a pixel in the file. */
static inline uint32_t tiff_colors(const struct tiff_layout *l)
{
    return l->photometric == TIFF_CMYK                                ? 4
           : l->photometric == TIFF_RGB || l->photometric == TIFF_YCC ? 3
                                                                      : 1;
}

enum { TIFF_COMPRESSION_JPEG = 7 };

/* The first directory; *out_end: the end of what was looked at. */
status image_tiff_layout(struct source *s, struct tiff_layout *out, uint64_t *out_end,
                         struct errmsg *e) MUST_USE;
status image_tiff_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_tiff_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e) MUST_USE;
uint64_t image_tiff_least_size(const struct image_info *info);
status image_tiff_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e) MUST_USE;

#endif
