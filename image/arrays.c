/*
 * The files that data sets are published in, whole in memory. All numbers below are checked against
 * the bytes that are really there before they are used.
 *
 * IDX:       00 00 08 D | D big-endian 32-bit sizes | uint8 data, last dimension fastest
 *            images: D = 3 (N,H,W) or 4 (N,H,W,C), C = 1 or 3; labels: D = 1 (N)
 * CIFAR-10:  N x [label < 10 | 32x32 R | G | B]                          3073 bytes each
 * CIFAR-100: N x [coarse label < 20 | fine label < 100 | 32x32 R | G | B] 3074 bytes each
 *
 * Any of them may be gzip-compressed (zlib's gz calls read both). Memory grows with what a file
 * really holds, and never past ARRAY_BYTES_MAX.
 */
#include "image.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <zlib.h>

#include "source.h"

enum { CIFAR_SIDE = 32, CIFAR_PIXELS = CIFAR_SIDE * CIFAR_SIDE };

static const size_t ARRAY_BYTES_MAX = (size_t)2 << 30;

struct image_array {
    enum image_array_format format;
    size_t count;
    int width, height, channels;
    struct buf data;      /* the file */
    size_t first;         /* offset of the first record */
    size_t record;        /* bytes from one record to the next */
    struct buf labels;    /* the IDX label file; empty when there is none */
    const uint8_t *label; /* of image 0; NULL without labels */
    size_t label_stride;
};

/* ---- reading ---- */

static status read_gz(gzFile gz, const char *path, struct buf *out, struct errmsg *e)
{
    enum { STEP = 1 << 16 };
    for (;;) {
        int err = Z_OK;
        status st = stop_requested() ? STATUS_CANCELLED : buf_reserve(out, STEP);
        if (st == STATUS_LIMIT)
            return errmsg_set(e, st, "%s: more than %zu MiB", path, ARRAY_BYTES_MAX >> 20);
        if (st)
            return errmsg_set(e, st, "%s: %s", path, status_text(st));
        int n = gzread(gz, out->data + out->len, STEP);
        if (n > 0)
            out->len += (size_t)n;
        if (n == STEP)
            continue;
        const char *text = gzerror(gz, &err);
        if (err == Z_ERRNO)
            return errmsg_set(e, STATUS_IO, "%s: %s", path, text);
        if (err == Z_MEM_ERROR)
            return errmsg_set(e, STATUS_NOMEM, "%s: %s", path, text);
        if (n < 0 || err != Z_OK)
            return errmsg_set(e, STATUS_CORRUPT, "%s: damaged gzip data", path);
        return STATUS_OK;
    }
}

static status read_whole(const char *path, struct buf *out, struct errmsg *e)
{
    int fd = -1;
    status st = io_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, &fd);
    if (st)
        return errmsg_set(e, st, "%s: %s", path, status_text(st));
    gzFile gz = gzdopen(fd, "rb");
    if (!gz) {
        close(fd);
        return errmsg_set(e, STATUS_NOMEM, "%s: %s", path, status_text(STATUS_NOMEM));
    }
    st = read_gz(gz, path, out, e);
    gzclose_r(gz); /* closes fd; what it could say has been said by gzerror */
    return st;
}

/* ---- IDX ---- */

enum { IDX_DIMS_MAX = 4 };

struct idx_head {
    int dims;
    size_t size[IDX_DIMS_MAX];
    size_t bytes; /* of the head */
};

static bool is_idx(const struct buf *b)
{
    return b->len >= 4 && b->data[0] == 0 && b->data[1] == 0 && b->data[2] == 8;
}

/* CORRUPT unless the sizes multiply to exactly what follows the head. */
static status read_idx_head(const struct buf *b, const char *path, struct idx_head *out,
                            struct errmsg *e)
{
    const uint8_t *p = (const uint8_t *)b->data;
    if (!is_idx(b) || p[3] < 1 || p[3] > IDX_DIMS_MAX)
        return errmsg_set(e, STATUS_UNSUPPORTED, "%s: no IDX file of bytes in 1 to 4 dimensions",
                          path);
    *out = (struct idx_head){.dims = p[3], .bytes = 4 + 4 * (size_t)p[3]};
    if (b->len < out->bytes)
        return errmsg_set(e, STATUS_CORRUPT, "%s: ends within its head", path);
    size_t total = 1;
    for (int i = 0; i < out->dims; i++) {
        out->size[i] = read_be32(p + 4 + 4 * i);
        if (__builtin_mul_overflow(total, out->size[i], &total))
            total = SIZE_MAX;
    }
    if (total != b->len - out->bytes)
        return errmsg_set(e, STATUS_CORRUPT, "%s: holds %zu bytes of data where its head says %zu",
                          path, b->len - out->bytes, total);
    return STATUS_OK;
}

static status open_idx(struct image_array *a, const char *path, struct errmsg *e)
{
    struct idx_head h;
    status st = read_idx_head(&a->data, path, &h, e);
    if (st)
        return st;
    size_t channels = h.dims == 4 ? h.size[3] : 1;
    if (h.dims < 3 || (channels != 1 && channels != 3))
        return errmsg_set(e, STATUS_UNSUPPORTED, "%s: not an array of grey or RGB images", path);
    if (h.size[0] == 0 || h.size[1] == 0 || h.size[2] == 0)
        return errmsg_set(e, STATUS_CORRUPT, "%s: no images", path);
    a->format = IMAGE_ARRAY_IDX;
    a->count = h.size[0]; /* all sizes are below 2^31 now, their product being in memory */
    a->height = (int)h.size[1];
    a->width = (int)h.size[2];
    a->channels = (int)channels;
    a->first = h.bytes;
    a->record = h.size[1] * h.size[2] * channels;
    return STATUS_OK;
}

