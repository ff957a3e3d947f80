/* The files that data sets are published in, whole in memory. All numbers that a file says are
   checked against the bytes that are really there before they are used. */
#include "arrays.h"

#include <assert.h>
#include <string.h>

/* ---- opening ---- */

/* One file that is no archive. */
static status read_file(struct image_array *a, struct array_input *in, const struct buf *begin,
                        struct errmsg *e)
{
    struct array_batch *b = array_add_batch(a);
    if (!b)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    status st = buf_add(&b->data, begin->data, begin->len);
    if (st)
        return errmsg_set(e, st, "%s", status_text(st));
    return begin->len < TAR_BLOCK ? STATUS_OK : array_input_read(in, ARRAY_BYTES_MAX, &b->data, e);
}

static status read_batches(struct image_array *a, const char *path, enum image_array_part part,
                           struct errmsg *e)
{
    struct array_input in = {.gz = NULL};
    AUTO(buf_done) struct buf begin = BUF_INIT(2 * TAR_BLOCK);
    status st = array_input_open(&in, path, e);
    if (st)
        return st;
    st = array_input_read(&in, TAR_BLOCK, &begin, e);
    if (!st && array_is_tar(&begin))
        st = array_read_tar(a, &in, &begin, part == IMAGE_ARRAY_ALL ? IMAGE_ARRAY_TRAIN : part, e);
    else if (!st && part != IMAGE_ARRAY_ALL)
        st = errmsg_set(e, STATUS_INVALID, "only tar archives have parts to choose from");
    else if (!st)
        st = read_file(a, &in, &begin, e);
    array_input_close(&in);
    return st ? errmsg_prefix(e, st, "%s", path) : STATUS_OK;
}

static bool alike(const struct array_batch *a, const struct array_batch *b)
{
    return a->format == b->format && a->width == b->width && a->height == b->height &&
           a->channels == b->channels && !a->label == !b->label && !a->coarse == !b->coarse;
}

static status parse_batches(struct image_array *a, struct errmsg *e)
{
    for (size_t i = 0; i < a->n_batches; i++) {
        status st = array_batch_parse(&a->batch[i], e);
        if (!st && !alike(&a->batch[i], &a->batch[0]))
            st = errmsg_set(e, STATUS_CORRUPT, "is not of the first batch's kind");
        if (st)
            return a->n_batches == 1 ? st : errmsg_prefix(e, st, "batch %zu", i + 1);
        a->count += a->batch[i].count;
    }
    return STATUS_OK;
}

static status read_labels(struct array_batch *b, const char *path, struct errmsg *e)
{
    struct array_input in = {.gz = NULL};
    AUTO(buf_done) struct buf file = BUF_INIT(ARRAY_BYTES_MAX);
    status st = array_input_open(&in, path, e);
    if (st)
        return st;
    st = array_input_read(&in, ARRAY_BYTES_MAX, &file, e);
    array_input_close(&in);
    if (!st)
        st = array_parse_idx_labels(b, &file, e);
    return st ? errmsg_prefix(e, st, "%s", path) : STATUS_OK;
}

status image_array_open(const char *path, const char *labels_path, enum image_array_part part,
                        struct image_array **out_array, struct errmsg *e)
{
    AUTO(image_array_close) struct image_array *a = mem_zalloc(1, sizeof *a);
    if (!a)
        return errmsg_set(e, STATUS_NOMEM, "%s: %s", path, status_text(STATUS_NOMEM));
    status st = read_batches(a, path, part, e);
    if (st)
        return st;
    st = parse_batches(a, e);
    if (!st && labels_path && a->batch[0].format != IMAGE_ARRAY_IDX)
        st = errmsg_set(e, STATUS_INVALID, "only IDX has a file of labels");
    if (st)
        return errmsg_prefix(e, st, "%s", path);
    st = labels_path ? read_labels(&a->batch[0], labels_path, e) : STATUS_OK;
    if (st)
        return st;
    *out_array = TAKE(a);
    return STATUS_OK;
}

void image_array_close(struct image_array *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_batches; i++)
        array_batch_done(&a->batch[i]);
    mem_free(a->batch);
    mem_free(a);
}

/* ---- reading ---- */

enum image_array_format image_array_format(const struct image_array *a)
{
    return a->batch[0].format;
}

size_t image_array_count(const struct image_array *a)
{
    return a->count;
}

int image_array_width(const struct image_array *a)
{
    return a->batch[0].width;
}

int image_array_height(const struct image_array *a)
{
    return a->batch[0].height;
}

int image_array_channels(const struct image_array *a)
{
    return a->batch[0].channels;
}

bool image_array_has_labels(const struct image_array *a)
{
    return a->batch[0].label != NULL;
}

/* The batch that image *i is in; *i becomes its number there. */
static const struct array_batch *batch_of(const struct image_array *a, size_t *i)
{
    const struct array_batch *b = a->batch;
    assert(*i < a->count);
    for (; *i >= b->count; b++)
        *i -= b->count;
    return b;
}

int image_array_label(const struct image_array *a, size_t i)
{
    const struct array_batch *b = batch_of(a, &i);
    return b->label ? b->label[i] : -1;
}

int image_array_coarse_label(const struct image_array *a, size_t i)
{
    const struct array_batch *b = batch_of(a, &i);
    return b->coarse ? b->coarse[i] : -1;
}

static void interleave(const uint8_t *planes, size_t n, uint8_t *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            *to++ = planes[c * n + i];
}

status image_array_get(const struct image_array *a, size_t i, struct image *out_img)
{
    struct image img;
    if (i >= a->count)
        return STATUS_INVALID;
    const struct array_batch *b = batch_of(a, &i);
    status st = image_alloc(b->width, b->height, b->channels, false, &img);
    if (st)
        return st;
    const uint8_t *p = b->pixels + i * b->record;
    if (b->planes)
        interleave(p, b->record / 3, img.pixels);
    else
        memcpy(img.pixels, p, image_pixel_bytes(&img));
    *out_img = img;
    return STATUS_OK;
}
