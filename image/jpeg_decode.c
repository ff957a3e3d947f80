/*
 * JPEG to pixels, through libjpeg's own interface (TurboJPEG's hides the warnings that tell a
 * damaged file, and does not read CMYK to RGB).
 *
 * The default methods (accurate integer DCT, smooth chroma upsampling) are what PIL and torchvision
 * use, so the pixels are those that a reader of the source sees.
 */
#include "jpeg_format.h"

#include <string.h>

/* A progressive file may hold any number of scans, each of which costs a pass over the whole image;
   real ones have about ten. */
enum { MAX_SCANS = 500 };

struct job {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_trap trap;
    struct jpeg_progress_mgr progress;
    const uint8_t *data;
    size_t len;
    struct image *img;
    uint8_t *cmyk_row; /* (W,4); NULL unless the file has four components */
};

/* For what we refuse ourselves: as if libjpeg had said so. */
static void fail(struct job *job, bool nomem, const char *text)
{
    job->trap.nomem = nomem;
    snprintf(job->trap.text, sizeof job->trap.text, "%s", text);
    longjmp(job->trap.jump, 1);
}

static void on_progress(j_common_ptr common)
{
    struct job *job = (struct job *)common->client_data;
    if (job->cinfo.input_scan_number > MAX_SCANS)
        fail(job, false, "too many scans");
}

/* Ink to light. Adobe stores the inks inverted: 255 is no ink. */
static void cmyk_to_rgb(const uint8_t *from, int width, bool inverted, uint8_t *to)
{
    uint8_t flip = inverted ? 0 : 255;
    for (int x = 0; x < width; x++, from += 4) {
        unsigned k = from[3] ^ flip;
        for (int c = 0; c < 3; c++)
            *to++ = (uint8_t)(((from[c] ^ flip) * k + 127) / 255);
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
            cmyk_to_rgb(job->cmyk_row, img->width, d->saw_Adobe_marker, row);
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

static void read_pixels(struct job *job)
{
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
    jpeg_finish_decompress(d); /* reads on to EOI, so that a file cut short is noticed */
}

/* The only frame that libjpeg jumps to; it has no locals to lose. */
static bool guarded(struct job *job)
{
    if (setjmp(job->trap.jump))
        return false;
    read_pixels(job);
    return true;
}

status image_jpeg_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e)
{
    (void)h;
    struct job job = {.data = data, .len = len, .img = img};
    bool done = guarded(&job);
    jpeg_destroy_decompress(&job.cinfo);
    mem_free(job.cmyk_row);
    return done ? STATUS_OK : image_jpeg_trap_status(&job.trap, e);
}
