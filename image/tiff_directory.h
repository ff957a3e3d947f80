#ifndef IMAGE_TIFF_DIRECTORY_H
#define IMAGE_TIFF_DIRECTORY_H
/* The first directory of a TIFF file, as far as its entries are simply values. */
#include "tiff_format.h"

enum { TIFF_MAX_SAMPLES = 6 };

struct tiff_scan {
    struct source *s;
    struct tiff_layout *l;
    uint64_t end; /* of what was looked at */
    bool seen[16];
    uint32_t bits[TIFF_MAX_SAMPLES], formats[TIFF_MAX_SAMPLES], extra[TIFF_MAX_SAMPLES];
    uint32_t n_bits, n_formats, n_extra, planar, subfile;
    bool raw; /* from a camera: the first page is a preview */
};

/* Fills t, of which s and l are set; l's defaults stay where the file has no such tag. */
status tiff_directory_read(struct tiff_scan *t, struct errmsg *e) MUST_USE;

#endif
