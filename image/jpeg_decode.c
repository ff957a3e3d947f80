/*
 * JPEG to pixels, through libjpeg's own interface (TurboJPEG's hides the warnings that tell a file
 * that is cut short, and does not read CMYK to RGB).
 *
 * The default methods (accurate integer DCT, smooth chroma upsampling) are what PIL and torchvision
 * use, so the pixels are those that a reader of the source sees; the same goes for damage, which
 * libjpeg warns of and goes on after. Only a file that ends before its image data does is refused
 * (see jpeg_trap.c). What follows the last row is not looked at.
 */
#include "jpeg_format.h"

#include <string.h>

struct job {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_trap trap;
    struct jpeg_progress_mgr progress;
    const uint8_t *data;
    size_t len;
    struct image *img;
    uint8_t *cmyk_row; /* (W,4); NULL unless the file has four components */
    uint64_t max_scans;
    bool too_much; /* they are more */
};

/* For what we refuse ourselves: like an error of libjpeg. */
static void fail(struct job *job, bool nomem, const char *text)
{
    job->trap.nomem = nomem;
    snprintf(job->trap.text, sizeof job->trap.text, "%s", text);
    longjmp(job->trap.jump, 1);
}

static void on_progress(j_common_ptr common)
{
    struct job *job = (struct job *)common->client_data;
    if ((uint64_t)job->cinfo.input_scan_number <= job->max_scans)
        return;
    job->too_much = true;
    fail(job, false, "more scans than an image of its size needs");
}

/* Ink to light. With or without Adobe's mark, PIL and OpenCV take the inks to be stored inverted as
   Adobe does (255: none). The arithmetic is PIL's. */
static void cmyk_to_rgb(const uint8_t *from, int width, uint8_t *to)
{
    for (int x = 0; x < width; x++, from += 4) {
        unsigned k = from[3];
        for (int c = 0; c < 3; c++) {
            unsigned ink = (255u - from[c]) * k + 128;
            *to++ = (uint8_t)(k - ((ink >> 8) + ink) / 256);
        }
    }
}

static void read_rows(struct job *job)
{
    struct jpeg_decompress_struct *d = &job->cinfo;
    struct image *img = job->img;
    size_t stride = (size_t)img->width * (size_t)img->channels;
    while (d->output_scanline < d->output_height) {
        uint8_t *row = img->pixels + d->output_scanline * stride;
        JSAMPROW to = job->cmyk_row ? job->cmyk_row : row;
        jpeg_read_scanlines(d, &to, 1);
        if (job->cmyk_row)
            cmyk_to_rgb(job->cmyk_row, img->width, row);
    }
}

static void choose_output(struct job *job)
{
    struct jpeg_decompress_struct *d = &job->cinfo;
    struct image *img = job->img;
    if ((int)d->image_width != img->width || (int)d->image_height != img->height ||
        (d->num_components == 1) != (img->channels == 1))
        fail(job, false, "the header contradicts itself");
    d->out_color_space = img->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    if (d->num_components != 4)
        return;
    d->out_color_space = JCS_CMYK;
    job->cmyk_row = mem_alloc((size_t)img->width * 4);
    if (!job->cmyk_row)
        fail(job, true, status_text(STATUS_NOMEM));
}

static void read_pixels(void *arg)
{
    struct job *job = arg;
    struct jpeg_decompress_struct *d = &job->cinfo;
    d->err = image_jpeg_trap_init(&job->trap);
    jpeg_create_decompress(d);
    d->client_data = job;
    job->progress.progress_monitor = on_progress;
    d->progress = &job->progress;
    jpeg_mem_src(d, job->data, (unsigned long)job->len);
    jpeg_read_header(d, TRUE);
    choose_output(job);
    jpeg_start_decompress(d);
    read_rows(job);
}

status image_jpeg_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e)
{
    struct job job = {
        .data = data, .len = len, .img = img, .max_scans = image_jpeg_max_scans(&h->info)};
    bool done = image_jpeg_try(&job.trap, read_pixels, &job);
    jpeg_destroy_decompress(&job.cinfo);
    mem_free(job.cmyk_row);
    if (job.too_much)
        return errmsg_set(e, STATUS_LIMIT, "JPEG: %s", job.trap.text);
    return done ? STATUS_OK : image_jpeg_trap_status(&job.trap, e);
}
