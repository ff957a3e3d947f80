/*
 * CIFAR's binary version:
 *
 *   CIFAR-10:  N x [label < 10 | 32x32 R | G | B]                           3073 bytes each
 *   CIFAR-100: N x [coarse label < 20 | fine label < 100 | 32x32 R | G | B] 3074 bytes each
 */
#include "arrays.h"

enum { CIFAR_SIDE = 32, CIFAR_PIXELS = CIFAR_SIDE * CIFAR_SIDE };

/* One row per format; label limits in the order of the label bytes, the finest last. */
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

static int *labels_at(const struct array_batch *b, size_t byte)
{
    int *label = mem_alloc(b->count * sizeof *label);
    for (size_t i = 0; i < b->count && label; i++)
        label[i] = (uint8_t)b->data.data[i * b->record + byte];
    return label;
}

static status fill(struct array_batch *b, const struct cifar *c, struct errmsg *e)
{
    b->format = c->format;
    b->width = b->height = CIFAR_SIDE;
    b->channels = 3;
    b->planes = true;
    b->record = c->label_bytes + 3 * CIFAR_PIXELS;
    b->count = b->data.len / b->record;
    b->pixels = (const uint8_t *)b->data.data + c->label_bytes;
    b->label = labels_at(b, c->label_bytes - 1);
    b->coarse = c->label_bytes == 2 ? labels_at(b, 0) : NULL;
    return b->label && (b->coarse || c->label_bytes == 1)
               ? STATUS_OK
               : errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
}

status array_parse_cifar(struct array_batch *b, struct errmsg *e)
{
    for (size_t i = 0; i < ARRAY_LEN(cifars); i++)
        if (is_cifar(&b->data, &cifars[i]))
            return fill(b, &cifars[i], e);
    return errmsg_set(e, STATUS_UNSUPPORTED,
                      "neither IDX nor CIFAR-10 or CIFAR-100, binary or for Python (cut short?)");
}