static status open_idx_labels(struct image_array *a, const char *path, struct errmsg *e)
{
    struct idx_head h;
    status st = read_whole(path, &a->labels, e);
    if (!st)
        st = read_idx_head(&a->labels, path, &h, e);
    if (st)
        return st;
    if (h.dims != 1)
        return errmsg_set(e, STATUS_UNSUPPORTED, "%s: not a list of labels", path);
    if (h.size[0] != a->count)
        return errmsg_set(e, STATUS_CORRUPT, "%s: %zu labels for %zu images", path, h.size[0],
                          a->count);
    a->label = (const uint8_t *)a->labels.data + h.bytes;
    a->label_stride = 1;
    return STATUS_OK;
}

/* ---- CIFAR ---- */

/* One row per format; label limits in the order of the label bytes. */
static const struct cifar {
    enum image_array_format format;
    size_t label_bytes;
    uint8_t limit[2];
} cifars[] = {
    {IMAGE_ARRAY_CIFAR10, 1, {10}},
    {IMAGE_ARRAY_CIFAR100, 2, {20, 100}},
};

static bool is_cifar(const struct buf *b, const struct cifar *c)
{
    size_t record = c->label_bytes + 3 * CIFAR_PIXELS;
    if (b->len == 0 || b->len % record)
        return false;
    for (size_t at = 0; at < b->len; at += record)
        for (size_t i = 0; i < c->label_bytes; i++)
            if ((uint8_t)b->data[at + i] >= c->limit[i])
                return false;
    return true;
}

static status open_cifar(struct image_array *a, const char *path, struct errmsg *e)
{
    for (size_t i = 0; i < ARRAY_LEN(cifars); i++) {
        const struct cifar *c = &cifars[i];
        if (!is_cifar(&a->data, c))
            continue;
        a->format = c->format;
        a->width = a->height = CIFAR_SIDE;
        a->channels = 3;
        a->record = c->label_bytes + 3 * CIFAR_PIXELS;
        a->count = a->data.len / a->record;
        a->first = c->label_bytes;
        a->label = (const uint8_t *)a->data.data + c->label_bytes - 1;
        a->label_stride = a->record;
        return STATUS_OK;
    }
    return errmsg_set(e, STATUS_UNSUPPORTED,
                      "%s: neither IDX nor CIFAR-10 or CIFAR-100 binary (cut short?)", path);
}

/* ---- public ---- */

static status open_array(struct image_array *a, const char *path, const char *labels_path,
                         struct errmsg *e)
{
    status st = read_whole(path, &a->data, e);
    if (st)
        return st;
    if (!is_idx(&a->data))
        st = labels_path ? errmsg_set(e, STATUS_INVALID, "%s: only IDX has a file of labels", path)
                         : open_cifar(a, path, e);
    else
        st = open_idx(a, path, e);
    if (!st && labels_path)
        st = open_idx_labels(a, labels_path, e);
    return st;
}

status image_array_open(const char *path, const char *labels_path, struct image_array **out_array,
                        struct errmsg *e)
{
    AUTO(image_array_close) struct image_array *a = mem_zalloc(1, sizeof *a);
    if (!a)
        return errmsg_set(e, STATUS_NOMEM, "%s: %s", path, status_text(STATUS_NOMEM));
    a->data.max = a->labels.max = ARRAY_BYTES_MAX;
    status st = open_array(a, path, labels_path, e);
    if (st)
        return st;
    *out_array = TAKE(a);
    return STATUS_OK;
}

void image_array_close(struct image_array *a)
{
    if (!a)
        return;
    buf_done(&a->data);
    buf_done(&a->labels);
    mem_free(a);
}

enum image_array_format image_array_format(const struct image_array *a)
{
    return a->format;
}

size_t image_array_count(const struct image_array *a)
{
    return a->count;
}

int image_array_width(const struct image_array *a)
{
    return a->width;
}

int image_array_height(const struct image_array *a)
{
    return a->height;
}

int image_array_channels(const struct image_array *a)
{
    return a->channels;
}

bool image_array_has_labels(const struct image_array *a)
{
    return a->label != NULL;
}

int image_array_label(const struct image_array *a, size_t i)
{
    assert(i < a->count);
    return a->label ? a->label[i * a->label_stride] : -1;
}

int image_array_coarse_label(const struct image_array *a, size_t i)
{
    assert(i < a->count);
    return a->format == IMAGE_ARRAY_CIFAR100 ? a->label[i * a->label_stride - 1] : -1;
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
    status st = image_alloc(a->width, a->height, a->channels, false, &img);
    if (st)
        return st;
    const uint8_t *p = (const uint8_t *)a->data.data + a->first + i * a->record;
    if (a->format == IMAGE_ARRAY_IDX)
        memcpy(img.pixels, p, image_pixel_bytes(&img));
    else
        interleave(p, CIFAR_PIXELS, img.pixels);
    *out_img = img;
    return STATUS_OK;
}
