#ifndef IMAGE_EXIF_H
#define IMAGE_EXIF_H
/* EXIF: only the orientation is read. */
#include "source.h"

/* Orientation 1..8 of the TIFF structure at [off, off + len) of the source, with or without "Exif"
   and two zeros before it; 1 when it has another value; 0 when there is none or the structure is
   damaged. Fails only when the source does (IO, LIMIT). */
status exif_orientation(struct source *s, uint64_t off, uint64_t len, int *out) MUST_USE;

#endif
