#include "purify/purify.h"

#include <string.h>

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

status purify_pixel_digest(const struct image *img, struct digest *out)
{
    uint8_t head[12];
    put_u32(head, (uint32_t)img->width);
    put_u32(head + 4, (uint32_t)img->height);
    put_u32(head + 8, (uint32_t)img->channels);
    struct digest_part parts[2] = {{head, sizeof head}, {img->pixels, image_pixel_bytes(img)}};
    return digest_sha256(parts, 2, out);
}
