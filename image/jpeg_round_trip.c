/*
 * What saving pixels as a JPEG and reading it again makes of them.
 *
 * libjpeg's defaults at both ends (4:2:0, accurate integer DCT, smooth chroma upsampling, standard
 * tables scaled to the quality and kept to 8 bits) are PIL's, and so are the pixels. Where a side
 * is longer than a JPEG can be, the image is cut into parts of whole blocks, which are JPEGs of
 * their own.
 *
 * Rows of a part come out of a JPEG of them alone as they do out of the part's: a row of blocks (of
 * 16 pixels: chroma has half the resolution) is transformed and quantised by itself, and smooth
 * upsampling looks one row of chroma further. So rows are widened to whole blocks and a row of
 * blocks more on either side, within their part.
 */
#include "jpeg_format.h"

#include <assert.h>
#include <string.h>

enum {
    BLOCK = 16, /* with subsampled chroma */
    PART_MAX = JPEG_MAX_DIMENSION / BLOCK * BLOCK,
    CHUNK = 1 << 16
};

struct job {
    struct jpeg_writer writer;
    const struct image *img;
    int x, y, width, height; /* what is written and read again */
    int first, rows;         /* of the image: those that are wanted */
    int quality;
    struct buf file;
};

/* Gives libjpeg another chunk behind what it has written. */
static void add_chunk(struct job *job)
{
    if (buf_reserve(&job->file, CHUNK)) {
        job->writer.trap.nomem = true;
        longjmp(job->writer.trap.jump, 1);
    }
    job->writer.dest.next_output_byte = (JOCTET *)job->file.data + job->file.len;
    job->writer.dest.free_in_buffer = CHUNK;
}

static void dest_open(j_compress_ptr cinfo)
{
    add_chunk(cinfo->client_data);
}

static boolean dest_full(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->file.len += CHUNK;
    add_chunk(job);
    return TRUE;
}

static void dest_close(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->file.len += CHUNK - job->writer.dest.free_in_buffer;
}

static void write_file(void *arg)
{
    struct job *job = arg;
    const struct image *img = job->img;
    size_t channels = (size_t)img->channels, stride = (size_t)img->width * channels;
    job->writer.dest.init_destination = dest_open;
    job->writer.dest.empty_output_buffer = dest_full;
    job->writer.dest.term_destination = dest_close;
    image_jpeg_compress_init(&job->writer, job->width, job->height, img->channels, job->quality);
    image_jpeg_compress_rows(
        &job->writer, img->pixels + (size_t)job->y * stride + (size_t)job->x * channels, stride);
}

/* The wanted rows of what job->file holds, into their place in out. */
static status read_file(const struct job *job, uint8_t *out, struct errmsg *e)
{
    AUTO(image_done) struct image read = IMAGE_INIT;
    const struct header h = {.info = {.width = job->width, .height = job->height}};
    size_t channels = (size_t)job->img->channels, stride = (size_t)job->img->width * channels;
    status st = image_alloc(job->width, job->height, job->img->channels, false, &read);
    if (!st)
        st = image_jpeg_decode((const uint8_t *)job->file.data, job->file.len, &h, &read, e);
    if (st)
        return st;
    size_t row = (size_t)job->width * channels;
    const uint8_t *from = read.pixels + (size_t)(job->first - job->y) * row;
    uint8_t *to = out + (size_t)job->first * stride + (size_t)job->x * channels;
    for (int i = 0; i < job->rows; i++, from += row, to += stride)
        memcpy(to, from, row);
    return STATUS_OK;
}

static status round_trip(struct job *job, uint8_t *out, struct errmsg *e)
{
    bool done = image_jpeg_try(&job->writer.trap, write_file, job);
    jpeg_destroy_compress(&job->writer.cinfo);
    status st = done ? read_file(job, out, e) : image_jpeg_trap_status(&job->writer.trap, e);
    buf_done(&job->file);
    return st;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Rows y to end - 1, which are of one part. */
static status rows_of_part(const struct image *img, int quality, int y, int end, uint8_t *out,
                           struct errmsg *e)
{
    int part = y / PART_MAX * PART_MAX, part_end = least(img->height, part + PART_MAX);
    int from = y / BLOCK * BLOCK - BLOCK, to = (end + BLOCK - 1) / BLOCK * BLOCK + BLOCK;
    from = from < part ? part : from;
    to = least(to, part_end);
    status st = STATUS_OK;
    for (int x = 0; x < img->width && !st; x += PART_MAX) {
        struct job job = {.img = img,
                          .x = x,
                          .y = from,
                          .width = least(img->width - x, PART_MAX),
                          .height = to - from,
                          .first = y,
                          .rows = end - y,
                          .quality = quality,
                          .file = BUF_INIT(SIZE_MAX / 2)};
        st = round_trip(&job, out, e);
    }
    return st;
}

status image_jpeg_round_trip_rows(const struct image *img, int quality, int y, int rows,
                                  uint8_t *out, struct errmsg *e)
{
    assert(y >= 0 && rows >= 0 && y + rows <= img->height);
    if (quality < 1 || quality > 100)
        return errmsg_set(e, STATUS_INVALID, "JPEG: no quality is %d", quality);
    status st = STATUS_OK;
    for (int end = y + rows; y < end && !st;) {
        int next = least(end, y / PART_MAX * PART_MAX + PART_MAX);
        st = rows_of_part(img, quality, y, next, out, e);
        y = next;
    }
    return st;
}

status image_jpeg_round_trip(const struct image *img, int quality, uint8_t *out, struct errmsg *e)
{
    return image_jpeg_round_trip_rows(img, quality, 0, img->height, out, e);
}
