/*
 * BMP to pixels. The format is simple enough to be read without a library: rows of indices, of
 * packed pixels, or of run lengths. Channels of few bits are spread to the full range as PIL does.
 */
#include "bmp_format.h"

#include <string.h>

struct rows {
    const uint8_t *data; /* the whole file */
    size_t len;
    struct bmp_layout l;
    struct image *img;
    uint8_t palette[256][3]; /* RGB; black beyond the file's entries */
};

static uint8_t *row_at(const struct rows *r, int stored)
{
    const struct image *img = r->img;
    int y = r->l.top_down ? stored : img->height - 1 - stored;
    return img->pixels + (size_t)y * (size_t)img->width * (size_t)img->channels;
}

static void read_palette(struct rows *r)
{
    const uint8_t *p = r->data + r->l.palette_off;
    memset(r->palette, 0, sizeof r->palette);
    for (uint32_t i = 0; i < r->l.colors; i++, p += r->l.entry_bytes) {
        r->palette[i][0] = p[2];
        r->palette[i][1] = p[1];
        r->palette[i][2] = p[0];
    }
}

static void put_index(const struct rows *r, uint8_t *to, unsigned index)
{
    if (r->img->channels == 1)
        *to = (uint8_t)index;
    else
        memcpy(to, r->palette[index], 3);
}

/* ---- rows as they are ---- */

static void read_indices(const struct rows *r, const uint8_t *from, uint8_t *to)
{
    int bits = r->l.bits, mask = (1 << bits) - 1;
    for (int x = 0; x < r->img->width; x++, to += r->img->channels) {
        int at = x * bits;
        put_index(r, to, (unsigned)(from[at / 8] >> (8 - bits - at % 8) & mask));
    }
}

static uint8_t spread(uint32_t pixel, struct bmp_channel c)
{
    uint32_t max = (1u << c.width) - 1;
    return (uint8_t)((pixel >> c.shift & max) * 255 / max);
}

static void read_packed(const struct rows *r, const uint8_t *from, uint8_t *to, uint8_t *alpha)
{
    const struct bmp_channel *c = r->l.channel;
    int bytes = r->l.bits / 8;
    for (int x = 0; x < r->img->width; x++, from += bytes) {
        uint32_t pixel = 0;
        for (int i = 0; i < bytes; i++)
            pixel |= (uint32_t)from[i] << (8 * i);
        for (int i = 0; i < 3; i++)
            *to++ = spread(pixel, c[i]);
        if (alpha)
            *alpha++ = spread(pixel, c[3]);
    }
}

static void read_rows(const struct rows *r)
{
    struct image *img = r->img;
    uint64_t stride = bmp_stride(img->width, r->l.bits);
    for (int y = 0; y < img->height; y++) {
        const uint8_t *from = r->data + r->l.off + (uint64_t)y * stride;
        uint8_t *to = row_at(r, y);
        if (r->l.bits <= 8)
            read_indices(r, from, to);
        else
            read_packed(r, from, to,
                        img->alpha ? img->alpha + (to - img->pixels) / img->channels : NULL);
    }
}

/* ---- run lengths ---- */

struct runs {
    const struct rows *r;
    uint64_t at;
    int x, y; /* y: counted as rows are stored */
};

/* Writes n pixels of a run; with four bits each, their indices alternate between the two halves of
   a byte. What exceeds the row is dropped. */
static void put_run(struct runs *s, const uint8_t *from, unsigned n, bool literal)
{
    const struct image *img = s->r->img;
    bool nibbles = s->r->l.bits == 4;
    uint8_t *row = row_at(s->r, s->y);
    for (unsigned i = 0; i < n && s->x < img->width; i++, s->x++) {
        const uint8_t *byte = literal ? from + (nibbles ? i / 2 : i) : from;
        unsigned index = nibbles ? (i & 1 ? *byte & 15u : *byte >> 4) : *byte;
        put_index(s->r, row + (size_t)s->x * (size_t)img->channels, index);
    }
}

/* The two bytes of a pair that begins with 0. Returns false at the image's end; CORRUPT by *bad. */
static bool escape(struct runs *s, unsigned code, bool *bad)
{
    const struct rows *r = s->r;
    if (code == 0) {
        s->x = 0;
        s->y++;
        return true;
    }
    if (code == 1)
        return false;
    uint64_t n = code == 2 ? 2 : r->l.bits == 4 ? (code + 1) / 2 : code;
    if (n > r->len - s->at) {
        *bad = true;
        return false;
    }
    const uint8_t *from = r->data + s->at;
    if (code == 2) {
        int left = r->img->width - s->x;
        s->x += from[0] < left ? from[0] : left;
        s->y += from[1];
    } else {
        put_run(s, from, code, true);
    }
    s->at += n + (n & 1);
    return true;
}

/* What the runs leave out has index 0. */
static status read_runs(const struct rows *r, struct errmsg *e)
{
    struct runs s = {.r = r, .at = r->l.off};
    struct image *img = r->img;
    bool bad = false;
    size_t n = (size_t)img->width * (size_t)img->height;
    for (size_t i = 0; i < n; i++)
        put_index(r, img->pixels + i * (size_t)img->channels, 0);
    while (s.y < img->height && !(s.y == img->height - 1 && s.x >= img->width)) {
        if (s.at > r->len || r->len - s.at < 2) {
            bad = true;
            break;
        }
        const uint8_t *pair = r->data + s.at;
        s.at += 2;
        if (pair[0])
            put_run(&s, pair + 1, pair[0], false);
        else if (!escape(&s, pair[1], &bad))
            break;
    }
    return bad ? errmsg_set(e, STATUS_CORRUPT, "BMP: the file is cut short") : STATUS_OK;
}

status image_bmp_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e)
{
    struct source s;
    struct image_info info;
    struct rows r = {.data = data, .len = len, .img = img};
    source_init_memory(&s, data, len);
    status st = image_bmp_layout(&s, &r.l, &info, e);
    if (st)
        return st;
    read_palette(&r);
    if (r.l.compression == BMP_RLE8 || r.l.compression == BMP_RLE4)
        return read_runs(&r, e);
    CHECK(len >= h->least_bytes); /* probe.c refuses a file that is too short */
    read_rows(&r);
    return STATUS_OK;
}
