#ifndef IMAGE_JPEG_FORMAT_H
#define IMAGE_JPEG_FORMAT_H
/*
 * What the JPEG files share. <jpeglib.h> needs <stdio.h> before it.
 *
 * libjpeg reports errors by longjmp. struct jpeg_trap is its error manager with the place to jump
 * to; each user sets it in one function without locals (see jpeg_decode.c).
 */
#include "codec.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

enum jpeg_marker {
    MARKER_SOF0 = 0xc0,
    MARKER_SOF15 = 0xcf,
    MARKER_DHT = 0xc4,
    MARKER_JPG = 0xc8,
    MARKER_DAC = 0xcc,
    MARKER_RST0 = 0xd0,
    MARKER_RST7 = 0xd7,
    MARKER_SOI = 0xd8,
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda,
    MARKER_DHP = 0xde,
    MARKER_EXP = 0xdf,
    MARKER_APP0 = 0xe0,
    MARKER_APP1 = 0xe1,
    MARKER_APP2 = 0xe2,
    MARKER_APP15 = 0xef,
    MARKER_COM = 0xfe,
    MARKER_TEM = 0x01
};

struct jpeg_trap {
    struct jpeg_error_mgr mgr; /* first: libjpeg hands it back as `err` */
    jmp_buf jump;
    bool nomem;
    bool at_end; /* of the file, before an end mark */
    char text[JMSG_LENGTH_MAX];
};

/* Fills in the trap; the end of the file within the image data jumps as errors do. */
struct jpeg_error_mgr *image_jpeg_trap_init(struct jpeg_trap *t);
/* CORRUPT or NOMEM with what libjpeg said. */
status image_jpeg_trap_status(const struct jpeg_trap *t, struct errmsg *e);

/*
 * A progressive file may hold any number of scans, each of which costs a pass over the whole image.
 * Encoders write about ten and those that search for the smallest file some twenty; 100 leaves room
 * for a scan per bit of the coarse coefficients of each component. Small images may have as many as
 * take the work of 100 scans over one megapixel, since PIL reads them all.
 */
uint64_t image_jpeg_max_scans(const struct image_info *info);
status image_jpeg_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_jpeg_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e) MUST_USE;
uint64_t image_jpeg_least_size(const struct image_info *info);
status image_jpeg_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e) MUST_USE;

#endif
