#include "list.h"

#include <string.h>

#include "base/banned.h"

static const struct image_container *const containers[] = {
    &image_npy_container,
};

static status check(const struct image_list *l, uint64_t file_size, const struct image_limits *lim,
                    struct errmsg *e)
{
    if ((uint64_t)l->width * (uint64_t)l->height > lim->max_pixels || l->bytes > INT32_MAX)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit", l->width, l->height);
    CHECK(l->bytes == (uint64_t)l->width * (uint64_t)l->height * (uint64_t)l->channels);
    CHECK(l->step >= l->bytes && image_list_at(l, l->count - 1) + l->bytes <= file_size);
    return STATUS_OK;
}

status image_list_probe_fd(int fd, uint64_t file_size, const struct image_limits *lim,
                           struct image_list *out, struct errmsg *e)
{
    uint8_t head[LIST_HEAD_BYTES];
    size_t len;
    status st = io_pread(fd, head, sizeof head, 0, &len);
    if (st)
        return st;
    struct image_list l = {.count = 0};
    st = STATUS_NOT_FOUND;
    for (size_t i = 0; i < ARRAY_LEN(containers) && st == STATUS_NOT_FOUND; i++)
        st = containers[i]->probe(head, len, file_size, &l, e);
    if (!st && l.count)
        st = check(&l, file_size, lim, e);
    if (!st)
        *out = l;
    return st;
}

bool image_list_equal(const struct image_list *a, const struct image_list *b)
{
    return a->count == b->count && a->first == b->first && a->step == b->step &&
           a->width == b->width && a->height == b->height && a->channels == b->channels &&
           a->planar == b->planar;
}

uint64_t image_list_find(const struct image_list *l, uint64_t at)
{
    if (at < l->first)
        return 0;
    uint64_t i = (at - l->first) / l->step;
    i += (at - l->first) % l->step >= l->bytes; /* in the gap behind image i */
    return i < l->count ? i : l->count;
}

bool image_list_gap(const struct image_list *l, uint64_t end, uint64_t *io_at, uint64_t *out_end)
{
    uint64_t at = *io_at, gap_end = end;
    for (;;) {
        uint64_t i = image_list_find(l, at), begin = image_list_at(l, i);
        if (i < l->count &&
            begin <= at) { /* in image i; where there are no gaps, behind them all */
            at = l->step == l->bytes ? image_list_at(l, l->count) : begin + l->bytes;
            continue;
        }
        if (i < l->count && begin < end)
            gap_end = begin;
        break;
    }
    *io_at = at;
    *out_end = gap_end;
    return at < gap_end;
}

struct image_info image_list_info(const struct image_list *l)
{
    return (struct image_info){.width = l->width,
                               .height = l->height,
                               .channels = l->channels,
                               .source_bits = 8,
                               .orientation = 1,
                               .file_size = l->bytes,
                               .encoded_size = l->bytes};
}

status image_list_decode(const struct image_list *l, const void *bytes, struct image *out_img)
{
    struct image img;
    status st = image_alloc(l->width, l->height, l->channels, false, &img);
    if (st)
        return st;
    const uint8_t *from = bytes;
    size_t plane = (size_t)l->width * (size_t)l->height, channels = (size_t)l->channels;
    if (!l->planar || channels == 1)
        memcpy(img.pixels, from, l->bytes);
    else
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < plane; i++)
                img.pixels[i * channels + c] = *from++;
    *out_img = img;
    return STATUS_OK;
}

void image_list_encode(const struct image_list *l, const uint8_t *pixels, void *out)
{
    uint8_t *to = out;
    size_t plane = (size_t)l->width * (size_t)l->height, channels = (size_t)l->channels;
    if (!l->planar || channels == 1)
        memcpy(to, pixels, l->bytes);
    else
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < plane; i++)
                *to++ = pixels[i * channels + c];
}
