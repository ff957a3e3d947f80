#ifndef IMAGE_CODEC_H
#define IMAGE_CODEC_H
/*
 * codec: what each file format provides. codec.c holds the table; probe.c, decode.c and encode.c
 * are the only callers.
 *
 * Everything that decides encoded_size comes from `scan`, which reads the header only and is used
 * alike by probe, decode and encode, so that the three cannot disagree, and from the file's size.
 */
#include "image.h"
#include "source.h"

/* At most 255 ICC segments (JPEG), and EXIF and XMP. */
enum { HEADER_MAX_PIECES = 320 };

enum piece_kind { PIECE_ORIENTATION, /* may give the image's orientation */ PIECE_COLOR };

/* A run of kept metadata, framing included, that is copied to the output as it is. */
struct header_piece {
    uint64_t off; /* in the source file */
    uint32_t len;
    enum piece_kind kind;
};

struct header {
    struct image_info info; /* file_size and encoded_size are filled in by codec.c */
    uint64_t least_bytes;   /* no file with this header can be smaller */
    uint64_t max_metadata;  /* set before the scan */
    bool no_color;          /* the colour pieces did not fit, and are left out */
    int n_pieces;
    struct header_piece pieces[HEADER_MAX_PIECES];
};

/* Kinds of image, for image_codec.holds. */
enum { HOLDS_GREY = 1, HOLDS_GREY_ALPHA = 2, HOLDS_RGB = 4, HOLDS_RGBA = 8, HOLDS_ALL = 15 };

/* As many first bytes as `is` looks at. */
enum { CODEC_HEAD_BYTES = 32 };

struct image_codec {
    const char *name;
    const uint8_t *magic; /* (optional) the file's first bytes */
    size_t magic_len;
    /* (optional) what else must be true of the first bytes, which begin with magic; len may be less
       than CODEC_HEAD_BYTES. */
    bool (*is)(const uint8_t *head, size_t len);
    /* What can be written. A format without an encoder is only read, and shown as a PNG; then this
       and what follows but for scan and decode is not filled in. */
    unsigned holds; /* kinds of image */
    uint64_t max_width, max_height;
    /* What the format's way of holding meaningless bytes can hold: pad_least bytes or more, in
       multiples of pad_unit (both at least 1). */
    uint32_t pad_least, pad_unit;

    /* Fills out->info (all but the formats, file_size and encoded_size) and the pieces.
       Reads up to the image data and no further, unless kept metadata stands behind it.
       info.metadata_bytes begins at 0 and counts the pieces; a format may add to it what its
       `metadata` writes besides. */
    status (*scan)(struct source *s, struct header *out, struct errmsg *e);
    /* Fills img, which is allocated as h says. */
    status (*decode)(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                     struct errmsg *e);
    /* The bytes without padding: a pure function of width, height, channels, has_alpha and
       metadata_bytes. */
    uint64_t (*least_size)(const struct image_info *info);
    /* (optional; the pieces as they are) Writes h->info.metadata_bytes bytes for encode. May read
       the whole file. */
    status (*metadata)(struct source *s, const struct header *h, uint8_t *out, struct errmsg *e);
    /* Writes exactly info->encoded_size bytes: least_size of them, and padding for the rest. meta
       holds info->metadata_bytes bytes. */
    status (*encode)(const struct image *img, const struct image_info *info, const uint8_t *meta,
                     uint8_t *out, struct errmsg *e);
};

extern const struct image_codec image_png_codec;
extern const struct image_codec image_jpeg_codec;
extern const struct image_codec image_webp_codec;
extern const struct image_codec image_bmp_codec;
extern const struct image_codec image_gif_codec;
extern const struct image_codec image_tiff_codec;

/* By enum image_format. */
extern const struct image_codec *const image_codecs[];

/* ---- probe.c: what decoding and encoding ask of a header, too ---- */
/* s: the file or its beginning; file_size: of the whole. out is undefined after a failure. */
status codec_scan(struct source *s, uint64_t file_size, const struct image_limits *lim,
                  struct header *out, struct errmsg *e) MUST_USE;
/* CORRUPT: a file of so few bytes cannot hold what its header claims. To be checked before anything
   is allocated for it. */
status codec_check_bytes(const struct header *h, uint64_t file_bytes, struct errmsg *e) MUST_USE;
/* Whether an image of this size can be written in its format. */
status codec_check_size(const struct image_info *i, struct errmsg *e) MUST_USE;
/* At least the file's own size, so that the original fits, should its image data turn out to be
   unreadable. What the format does not need is padding. */
uint64_t codec_encoded_size(const struct image_info *i);

/* ---- pieces ---- */
/* Appends a piece, unless there are too many or max_metadata is reached: then it is left out. A
   piece of orientation displaces those of colour, and of these all are kept or none. */
void header_add_piece(struct header *h, uint64_t off, uint32_t len, enum piece_kind kind);
void header_drop_color(struct header *h);
/* Reads a piece, or any other run of the source, to out. */
status source_copy(struct source *s, uint64_t off, uint64_t len, uint8_t *out,
                   struct errmsg *e) MUST_USE;

#endif
