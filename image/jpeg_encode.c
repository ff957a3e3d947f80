/*
 * Pixels to JPEG of a size that only the header decides.
 *
 *     SOI APP0 | kept EXIF, XMP and ICC | COM padding | DQT SOF0 DHT SOS data EOI
 *
 * Everything but the metadata and the padding is libjpeg's "body". It gets a budget of FIXED bytes
 * for its tables and PER_BLOCK for each 8x8 block (of all components: 4:4:4 has as many of each):
 *
 *              fixed  per block   photographs at quality 95, per block (median / 99 % / worst)
 *     colour     640         80   32x32: 58 / 75 / 85     64x64: 51 / 75 / 80
 *     grey       352         56   32x32: 42 / 51 / 52     64x64: 39 / 57 / 58
 *
 * (measured on 200 photographs of 64x64, and reduced to 32x32). The quality is 95 when that fits,
 * and otherwise the best that binary search finds.
 *
 * Quality 1 always fits. Its tables are 255 everywhere. The DCT is orthonormal, so the squares of a
 * block's 64 coefficients add up to at most 64 * 128^2 = 2^20. A coefficient that survives as +-1
 * is at least 127.5, which costs 16256 of that; one of +-2 or +-3 costs 146306. With the standard
 * Huffman tables the bits spent per coefficient position are highest, 3, when every position holds
 * +-1 (run 0, size 1: two bits of code and one of sign); a run of zeros before it takes more bits
 * but fewer per position, and a larger value takes up to three bits more but the energy of nine
 * others, each of which turns into a zero that is worth a bit less. So 63 AC positions take at most
 * 190 bits (an end-of-block code may replace the last one), DC at most 8: less than 25 bytes per
 * block and component, 75 < 80 and 25 < 56. A byte FF, which is followed by a stuffed zero, needs
 * eight ones in a row, and codes with that many belong to runs of ten zeros and more. (The most
 * that a search over hostile blocks found: 28 and 16 bytes.)
 */
#include "jpeg_format.h"

#include <string.h>

enum { QUALITY_CAP = 95, QUALITY_FLOOR = 1 };

enum {
    BODY_PREFIX = 20, /* SOI and APP0, which stay in front of what we insert */
    COM_FRAME = 4,    /* marker and length: the smallest padding there is */
    COM_MAX = COM_FRAME + 65533
};

struct job {
    struct jpeg_writer writer;
    const struct image *img;
    int quality;
    uint8_t *body; /* [budget] */
    size_t budget;
    size_t len;
    bool overflow; /* the attempt needs more than the budget */
};

static uint64_t body_budget(const struct image_info *i)
{
    uint64_t blocks = (((uint64_t)i->width + 7) / 8) * (((uint64_t)i->height + 7) / 8);
    return i->channels == 3 ? 640 + 80 * blocks : 352 + 56 * blocks;
}

uint64_t image_jpeg_least_size(const struct image_info *info)
{
    return info->metadata_bytes + body_budget(info);
}

/* ---- one attempt ---- */

static void dest_open(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->writer.dest.next_output_byte = job->body;
    job->writer.dest.free_in_buffer = job->budget;
}

static boolean dest_full(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->overflow = true;
    longjmp(job->writer.trap.jump, 1);
}

static void dest_close(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->len = job->budget - job->writer.dest.free_in_buffer;
}

static void write_body(void *arg)
{
    struct job *job = arg;
    const struct image *img = job->img;
    job->writer.dest.init_destination = dest_open;
    job->writer.dest.empty_output_buffer = dest_full;
    job->writer.dest.term_destination = dest_close;
    image_jpeg_compress_init(&job->writer, img->width, img->height, img->channels, job->quality);
    job->writer.cinfo.comp_info[0].h_samp_factor = 1; /* colour at full resolution */
    job->writer.cinfo.comp_info[0].v_samp_factor = 1;
    image_jpeg_compress_rows(&job->writer, img->pixels, (size_t)img->width * (size_t)img->channels);
}

