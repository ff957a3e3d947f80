/*
 * What saving pixels as a JPEG and reading it again makes of them.
 *
 * libjpeg's defaults at both ends (4:2:0, accurate integer DCT, smooth chroma upsampling, standard
 * tables scaled to the quality and kept to 8 bits) are PIL's, and so are the pixels. Where a side
 * is longer than a JPEG can be, the image is cut into parts of whole blocks.
 */
#include "jpeg_format.h"

#include <string.h>

enum {
    PART_MAX = JPEG_MAX_DIMENSION / 16 * 16, /* whole blocks of subsampled chroma */
    CHUNK = 1 << 16
};

struct job {
    struct jpeg_writer writer;
    const struct image *img;
    int x, y, width, height; /* the part */
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

static void write_part(void *arg)
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

/* The part that job->file holds, into its place in out. */
static status read_part(const struct job *job, uint8_t *out, struct errmsg *e)
{
    AUTO(image_done) struct image part = IMAGE_INIT;
    const struct header h = {.info = {.width = job->width, .height = job->height}};
    size_t channels = (size_t)job->img->channels, stride = (size_t)job->img->width * channels;
    status st = image_alloc(job->width, job->height, job->img->channels, false, &part);
    if (!st)
        st = image_jpeg_decode((const uint8_t *)job->file.data, job->file.len, &h, &part, e);
    size_t row = (size_t)job->width * channels;
    uint8_t *to = out + (size_t)job->y * stride + (size_t)job->x * channels;
    for (int y = 0; y < job->height && !st; y++)
        memcpy(to + (size_t)y * stride, part.pixels + (size_t)y * row, row);
    return st;
}

static status part_round_trip(struct job *job, uint8_t *out, struct errmsg *e)
{
    bool done = image_jpeg_try(&job->writer.trap, write_part, job);
    jpeg_destroy_compress(&job->writer.cinfo);
    status st = done ? read_part(job, out, e) : image_jpeg_trap_status(&job->writer.trap, e);
    buf_done(&job->file);
    return st;
}

status image_jpeg_round_trip(const struct image *img, int quality, uint8_t *out, struct errmsg *e)
{
    if (quality < 1 || quality > 100)
        return errmsg_set(e, STATUS_INVALID, "JPEG: no quality is %d", quality);
    for (int y = 0; y < img->height; y += PART_MAX)
        for (int x = 0; x < img->width; x += PART_MAX) {
            struct job job = {.img = img,
                              .x = x,
                              .y = y,
                              .width = img->width - x < PART_MAX ? img->width - x : PART_MAX,
                              .height = img->height - y < PART_MAX ? img->height - y : PART_MAX,
                              .quality = quality,
                              .file = BUF_INIT(SIZE_MAX / 2)};
            status st = part_round_trip(&job, out, e);
            if (st)
                return st;
        }
    return STATUS_OK;
}
