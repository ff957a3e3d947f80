#ifndef IMAGE_WEBP_FORMAT_H
#define IMAGE_WEBP_FORMAT_H
/*
 * What the WebP files share. A file is "RIFF", size (4), "WEBP", then chunks: name (4), size (4,
 * little-endian, of the data), data, a zero byte when the size is odd.
 */
#include "codec.h"

enum { RIFF_HEAD = 12, RIFF_CHUNK_HEAD = 8, WEBP_X_BYTES = 10 };

/* In the first byte of VP8X. */
enum {
    WEBP_ANIMATION = 0x02,
    WEBP_XMP = 0x04,
    WEBP_EXIF = 0x08,
    WEBP_ALPHA = 0x10,
    WEBP_ICC = 0x20
};

/* Where the image that is decoded is in the file: the only one, or the first of an animation. */
struct webp_image {
    uint64_t off, end; /* its chunks: ALPH and VP8, or VP8L */
    bool lossless;
    bool animated; /* the rest is only then not the whole canvas */
    int x, y, width, height;
};

status image_webp_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
/* Fills the layout of a file that scan accepts. */
status image_webp_find(struct source *s, struct webp_image *out, struct errmsg *e) MUST_USE;
status image_webp_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e) MUST_USE;
uint64_t image_webp_least_size(const struct image_info *info);
status image_webp_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e) MUST_USE;

#endif
