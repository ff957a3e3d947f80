/* Pixel buffers, conversions, and the small facts that belong to no format. */
#include "image.h"

#include <math.h>
#include <string.h>
#include <strings.h>

status image_alloc(int width, int height, int channels, bool alpha, struct image *out)
{
    if (width < 1 || height < 1 || (channels != 1 && channels != 3))
        return STATUS_INVALID;
    size_t area;
    if (__builtin_mul_overflow((size_t)width, (size_t)height, &area) ||
        area > INT32_MAX / (size_t)(channels + alpha))
        return STATUS_LIMIT;
    struct image img = {width, height, channels, mem_alloc(area * (size_t)channels), NULL};
    if (alpha)
        img.alpha = mem_alloc(area);
    if (!img.pixels || (alpha && !img.alpha)) {
        image_done(&img);
        return STATUS_NOMEM;
    }
    *out = img;
    return STATUS_OK;
}

status image_copy(const struct image *src, struct image *out)
{
    struct image img;
    status st = image_alloc(src->width, src->height, src->channels, src->alpha != NULL, &img);
    if (st)
        return st;
    memcpy(img.pixels, src->pixels, image_pixel_bytes(src));
    if (src->alpha)
        memcpy(img.alpha, src->alpha, (size_t)src->width * (size_t)src->height);
    *out = img;
    return STATUS_OK;
}

void image_done(struct image *img)
{
    if (!img)
        return;
    mem_free(img->pixels);
    mem_free(img->alpha);
    *img = (struct image)IMAGE_INIT;
}

size_t image_pixel_bytes(const struct image *img)
{
    return (size_t)img->width * (size_t)img->height * (size_t)img->channels;
}

void image_to_f32(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)src[i] / 127.5f - 1.0f;
}

void image_from_f32(const float *src, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        float v = (src[i] + 1.0f) * 127.5f;
        /* written so that NaN fails the first test */
        if (!(v > 0.0f))
            v = 0.0f;
        else if (v > 255.0f)
            v = 255.0f;
        dst[i] = (uint8_t)rintf(v); /* the default rounding mode: half to even */
    }
}

void image_rgb_to_grey(const uint8_t *src, size_t pixels, uint8_t *dst)
{
    for (size_t i = 0; i < pixels; i++, src += 3)
        dst[i] = (uint8_t)((src[0] * 19595u + src[1] * 38470u + src[2] * 7471u + 0x8000u) >> 16);
}

void image_grey_to_rgb(const uint8_t *src, size_t pixels, uint8_t *dst)
{
    for (size_t i = 0; i < pixels; i++, dst += 3)
        dst[0] = dst[1] = dst[2] = src[i];
}

struct image_limits image_limits_default(void)
{
    return (struct image_limits){
        .max_pixels = (uint64_t)64 << 20,
        .max_file_bytes = (uint64_t)256 << 20,
        .max_metadata_bytes = (uint64_t)16 << 20,
    };
}

bool image_name_is_image(const char *name)
{
    static const char *const extensions[] = {".jpg", ".jpeg", ".png",  ".ppm", ".bmp",
                                             ".pgm", ".tif",  ".tiff", ".webp"};
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        size_t n = strlen(extensions[i]);
        if (len >= n && strcasecmp(name + len - n, extensions[i]) == 0)
            return true;
    }
    return false;
}
