/* The compressor that jpeg_encode.c and jpeg_round_trip.c share: 8-bit pixels, libjpeg's defaults,
   a destination of the caller's. */
#include "jpeg_format.h"

void image_jpeg_compress_init(struct jpeg_writer *w, int width, int height, int channels,
                              int quality)
{
    struct jpeg_compress_struct *c = &w->cinfo;
    c->err = image_jpeg_trap_init(&w->trap);
    jpeg_create_compress(c); /* keeps err and client_data */
    c->client_data = w;
    c->dest = &w->dest;
    c->image_width = (JDIMENSION)width;
    c->image_height = (JDIMENSION)height;
    c->input_components = channels;
    c->in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
}

void image_jpeg_compress_rows(struct jpeg_writer *w, uint8_t *pixels, size_t stride)
{
    struct jpeg_compress_struct *c = &w->cinfo;
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = pixels + c->next_scanline * stride;
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
}
