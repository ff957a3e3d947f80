#ifndef IMAGE_CODEC_H
#define IMAGE_CODEC_H
/*
 * codec: what each file format provides; codec.c holds the table and is the only caller.
 *
 * Everything that decides encoded_size comes from `scan`, which reads the header only and is used
 * alike by probe, decode and encode, so that the three cannot disagree, and from the file's size.
 */
#include "image.h"
#include "source.h"

/* EXIF and at most 255 ICC segments (JPEG); PNG needs fewer. */
enum { HEADER_MAX_PIECES = 256 };

/* A run of kept metadata, framing included, that is copied to the output as it is. */
struct header_piece {
    uint64_t off; /* in the source file */
    uint32_t len;
};

struct header {
    struct image_info info; /* file_size, encoded_size and complete are filled in by codec.c */
    uint64_t least_bytes;   /* no file with this header can be smaller */
    int n_pieces;
    struct header_piece pieces[HEADER_MAX_PIECES];
};

struct image_codec {
    const char *name;
    const uint8_t *magic; /* the file's first bytes */
    size_t magic_len;
    const uint8_t *end_mark; /* its last bytes when nothing follows the image */
    size_t end_mark_len;
    bool alpha; /* the format can hold it */
    uint64_t max_width, max_height;
    /* What the format's way of holding meaningless bytes can hold: pad_least bytes or more, in
       multiples of pad_unit (both at least 1). */
    uint32_t pad_least, pad_unit;

    /* Fills out->info (all but file_size, encoded_size and complete) and the pieces. Reads up to
       the image data and no further. */
    status (*scan)(struct source *s, struct header *out, struct errmsg *e);
    /* Fills img, which is allocated as h says. */
    status (*decode)(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                     struct errmsg *e);
    /* The bytes without padding: a pure function of width, height, channels, has_alpha and
       metadata_bytes. */
    uint64_t (*least_size)(const struct image_info *info);
    /* Writes exactly h->info.encoded_size bytes: least_size of them, and padding for the rest. head
       holds the pieces. */
    status (*encode)(const struct image *img, const struct header *h, const uint8_t *head,
                     uint8_t *out, struct errmsg *e);
};

extern const struct image_codec image_png_codec;
extern const struct image_codec image_jpeg_codec;

/* Copies the kept metadata to out and returns the place behind it. */
uint8_t *header_copy_pieces(const struct header *h, const uint8_t *head, uint8_t *out);
/* Appends a piece; LIMIT when there are too many. */
status header_add_piece(struct header *h, uint64_t off, uint32_t len, struct errmsg *e) MUST_USE;

#endif
