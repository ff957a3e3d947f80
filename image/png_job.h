#ifndef IMAGE_PNG_JOB_H
#define IMAGE_PNG_JOB_H
/* One PNG that is decoded: its rows (png_decode.c), and what a row becomes (png_rows.c). */
#include "png_format.h"

#include <zlib.h>

struct png_job {
    const uint8_t *data;
    size_t len;
    size_t next; /* chunk */
    z_stream z;
    bool ended; /* the stream, properly */
    struct png_look look;
    int bits;    /* per sample */
    int samples; /* per pixel */
    struct image *img;
    uint8_t palette[256][3], palette_alpha[256];
    uint16_t key[3]; /* the transparent colour */
    bool has_key;
};

/* Undoes a row's filter: row[0] is the filter, above the row before with its filter; n: bytes of
   samples; bpp: bytes per pixel, at least 1. */
status png_unfilter(uint8_t *row, const uint8_t *above, size_t n, size_t bpp,
                    struct errmsg *e) MUST_USE;
/* One row of n pixels. alpha: NULL when the image has none. */
void png_to_pixels(const struct png_job *job, const uint8_t *row, size_t n, uint8_t *out,
                   uint8_t *alpha);

#endif
