/*
 * PNG to pixels.
 *
 * Written over zlib, because an image must be purified if PIL can read it (otherwise an owner could
 * protect it from purification by damage that training readers ignore), and libpng is stricter than
 * PIL: it wants correct checksums, a window as large as the distances, IEND, and palettes and
 * transparency in their order.
 *
 * As PIL does it: checksums, of chunks and of the compressed data, are not looked at; reading ends
 * with the last row, whatever follows; where the compressed data ends properly between two rows,
 * the rest of the samples are zeros; of 16 bits the upper eight are taken; colours beyond the
 * palette are grey. An image whose data is cut short is an error.
 */
#include "png_job.h"

#include <string.h>

/* ---- the compressed bytes ---- */

static bool holds_data(const char *type)
{
    /* what PIL goes on with; the last two are of animations, of a first frame cut into pieces */
    return strcmp(type, "IDAT") == 0 || strcmp(type, "DDAT") == 0 || strcmp(type, "fdAT") == 0;
}

/* Points the stream to the next chunk's data; false when there is none. */
static bool next_chunk(struct png_job *job)
{
    struct source s;
    struct png_chunk c;
    source_init_memory(&s, job->data, job->len);
    if (image_png_chunk(&s, job->next, &c, NULL) || !holds_data(c.type))
        return false;
    size_t at = job->next + PNG_CHUNK_HEAD;
    size_t n = c.len < job->len - at ? c.len : job->len - at;
    size_t number = c.type[0] == 'f' ? 4 : 0; /* of the piece */
    if (n < number)
        return false;
    job->z.next_in = (Bytef *)(uintptr_t)(job->data + at + number);
    job->z.avail_in = (uInt)(n - number);
    job->next = image_png_next(&c) < job->len ? (size_t)image_png_next(&c) : job->len;
    return true;
}

/* One row with its filter byte. *out_end: the stream ended before it. */
static status read_row(struct png_job *job, uint8_t *row, size_t n, bool *out_end, struct errmsg *e)
{
    z_stream *z = &job->z;
    *out_end = job->ended;
    if (job->ended)
        return STATUS_OK;
    z->next_out = row;
    z->avail_out = (uInt)n;
    while (z->avail_out) {
        if (!z->avail_in && !next_chunk(job))
            return errmsg_set(e, STATUS_CORRUPT, "PNG: the image data is cut short");
        int code = inflate(z, Z_NO_FLUSH);
        job->ended = code == Z_STREAM_END;
        *out_end = job->ended && z->avail_out == n;
        if (*out_end)
            return STATUS_OK;
        if (code == Z_MEM_ERROR)
            return errmsg_set(e, STATUS_NOMEM, "PNG: %s", status_text(STATUS_NOMEM));
        if (z->avail_out && code != Z_OK && code != Z_BUF_ERROR)
            return errmsg_set(e, STATUS_CORRUPT, "PNG: the image data is damaged: %s",
                              z->msg ? z->msg : "it ends within a row");
    }
    return STATUS_OK;
}

/* ---- passes ---- */

struct pass {
    int x0, y0, dx, dy;
};

static const struct pass whole[] = {{0, 0, 1, 1}};
static const struct pass adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

/* What a row needs: itself and the one above, each with its filter, and its pixels and alpha. */
struct rows {
    uint8_t *row, *above, *pixels, *alpha;
};

static void put_row(struct png_job *job, const struct pass *p, int y, size_t n,
                    const struct rows *r)
{
    struct image *img = job->img;
    size_t channels = (size_t)img->channels, at = (size_t)y * (size_t)img->width;
    if (p->dx == 1) {
        png_to_pixels(job, r->row + 1, n, img->pixels + at * channels,
                      img->alpha ? img->alpha + at : NULL);
        return;
    }
    png_to_pixels(job, r->row + 1, n, r->pixels, img->alpha ? r->alpha : NULL);
    at += (size_t)p->x0;
    for (size_t x = 0; x < n; x++, at += (size_t)p->dx) {
        memcpy(img->pixels + at * channels, r->pixels + x * channels, channels);
        if (img->alpha)
            img->alpha[at] = r->alpha[x];
    }
}

static status read_pass(struct png_job *job, const struct pass *p, struct rows *r, bool *out_end,
                        struct errmsg *e)
{
    struct image *img = job->img;
    if (img->width <= p->x0 || img->height <= p->y0)
        return STATUS_OK;
    size_t n = (size_t)((img->width - p->x0 + p->dx - 1) / p->dx);
    size_t bits = (size_t)job->bits * (size_t)job->samples;
    size_t bytes = (n * bits + 7) / 8;
    memset(r->above, 0, bytes + 1);
    for (int y = p->y0; y < img->height; y += p->dy) {
        status st = read_row(job, r->row, bytes + 1, out_end, e);
        if (st || *out_end)
            return st;
        st = png_unfilter(r->row, r->above, bytes, (bits + 7) / 8, e);
        if (st)
            return st;
        put_row(job, p, y, n, r);
        uint8_t *swap = r->row;
        r->row = r->above;
        r->above = swap;
    }
    return STATUS_OK;
}

