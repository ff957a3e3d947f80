#ifndef IMAGE_ARRAYS_H
#define IMAGE_ARRAYS_H
/*
 * arrays: what lies behind struct image_array: one batch of images for each file, or for each
 * member of a tar archive. A batch is read whole (array_input.h), then told apart by its content
 * (array_batch.c); each format has a file of its own. Messages of parsers do not name the file:
 * whoever calls them does.
 */
#include "array_input.h"
#include "image.h"

struct array_batch {
    struct buf data; /* owns the pixels */
    enum image_array_format format;
    size_t count;
    int width, height, channels;
    bool planes; /* each image channel by channel */
    const uint8_t *pixels;
    size_t record;       /* bytes from one image to the next */
    int *label, *coarse; /* (count); NULL: none */
    int order;           /* among the batches of an archive */
};

struct image_array {
    struct array_batch *batch; /* alike in all but count */
    size_t n_batches, count;
};

/* Tells the format of b->data and fills the rest. */
status array_batch_parse(struct array_batch *b, struct errmsg *e) MUST_USE;
void array_batch_done(struct array_batch *b);
/* Room for another one, empty; NULL: out of memory. */
struct array_batch *array_add_batch(struct image_array *a);

/* ---- formats ---- */
bool array_is_idx(const struct buf *b);
status array_parse_idx(struct array_batch *b, struct errmsg *e) MUST_USE;
/* The labels of b, from an IDX file. */
status array_parse_idx_labels(struct array_batch *b, const struct buf *file,
                              struct errmsg *e) MUST_USE;
status array_parse_cifar(struct array_batch *b, struct errmsg *e) MUST_USE;
bool array_is_pickle(const struct buf *b);
status array_parse_pickle(struct array_batch *b, struct errmsg *e) MUST_USE;

/* ---- tar ---- */
enum { TAR_BLOCK = 512 };
bool array_is_tar(const struct buf *begin);
/* The batches of one part, in order, from the archive whose first block was read already. */
status array_read_tar(struct image_array *a, struct array_input *in, const struct buf *first,
                      enum image_array_part part, struct errmsg *e) MUST_USE;

#endif
