#ifndef TRAIN_PNG_H
#define TRAIN_PNG_H
/* Images out, as PNG. */
#include "base/base.h"
#include "image/image.h"

/* Appends the file's bytes. */
status train_png_bytes(const struct image *img, struct buf *out, struct errmsg *e) MUST_USE;
/* All or nothing, and synced. Files that come in thousands: out_tree.h. */
status train_png_write(const char *path, const struct image *img, struct errmsg *e) MUST_USE;

#endif
