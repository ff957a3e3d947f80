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
    struct jpeg_compress_struct cinfo;
    struct jpeg_trap trap;
    struct jpeg_destination_mgr dest;
    const struct image *img;
    int x, y, width, height; /* the part */
    int quality;
    struct buf file;
};

/* Room for another chunk behind what there is. */
static void make_room(struct job *job)
{
    if (buf_reserve(&job->file, CHUNK)) {
        job->trap.nomem = true;
        longjmp(job->trap.jump, 1);
    }
    job->dest.next_output_byte = (JOCTET *)job->file.data + job->file.len;
    job->dest.free_in_buffer = CHUNK;
}

static void dest_open(j_compress_ptr cinfo)
{
    make_room(cinfo->client_data);
}

static boolean dest_full(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->file.len += CHUNK;
    make_room(job);
    return TRUE;
}

static void dest_close(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    job->file.len += CHUNK - job->dest.free_in_buffer;
}

static void write_part(struct job *job)
{
    struct jpeg_compress_struct *c = &job->cinfo;
    const struct image *img = job->img;
    size_t channels = (size_t)img->channels, stride = (size_t)img->width * channels;
    c->err = image_jpeg_trap_init(&job->trap);
    jpeg_create_compress(c);
    c->client_data = job;
    job->dest.init_destination = dest_open;
    job->dest.empty_output_buffer = dest_full;
    job->dest.term_destination = dest_close;
    c->dest = &job->dest;
    c->image_width = (JDIMENSION)job->width;
    c->image_height = (JDIMENSION)job->height;
    c->input_components = img->channels;
    c->in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, job->quality, TRUE);
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        size_t y = (size_t)job->y + c->next_scanline;
        JSAMPROW row = img->pixels + y * stride + (size_t)job->x * channels;
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
}

/* The only frame that libjpeg jumps to; it has no locals to lose. */
static bool guarded(struct job *job)
{
    if (setjmp(job->trap.jump))
        return false;
    write_part(job);
    return true;
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
    bool done = guarded(job);
    jpeg_destroy_compress(&job->cinfo);
    status st = done ? read_part(job, out, e) : image_jpeg_trap_status(&job->trap, e);
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
