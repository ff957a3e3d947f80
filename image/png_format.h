#ifndef IMAGE_PNG_FORMAT_H
#define IMAGE_PNG_FORMAT_H
/* What the three PNG files share. A chunk is length (4), name (4), data, CRC (4) of name and data.
 */
#include "codec.h"

enum {
    PNG_SIGNATURE_BYTES = 8,
    PNG_CHUNK_HEAD = 8,
    PNG_CHUNK_FRAME = 12, /* what a chunk takes besides its data */
    PNG_IHDR_BYTES = 13
};

uint32_t image_png_crc(const void *data, size_t len);
status image_png_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_png_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e) MUST_USE;
uint64_t image_png_least_size(const struct image_info *info);
status image_png_encode(const struct image *img, const struct header *h, const uint8_t *head,
                        uint8_t *out, struct errmsg *e) MUST_USE;

#endif
