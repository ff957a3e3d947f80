/*
 * IDX:  00 00 08 D | D big-endian 32-bit sizes | uint8 data, last dimension fastest
 *       images: D = 3 (N,H,W) or 4 (N,H,W,C), C = 1 or 3; labels: D = 1 (N)
 */
#include "arrays.h"
#include "source.h"

enum { IDX_DIMS_MAX = 4 };

struct idx_head {
    int dims;
    size_t size[IDX_DIMS_MAX];
    size_t bytes; /* of the head */
};

bool array_is_idx(const struct buf *b)
{
    return b->len >= 4 && b->data[0] == 0 && b->data[1] == 0 && b->data[2] == 8;
}

/* CORRUPT unless the sizes multiply to exactly what follows the head. */
static status read_head(const struct buf *b, struct idx_head *out, struct errmsg *e)
{
    const uint8_t *p = (const uint8_t *)b->data;
    if (!array_is_idx(b) || p[3] < 1 || p[3] > IDX_DIMS_MAX)
        return errmsg_set(e, STATUS_UNSUPPORTED, "no IDX file of bytes in 1 to 4 dimensions");
    *out = (struct idx_head){.dims = p[3], .bytes = 4 + 4 * (size_t)p[3]};
    if (b->len < out->bytes)
        return errmsg_set(e, STATUS_CORRUPT, "ends within its head");
    size_t total = 1;
    for (int i = 0; i < out->dims; i++) {
        out->size[i] = read_be32(p + 4 + 4 * i);
        if (__builtin_mul_overflow(total, out->size[i], &total))
            total = SIZE_MAX;
    }
    if (total != b->len - out->bytes)
        return errmsg_set(e, STATUS_CORRUPT, "holds %zu bytes of data where its head says %zu",
                          b->len - out->bytes, total);
    return STATUS_OK;
}

status array_parse_idx(struct array_batch *b, struct errmsg *e)
{
    struct idx_head h;
    status st = read_head(&b->data, &h, e);
    if (st)
        return st;
    size_t channels = h.dims == 4 ? h.size[3] : 1;
    if (h.dims < 3 || (channels != 1 && channels != 3))
        return errmsg_set(e, STATUS_UNSUPPORTED, "not an array of grey or RGB images");
    if (h.size[0] == 0 || h.size[1] == 0 || h.size[2] == 0)
        return errmsg_set(e, STATUS_CORRUPT, "no images");
    b->format = IMAGE_ARRAY_IDX;
    b->count = h.size[0]; /* all sizes are below 2^31 now, their product being in memory */
    b->height = (int)h.size[1];
    b->width = (int)h.size[2];
    b->channels = (int)channels;
    b->pixels = (const uint8_t *)b->data.data + h.bytes;
    b->record = h.size[1] * h.size[2] * channels;
    return STATUS_OK;
}

status array_parse_idx_labels(struct array_batch *b, const struct buf *file, struct errmsg *e)
{
    struct idx_head h;
    status st = read_head(file, &h, e);
    if (st)
        return st;
    if (h.dims != 1)
        return errmsg_set(e, STATUS_UNSUPPORTED, "not a list of labels");
    if (h.size[0] != b->count)
        return errmsg_set(e, STATUS_CORRUPT, "%zu labels for %zu images", h.size[0], b->count);
    b->label = mem_alloc(b->count * sizeof *b->label);
    for (size_t i = 0; i < b->count && b->label; i++)
        b->label[i] = (uint8_t)file->data[h.bytes + i];
    return b->label ? STATUS_OK : errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
}
