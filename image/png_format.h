#ifndef IMAGE_PNG_FORMAT_H
#define IMAGE_PNG_FORMAT_H
/* What the PNG files share. A chunk is length (4), name (4), data, CRC (4) of name and data. */
#include "codec.h"

enum {
    PNG_SIGNATURE_BYTES = 8,
    PNG_CHUNK_HEAD = 8,
    PNG_CHUNK_FRAME = 12, /* what a chunk takes besides its data */
    PNG_IHDR_BYTES = 13,
    /* At the end of the metadata of a file that was probed: room for a chunk that tells the
       orientation, which is padding where it is not needed. */
    PNG_SLOT = 112
};

enum png_color { PNG_GREY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GREY_ALPHA = 4, PNG_RGBA = 6 };

struct png_chunk {
    uint64_t off; /* of its length field */
    uint32_t len;
    char type[5]; /* "" for none */
};

/* What decoding needs to know of the header besides struct header. */
struct png_look {
    unsigned color;
    bool interlaced;
    struct png_chunk plte, trns, idat; /* the ones that count: the first IDAT */
};

/* The chunk at off; CORRUPT unless its name is one. Its data may reach beyond the file. */
status image_png_chunk(struct source *s, uint64_t off, struct png_chunk *out,
                       struct errmsg *e) MUST_USE;
uint64_t image_png_next(const struct png_chunk *c); /* the place behind it */

uint32_t image_png_crc(const void *data, size_t len);
/* Chunks of no meaning that take n bytes, 0 or at least PNG_CHUNK_FRAME; gives the place behind. */
uint8_t *image_png_put_padding(uint8_t *p, uint64_t n);
uint8_t *image_png_put_chunk(uint8_t *p, const char *type, const void *data, uint32_t len);

status image_png_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_png_look(struct source *s, struct png_look *out, struct errmsg *e) MUST_USE;
status image_png_metadata(struct source *s, const struct header *h, uint8_t *out,
                          struct errmsg *e) MUST_USE;
status image_png_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e) MUST_USE;
uint64_t image_png_least_size(const struct image_info *info);
status image_png_encode(const struct image *img, const struct image_info *info, const uint8_t *meta,
                        uint8_t *out, struct errmsg *e) MUST_USE;

#endif