/* Fills pixels that the data does not reach: all samples 0. */
static void fill(struct png_job *job)
{
    struct image *img = job->img;
    size_t n = (size_t)img->width * (size_t)img->height;
    bool palette = job->look.color == PNG_PALETTE;
    memset(img->pixels, 0, image_pixel_bytes(img));
    for (size_t i = 0; palette && i < n; i++)
        memcpy(img->pixels + 3 * i, job->palette[0], 3);
    if (img->alpha)
        memset(img->alpha, palette ? job->palette_alpha[0] : 0, n);
}

static status read_passes(struct png_job *job, struct errmsg *e)
{
    struct image *img = job->img;
    size_t w = (size_t)img->width, bytes = (w * (size_t)(job->bits * job->samples) + 7) / 8 + 1;
    AUTO(mem_free) uint8_t *mem = mem_alloc(2 * bytes + 4 * w);
    if (!mem)
        return errmsg_set(e, STATUS_NOMEM, "PNG: %s", status_text(STATUS_NOMEM));
    struct rows r = {mem, mem + bytes, mem + 2 * bytes, mem + 2 * bytes + 3 * w};
    const struct pass *passes = job->look.interlaced ? adam7 : whole;
    int n = job->look.interlaced ? ARRAY_LEN(adam7) : ARRAY_LEN(whole);
    bool end = false;
    fill(job);
    for (int i = 0; i < n && !end; i++) {
        status st = read_pass(job, &passes[i], &r, &end, e);
        if (st)
            return st;
    }
    return STATUS_OK;
}

/* ---- the header ---- */

/* The data of a chunk that is completely in the file. */
static const uint8_t *chunk_data(const struct png_job *job, const struct png_chunk *c)
{
    return job->data + c->off + PNG_CHUNK_HEAD;
}

static void load_palette(struct png_job *job)
{
    const struct png_chunk *plte = &job->look.plte, *trns = &job->look.trns;
    for (int i = 0; i < 256; i++)
        job->palette[i][0] = job->palette[i][1] = job->palette[i][2] = (uint8_t)i;
    memset(job->palette_alpha, 255, sizeof job->palette_alpha);
    if (plte->type[0])
        memcpy(job->palette, chunk_data(job, plte), plte->len / 3 * 3);
    if (trns->type[0])
        memcpy(job->palette_alpha, chunk_data(job, trns), trns->len < 256 ? trns->len : 256);
}

static void load_key(struct png_job *job)
{
    if (!job->look.trns.type[0] || job->samples != job->img->channels)
        return;
    job->has_key = true;
    unsigned mask = (1u << job->bits) - 1;
    for (int c = 0; c < job->samples; c++)
        job->key[c] = (uint16_t)(read_be16(chunk_data(job, &job->look.trns) + 2 * c) & mask);
}

static status prepare(struct png_job *job, const struct header *h, struct errmsg *e)
{
    struct source s;
    source_init_memory(&s, job->data, job->len);
    status st = image_png_look(&s, &job->look, e);
    if (st)
        return st;
    unsigned color = job->look.color;
    job->bits = h->info.source_bits;
    job->samples = color == PNG_GREY || color == PNG_PALETTE ? 1
                   : color == PNG_GREY_ALPHA                 ? 2
                   : color == PNG_RGB                        ? 3
                                                             : 4;
    job->next = (size_t)job->look.idat.off;
    if (color == PNG_PALETTE)
        load_palette(job);
    else
        load_key(job);
    return STATUS_OK;
}

static voidpf z_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return mem_alloc((size_t)items * size);
}

static void z_free(voidpf opaque, voidpf p)
{
    (void)opaque;
    mem_free(p);
}

status image_png_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e)
{
    struct png_job job = {.data = data, .len = len, .img = img};
    status st = prepare(&job, h, e);
    if (st)
        return st;
    job.z.zalloc = z_alloc;
    job.z.zfree = z_free;
    if (inflateInit(&job.z) != Z_OK)
        return errmsg_set(e, STATUS_NOMEM, "PNG: %s", status_text(STATUS_NOMEM));
    st = read_passes(&job, e);
    inflateEnd(&job.z);
    return st;
}