/* *out_fits: the body, with the padding that is left to do, fills the budget exactly. */
static status attempt(struct job *job, int quality, bool *out_fits, struct errmsg *e)
{
    job->quality = quality;
    job->overflow = false;
    bool done = image_jpeg_try(&job->writer.trap, write_body, job);
    jpeg_destroy_compress(&job->writer.cinfo);
    if (!done && !job->overflow)
        return image_jpeg_trap_status(&job->writer.trap, e);
    *out_fits = done && (job->len == job->budget || job->len + COM_FRAME <= job->budget);
    return STATUS_OK;
}

/* ---- the search and the file ---- */

/* Leaves the body of the best quality that fits in job->body. */
static status search(struct job *job, struct errmsg *e)
{
    bool fits = false;
    int lo = QUALITY_FLOOR, hi = QUALITY_CAP; /* lo fits, hi does not */
    status st = attempt(job, QUALITY_CAP, &fits, e);
    if (st || fits)
        return st;
    while (hi - lo > 1) {
        int mid = lo + (hi - lo) / 2;
        st = attempt(job, mid, &fits, e);
        if (st)
            return st;
        *(fits ? &lo : &hi) = mid;
    }
    if (fits) /* the last attempt was lo's */
        return STATUS_OK;
    st = attempt(job, lo, &fits, e);
    if (!st && !fits)
        return errmsg_set(e, STATUS_INTERNAL, "JPEG: quality %d does not fit its budget", lo);
    return st;
}

/* Comments of zero bytes. left is 0 or at least COM_FRAME, and so is what each leaves to the next.
 */
static uint8_t *put_padding(uint8_t *p, size_t left)
{
    while (left) {
        size_t n = left < COM_MAX ? left : COM_MAX;
        if (left - n > 0 && left - n < COM_FRAME)
            n -= COM_FRAME;
        p[0] = 0xff;
        p[1] = MARKER_COM;
        p[2] = (uint8_t)((n - 2) >> 8);
        p[3] = (uint8_t)(n - 2);
        memset(p + COM_FRAME, 0, n - COM_FRAME);
        p += n;
        left -= n;
    }
    return p;
}

status image_jpeg_encode(const struct image *img, const struct image_info *info,
                         const uint8_t *meta, uint8_t *out, struct errmsg *e)
{
    AUTO(mem_free) uint8_t *body = NULL;
    struct job job = {.img = img, .budget = (size_t)body_budget(info)};
    body = job.body = mem_alloc(job.budget);
    if (!body)
        return errmsg_set(e, STATUS_NOMEM, "JPEG: %s", status_text(STATUS_NOMEM));
    status st = search(&job, e); /* does not see extra, so that the pixels do not depend on it */
    if (st)
        return st;
    size_t extra = (size_t)(info->encoded_size - image_jpeg_least_size(info));
    memcpy(out, body, BODY_PREFIX);
    uint8_t *p = out + BODY_PREFIX;
    if (info->metadata_bytes)
        memcpy(p, meta, info->metadata_bytes);
    p += info->metadata_bytes;
    p = put_padding(p, job.budget - job.len + extra);
    memcpy(p, body + BODY_PREFIX, job.len - BODY_PREFIX);
    CHECK((uint64_t)(p + job.len - BODY_PREFIX - out) == info->encoded_size);
    return STATUS_OK;
}

static const uint8_t magic[] = {0xff, MARKER_SOI, 0xff};

const struct image_codec image_jpeg_codec = {
    .name = "JPEG",
    .magic = magic,
    .magic_len = sizeof magic,
    .holds = HOLDS_GREY | HOLDS_RGB,
    .max_width = JPEG_MAX_DIMENSION,
    .max_height = JPEG_MAX_DIMENSION,
    .pad_least = COM_FRAME,
    .pad_unit = 1,
    .scan = image_jpeg_scan,
    .decode = image_jpeg_decode,
    .least_size = image_jpeg_least_size,
    .encode = image_jpeg_encode,
};
