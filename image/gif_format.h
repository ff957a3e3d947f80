#ifndef IMAGE_GIF_FORMAT_H
#define IMAGE_GIF_FORMAT_H
/*
 * GIF: read only. 256 colours cannot hold purified pixels, so a GIF is shown as a PNG with the
 * GIF's name; loaders look at the content.
 */
#include "codec.h"

#include <string.h>

enum { GIF_HEAD = 13, GIF_FRAME_HEAD = 10 };

/* The first frame, and what stands before it. */
struct gif_layout {
    int left, top, width, height; /* on the screen */
    uint64_t frame_off;           /* of its head */
    uint64_t palette_off;         /* of the palette that is used; 0: none, indices are greys */
    int colors;
    bool grey_palette; /* the palette maps each index to the grey of that value */
    bool interlaced;
    int transparent; /* an index; -1: none */
};

/* The header; info: width, height and header_bytes. */
status image_gif_layout(struct source *s, struct gif_layout *out, struct image_info *info,
                        struct errmsg *e) MUST_USE;
status image_gif_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_gif_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e) MUST_USE;

#endif
