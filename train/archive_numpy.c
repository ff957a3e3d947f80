/* Arrays that numpy saved, as images and labels. */
#include "archive.h"

#include <limits.h>
#include <string.h>

static int label_bytes(const struct nn_file_tensor *t)
{
    static const struct {
        const char *dtype;
        int bytes;
    } whole[] = {{"U8", 1}, {"I8", 1}, {"U16", 2}, {"I16", 2}, {"I32", 4}, {"I64", 8}};
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        if (strcmp(t->dtype, whole[i].dtype) == 0)
            return whole[i].bytes;
    return 0;
}

static bool are_images(const struct nn_file_tensor *t)
{
    return strcmp(t->dtype, "U8") == 0 && t->shape.rank >= 3;
}

static bool are_labels(const struct nn_file_tensor *t)
{
    return label_bytes(t) && (t->shape.rank == 1 || (t->shape.rank == 2 && t->shape.dim[1] == 1));
}

/* The one array that is of a kind; several are not chosen from. */
static status find_one(const struct nn_file *f, const char *path,
                       bool (*fits)(const struct nn_file_tensor *), const char *what,
                       const struct nn_file_tensor **out, struct errmsg *e)
{
    *out = NULL;
    for (int i = 0; i < nn_file_count(f); i++) {
        const struct nn_file_tensor *t = nn_file_at(f, i);
        if (fits(t) && *out)
            return errmsg_set(e, STATUS_UNSUPPORTED,
                              "%s: both \"%.100s\" and \"%.100s\" could be the %s (save one alone)",
                              path, (*out)->name, t->name, what);
        *out = fits(t) ? t : *out;
    }
    return STATUS_OK;
}

static status read_shape(const char *path, struct archive *a, struct errmsg *e)
{
    const int *dim = a->images->shape.dim;
    bool colour = a->images->shape.rank == 4, last = colour && (dim[3] == 1 || dim[3] == 3);
    a->planes = colour && !last;
    a->channels = !colour ? 1 : last ? dim[3] : dim[1];
    a->height = a->planes ? dim[2] : dim[1];
    a->width = a->planes ? dim[3] : dim[2];
    if ((a->channels != 1 && a->channels != 3) || a->height < 1 || a->width < 1 || dim[0] < 1)
        return errmsg_set(e, STATUS_UNSUPPORTED, "%s: \"%.100s\" is no array of grey or RGB images",
                          path, a->images->name);
    return STATUS_OK;
}

static int64_t label_at(const struct nn_file_tensor *t, size_t i)
{
    int bytes = label_bytes(t);
    const unsigned char *p = (const unsigned char *)t->data + i * (size_t)bytes;
    uint64_t v = 0;
    for (int b = 0; b < bytes; b++)
        v |= (uint64_t)p[b] << (8 * b);
    int unused = 64 - 8 * bytes;
    return t->dtype[0] == 'I' ? (int64_t)(v << unused) >> unused : (int64_t)v;
}

static status check_labels(const char *path, const struct archive *a, struct errmsg *e)
{
    if (a->labels->shape.dim[0] != a->images->shape.dim[0])
        return errmsg_set(e, STATUS_CORRUPT, "%s: %d labels for %d images", path,
                          a->labels->shape.dim[0], a->images->shape.dim[0]);
    for (int i = 0; i < a->labels->shape.dim[0]; i++) {
        int64_t v = label_at(a->labels, (size_t)i);
        if (v < 0 || v >= INT_MAX)
            return errmsg_set(e, STATUS_CORRUPT, "%s: label %d is %lld", path, i, (long long)v);
    }
    return STATUS_OK;
}

status archive_numpy_open(const char *images, const char *labels, struct archive *a,
                          struct errmsg *e)
{
    status st = nn_file_open_any(images, &a->file, e);
    if (!st)
        st = find_one(a->file, images, are_images, "images", &a->images, e);
    if (!st && !a->images)
        st = errmsg_set(e, STATUS_UNSUPPORTED, "%s: holds no images as bytes", images);
    if (!st)
        st = read_shape(images, a, e);
    if (!st && labels)
        st = nn_file_open_any(labels, &a->label_file, e);
    const char *where = labels ? labels : images;
    if (!st)
        st = find_one(labels ? a->label_file : a->file, where, are_labels, "labels", &a->labels, e);
    if (!st && labels && !a->labels)
        st = errmsg_set(e, STATUS_UNSUPPORTED, "%s: holds no list of whole numbers", labels);
    return st || !a->labels ? st : check_labels(where, a, e);
}

status archive_numpy_get(const struct archive *a, size_t i, struct image *out)
{
    struct image img;
    if (i >= (size_t)a->images->shape.dim[0])
        return STATUS_INVALID;
    status st = image_alloc(a->width, a->height, a->channels, false, &img);
    if (st)
        return st;
    size_t n = image_pixel_bytes(&img), c = (size_t)a->channels, area = n / c;
    const uint8_t *from = (const uint8_t *)a->images->data + i * n;
    for (size_t p = 0; p < area; p++)
        for (size_t k = 0; k < c; k++)
            img.pixels[p * c + k] = from[a->planes ? k * area + p : p * c + k];
    *out = img;
    return STATUS_OK;
}

int archive_numpy_label(const struct archive *a, size_t i)
{
    return (int)label_at(a->labels, i);
}
