#ifndef IMAGE_TIFF_JOB_H
#define IMAGE_TIFF_JOB_H
/* One TIFF that is decoded: libtiff's view of the file (tiff_file.c), strips and tiles to samples
   (tiff_samples.c), samples to pixels (tiff_decode.c). */
#include "tiff_format.h"

#include <stdio.h>
#include <tiffio.h>

struct tiff_job {
    const uint8_t *data;
    uint64_t len, at;
    const struct tiff_layout *l;
    struct image *img;
    uint32_t samples; /* of a pixel in stage: those that count */
    uint8_t *stage;   /* (height, width, samples); img->pixels where nothing is left to do */
    uint8_t *block;   /* one strip or tile */
    char error[128];  /* the first that libtiff reported */
};

/* NULL: job->error says why, or it is a damaged header. */
TIFF *tiff_file_open(struct tiff_job *job);
/* No single piece of memory is larger than the file, or than the samples of the image. */
tmsize_t tiff_most_memory(const struct tiff_job *job);
/* Fills job->stage. */
status tiff_samples_read(struct tiff_job *job, TIFF *tif, struct errmsg *e) MUST_USE;

#endif
