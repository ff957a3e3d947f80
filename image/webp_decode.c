/*
 * WebP to pixels, through libwebp. Its defaults are what PIL and OpenCV use. Of an animation the
 * first frame is shown, on the transparent (or black) canvas that PIL paints it on.
 */
#include "webp_format.h"

#include <string.h>
#include <webp/decode.h>

static status decoder_status(VP8StatusCode code, struct errmsg *e)
{
    switch (code) {
    case VP8_STATUS_OK:
        return STATUS_OK;
    case VP8_STATUS_OUT_OF_MEMORY:
        return errmsg_set(e, STATUS_NOMEM, "WebP: %s", status_text(STATUS_NOMEM));
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return errmsg_set(e, STATUS_CORRUPT, "WebP: the file is cut short");
    default:
        return errmsg_set(e, STATUS_CORRUPT, "WebP: the image data is damaged");
    }
}

/* samples: 3 or 4 a pixel; to: the canvas, (height, width, samples). */
static status decode(const uint8_t *data, size_t len, const struct webp_image *at,
                     const struct image *canvas, int samples, uint8_t *to, struct errmsg *e)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return errmsg_set(e, STATUS_INTERNAL, "WebP: libwebp is of another version");
    /* a frame's chunks are decoded without a file around them */
    const uint8_t *from = at->animated ? data + at->off : data;
    size_t n = at->animated ? (size_t)(at->end - at->off) : len;
    VP8StatusCode code = WebPGetFeatures(from, n, &config.input);
    if (code == VP8_STATUS_OK &&
        (config.input.width != at->width || config.input.height != at->height))
        return errmsg_set(e, STATUS_CORRUPT, "WebP: the header contradicts itself");
    if (code != VP8_STATUS_OK)
        return decoder_status(code, e);
    size_t stride = (size_t)canvas->width * (size_t)samples;
    size_t first = (size_t)at->y * stride + (size_t)at->x * (size_t)samples;
    config.output.colorspace = samples == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = to + first;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * (size_t)canvas->height - first;
    code = WebPDecode(from, n, &config);
    WebPFreeDecBuffer(&config.output);
    return decoder_status(code, e);
}

static void split_alpha(const uint8_t *both, struct image *img)
{
    size_t n = (size_t)img->width * (size_t)img->height;
    for (size_t i = 0; i < n; i++, both += 4) {
        memcpy(img->pixels + 3 * i, both, 3);
        img->alpha[i] = both[3];
    }
}

status image_webp_decode(const uint8_t *data, size_t len, const struct header *h, struct image *img,
                         struct errmsg *e)
{
    (void)h;
    struct source s;
    struct webp_image at;
    source_init_memory(&s, data, len);
    status st = image_webp_find(&s, &at, e);
    if (st)
        return st;
    if (at.end > len)
        return errmsg_set(e, STATUS_CORRUPT, "WebP: the file is cut short");
    if (!img->alpha) {
        if (at.animated)
            memset(img->pixels, 0, image_pixel_bytes(img));
        return decode(data, len, &at, img, 3, img->pixels, e);
    }
    AUTO(mem_free) uint8_t *both = mem_zalloc((size_t)img->width * (size_t)img->height, 4);
    if (!both)
        return errmsg_set(e, STATUS_NOMEM, "WebP: %s", status_text(STATUS_NOMEM));
    st = decode(data, len, &at, img, 4, both, e);
    if (!st)
        split_alpha(both, img);
    return st;
}
