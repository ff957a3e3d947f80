#ifndef TRAIN_ARCHIVE_H
#define TRAIN_ARCHIVE_H
/*
 * archive: images with labels that are published in one file or two: IDX, CIFAR and tar archives of
 * it (image/), .npy pairs and .npz. Of numpy's, images are bytes, n x H x W, n x H x W x C or
 * n x C x H x W with C 1 or 3; labels are whole numbers, n or n x 1. An .npz holds one array of each
 * kind. Read-only after opening.
 */
#include "train.h"

struct archive {
    struct image_array *array; /* NULL: numpy's */
    struct nn_file *file, *label_file;
    const struct nn_file_tensor *images, *labels; /* labels NULL: there are none */
    int height, width, channels;
    bool planes; /* channel by channel */
};
/* labels NULL: none, or in the same file. On failure there is nothing to close. */
status archive_open(const char *images, const char *labels, enum image_array_part part,
                    struct archive *a, struct errmsg *e) MUST_USE;
void archive_close(struct archive *a);
size_t archive_count(const struct archive *a);
bool archive_has_labels(const struct archive *a);
int archive_label(const struct archive *a, size_t i);
/* The caller's to free with image_done. */
status archive_get(const struct archive *a, size_t i, struct image *out) MUST_USE;

/* ---- archive_numpy.c: the same of numpy's arrays; after a failure of open, close is due ---- */
status archive_numpy_open(const char *images, const char *labels, struct archive *a,
                          struct errmsg *e) MUST_USE;
int archive_numpy_label(const struct archive *a, size_t i);
status archive_numpy_get(const struct archive *a, size_t i, struct image *out) MUST_USE;

#endif
