#ifndef IMAGE_PNG_TEXT_H
#define IMAGE_PNG_TEXT_H
/* The text chunks of a PNG (tEXt, zTXt, iTXt) that give an orientation. */
#include "png_format.h"

enum { PNG_TEXT_MAX = 1 << 20 }; /* PIL refuses files with more in one text */

/* The value of a text chunk whose key is key_len long, decompressed. *out_good is false when the
   chunk is malformed. */
status png_text_value(struct source *s, const struct png_chunk *c, size_t key_len, struct buf *out,
                      bool *out_good, struct errmsg *e) MUST_USE;
/* Turns ImageMagick's "\nexif\n    LENGTH\nHEX..." into the bytes, in place. */
void png_text_profile(struct buf *text);
/* The orientation in XMP, tiff:Orientation="6" or tiff:Orientation>6; 0: none. */
int png_text_orientation(const struct buf *text);

#endif
