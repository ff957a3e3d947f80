#ifndef IMAGE_JPEG_FORMAT_H
#define IMAGE_JPEG_FORMAT_H
/*
 * What the JPEG files share. <jpeglib.h> needs <stdio.h> before it.
 *
 * libjpeg reports errors by longjmp. struct jpeg_trap is its error manager with the place to jump
 * to; what calls libjpeg is called by image_jpeg_try, which sets that place.
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
/* Calls fn(arg); false: it ended with a jump to the trap. A jump frees nothing, so what fn owns is
   in arg. */
bool image_jpeg_try(struct jpeg_trap *t, void (*fn)(void *arg), void *arg);
/* CORRUPT or NOMEM with what libjpeg said. */
status image_jpeg_trap_status(const struct jpeg_trap *t, struct errmsg *e);

/* A compressor. The user sets the three functions of `dest`. They find the writer in
   cinfo.client_data; it is the first member of the user's own struct. */
struct jpeg_writer {
    struct jpeg_compress_struct cinfo;
    struct jpeg_trap trap;
    struct jpeg_destination_mgr dest;
};
/* Grey or RGB, baseline, colour at half the resolution both ways (4:2:0). May jump. Whatever
   happens, jpeg_destroy_compress afterwards. */
void image_jpeg_compress_init(struct jpeg_writer *w, int width, int height, int channels,
                              int quality);
/* The whole file, of rows that are `stride` bytes apart. May jump. */
void image_jpeg_compress_rows(struct jpeg_writer *w, uint8_t *pixels, size_t stride);

/*
 * A progressive file may hold any number of scans, each of which costs a pass over the whole image.
 * Encoders write about ten and those that search for the smallest file some twenty; 100 allows a
 * scan per bit of the coarse coefficients of each component. Small images may have as many as take
 * the work of 100 scans over one megapixel, since PIL reads them all.
 */
uint64_t image_jpeg_max_scans(const struct image_info *info);
status image_jpeg_scan(struct source *s, struct header *out, struct errmsg *e) MUST_USE;
status image_jpeg_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e) MUST_USE;
uint64_t image_jpeg_least_size(const struct image_info *info);
status image_jpeg_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e) MUST_USE;

#endif
