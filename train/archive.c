#include "archive.h"

#include <fcntl.h>
#include <string.h>

static bool is_numpy(const char *path)
{
    char head[6] = "";
    size_t n = 0;
    AUTO(fd_close) int fd = -1;
    if (io_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, &fd) || io_read(fd, head, sizeof head, &n))
        return false; /* whoever opens it next says why */
    return npy_is(head, n) || (n >= 4 && memcmp(head, "PK\3\4", 4) == 0);
}

status archive_open(const char *images, const char *labels, enum image_array_part part,
                    struct archive *a, struct errmsg *e)
{
    *a = (struct archive){.array = NULL};
    if (is_numpy(images) && part != IMAGE_ARRAY_ALL)
        return errmsg_set(e, STATUS_INVALID, "%s: only tar archives have parts to choose from",
                          images);
    if (!is_numpy(images))
        return image_array_open(images, labels, part, &a->array, e);
    status st = archive_numpy_open(images, labels, a, e);
    if (st)
        archive_close(a);
    return st;
}

void archive_close(struct archive *a)
{
    image_array_close(a->array);
    nn_file_close(a->file);
    nn_file_close(a->label_file);
    *a = (struct archive){.array = NULL};
}

size_t archive_count(const struct archive *a)
{
    return a->array ? image_array_count(a->array) : (size_t)a->images->shape.dim[0];
}

bool archive_has_labels(const struct archive *a)
{
    return a->array ? image_array_has_labels(a->array) : a->labels != NULL;
}

int archive_label(const struct archive *a, size_t i)
{
    return a->array ? image_array_label(a->array, i) : archive_numpy_label(a, i);
}

status archive_get(const struct archive *a, size_t i, struct image *out)
{
    return a->array ? image_array_get(a->array, i, out) : archive_numpy_get(a, i, out);
}
