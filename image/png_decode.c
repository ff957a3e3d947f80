/*
 * PNG to pixels, through libpng.
 *
 * libpng reports errors by longjmp. The only frame it may jump to is guarded(), which has no locals
 * of its own; everything the jump must not lose lives in struct job, in the caller's frame.
 *
 * libpng is told to skip every chunk but IHDR, PLTE, tRNS, IDAT and IEND, so that text and profile
 * inflation never run, and to refuse a wrong CRC in any chunk, since the metadata we keep is
 * copied without being looked into.
 */
#include "png_format.h"

#include <assert.h>
#include <png.h>
#include <stdio.h>
#include <string.h>

struct job {
    const uint8_t *data;
    size_t len, at;
    const struct header *h;
    uint8_t *out; /* (H,W,C) or, with alpha, (H,W,C+1) */
    png_structp png;
    png_infop info;
    bool nomem;
    char error[128];
};

static void on_error(png_structp png, png_const_charp text)
{
    struct job *job = png_get_error_ptr(png);
    snprintf(job->error, sizeof job->error, "%s", text);
    png_longjmp(png, 1);
}

/* Warnings are about what is harmless for the pixels (extra compressed data, an odd palette). */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    struct job *job = png_get_io_ptr(png);
    if (n > job->len - job->at)
        png_error(png, "the file is cut short");
    memcpy(to, job->data + job->at, n);
    job->at += n;
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t n)
{
    struct job *job = png_get_mem_ptr(png);
    void *p = mem_alloc(n);
    if (!p)
        job->nomem = true;
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    mem_free(p);
}

static void set_limits(png_structp png, const struct image_info *i)
{
    png_set_user_limits(png, (png_uint_32)i->width, (png_uint_32)i->height);
    png_set_chunk_cache_max(png, 1);
    png_set_chunk_malloc_max(png, 1 << 20);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

static void read_pixels(struct job *job)
{
    const struct image_info *i = &job->h->info;
    png_structp png = job->png;
    set_limits(png, i);
    png_set_read_fn(png, job, on_read);
    png_read_info(png, job->info);
    png_set_expand(png); /* palette to RGB, 1, 2 and 4 bits to 8, tRNS to alpha */
    png_set_scale_16(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, job->info);
    size_t stride = (size_t)i->width * (size_t)(i->channels + i->has_alpha);
    if (png_get_rowbytes(png, job->info) != stride ||
        png_get_image_height(png, job->info) != (png_uint_32)i->height)
        png_error(png, "the header contradicts itself");
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < i->height; y++)
            png_read_row(png, job->out + (size_t)y * stride, NULL);
    png_read_end(png, NULL);
}

static bool guarded(struct job *job)
{
    if (setjmp(png_jmpbuf(job->png)))
        return false;
    read_pixels(job);
    return true;
}

static status run(struct job *job, struct errmsg *e)
{
    bool done = false;
    job->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, job, on_error, on_warning, job,
                                        on_alloc, on_free);
    if (job->png)
        job->info = png_create_info_struct(job->png);
    if (job->info)
        done = guarded(job);
    png_destroy_read_struct(&job->png, &job->info, NULL);
    if (done)
        return STATUS_OK;
    if (job->nomem)
        return errmsg_set(e, STATUS_NOMEM, "PNG: %s", status_text(STATUS_NOMEM));
    return errmsg_set(e, STATUS_CORRUPT, "PNG: %s", job->error);
}

/* (H,W,C+1) -> (H,W,C) and (H,W) */
static void split_alpha(const uint8_t *both, struct image *img)
{
    size_t n = (size_t)img->width * (size_t)img->height;
    uint8_t *to = img->pixels;
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < img->channels; c++)
            *to++ = *both++;
        img->alpha[i] = *both++;
    }
}

status image_png_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                        struct errmsg *e)
{
    struct job job = {.data = data, .len = len, .h = h, .out = img->pixels};
    AUTO(mem_free) uint8_t *both = NULL;
    if (img->alpha) {
        both =
            mem_alloc(image_pixel_bytes(img) / (size_t)img->channels * ((size_t)img->channels + 1));
        if (!both)
            return errmsg_set(e, STATUS_NOMEM, "PNG: %s", status_text(STATUS_NOMEM));
        job.out = both;
    }
    status st = run(&job, e);
    if (!st && both)
        split_alpha(both, img);
    return st;
}
