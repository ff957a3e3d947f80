/* Augmentations that compute a pixel from its neighbours or from other places. */
#include "augments/tools.h"

#include "stream.h"

#include <math.h>
#include <string.h>

static int clamp_int(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* ---- cutout ---- */

struct cutout {
    int side;
    float p;
};
static const struct param cutout_rows[] = {
    {"side", PARAM_INT, offsetof(struct cutout, side), .lo = 1, .hi = 4096, .standard = "16",
     .unit = "pixels", .about = "side of the hole"},
    {"p", PARAM_FLOAT, offsetof(struct cutout, p), .lo = 0, .hi = 1, .standard = "1",
     .about = "probability"},
};

/* The hole's centre is a pixel of the image, so that a part of it may lie outside. */
static status cutout(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    const struct cutout *c = params;
    if (!augment_acts(r, c->p))
        return STATUS_OK;
    int left = stream_below(nn_rng_u32(r, 1), p->width) - c->side / 2;
    int top = stream_below(nn_rng_u32(r, 2), p->height) - c->side / 2;
    int right = clamp_int(left + c->side, 0, p->width);
    int bottom = clamp_int(top + c->side, 0, p->height);
    left = clamp_int(left, 0, p->width);
    for (int y = clamp_int(top, 0, p->height); y < bottom; y++)
        memset(p->x + ((size_t)y * (size_t)p->width + (size_t)left) * (size_t)p->channels, 0,
               (size_t)(right - left) * (size_t)p->channels * sizeof *p->x);
    return STATUS_OK;
}

/* ---- Gaussian blur ---- */

struct gaussian {
    int side;
    float sigma;
};
static const struct param gaussian_rows[] = {
    {"side", PARAM_INT, offsetof(struct gaussian, side), .lo = 1, .hi = 31, .standard = "3",
     .unit = "pixels", .about = "side of the window"},
    {"sigma", PARAM_FLOAT, offsetof(struct gaussian, sigma), .lo = .01, .hi = 100, .standard = "1",
     .unit = "pixels", .about = "standard deviation"},
};

/* One direction; the border's pixels are repeated outwards. */
static void blur(const struct augment_pixels *p, const float *in, float *out, const float *weight,
                 int half, bool across)
{
    int c = p->channels, last = (across ? p->width : p->height) - 1;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++)
            for (int k = 0; k < c; k++) {
                float sum = 0;
                for (int d = -half; d <= half; d++) {
                    int sx = across ? clamp_int(x + d, 0, last) : x;
                    int sy = across ? y : clamp_int(y + d, 0, last);
                    sum += weight[d + half] * in[(sy * p->width + sx) * c + k];
                }
                *out++ = sum;
            }
}

static status gaussian(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    const struct gaussian *g = params;
    int half = g->side / 2;
    float weight[32], total = 0;
    (void)r;
    for (int d = -half; d <= half; d++)
        total += weight[d + half] = expf(-.5f * (float)(d * d) / (g->sigma * g->sigma));
    for (int d = 0; d <= 2 * half; d++)
        weight[d] /= total;
    blur(p, p->x, p->spare, weight, half, true);
    blur(p, p->spare, p->x, weight, half, false);
    return STATUS_OK;
}

/* ---- JPEG ---- */

struct jpeg {
    int least, most;
    float p;
};
static const struct param jpeg_rows[] = {
    {"least", PARAM_INT, offsetof(struct jpeg, least), .lo = 1, .hi = 100, .standard = "10",
     .about = "quality at least"},
    {"most", PARAM_INT, offsetof(struct jpeg, most), .lo = 1, .hi = 100, .standard = "10",
     .about = "quality at most; below the least: that"},
    {"p", PARAM_FLOAT, offsetof(struct jpeg, p), .lo = 0, .hi = 1, .standard = "1",
     .about = "probability"},
};

static status jpeg(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    const struct jpeg *j = params;
    if (!augment_acts(r, j->p))
        return STATUS_OK;
    size_t n = augment_count(p);
    int spread = j->most > j->least ? j->most - j->least : 0;
    int quality = j->least + stream_below(nn_rng_u32(r, 1), spread + 1);
    AUTO(mem_free) uint8_t *pixels = mem_alloc(2 * n);
    if (!pixels)
        return STATUS_NOMEM;
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)(p->x[i] * 255 + .5f);
    struct image img = {p->width, p->height, p->channels, pixels, NULL};
    status st = image_jpeg_round_trip(&img, quality, pixels + n, NULL);
    for (size_t i = 0; i < n && !st; i++)
        p->x[i] = (float)pixels[n + i] / 255;
    return st;
}

/* ---- rotation and resized crop: the image seen through a linear map ---- */

static float texel(const struct augment_pixels *p, const struct augment_map *m, int x, int y, int k)
{
    bool in = x >= 0 && x < p->width && y >= 0 && y < p->height;
    if (!in && m->black)
        return 0;
    x = clamp_int(x, 0, p->width - 1);
    y = clamp_int(y, 0, p->height - 1);
    return p->x[(y * p->width + x) * p->channels + k];
}

void augment_warp(struct augment_pixels *p, const struct augment_map *m)
{
    float *out = p->spare;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            float sx = m->ax * (float)x + m->bx * (float)y + m->cx;
            float sy = m->ay * (float)x + m->by * (float)y + m->cy;
            int x0 = (int)floorf(sx), y0 = (int)floorf(sy);
            float fx = sx - (float)x0, fy = sy - (float)y0;
            for (int k = 0; k < p->channels; k++) {
                float top = texel(p, m, x0, y0, k), low = texel(p, m, x0, y0 + 1, k);
                top += fx * (texel(p, m, x0 + 1, y0, k) - top);
                low += fx * (texel(p, m, x0 + 1, y0 + 1, k) - low);
                *out++ = top + fy * (low - top);
            }
        }
    memcpy(p->x, p->spare, augment_count(p) * sizeof *p->x);
}

struct augment_map augment_about_centre(const struct augment_pixels *p, float ax, float bx,
                                        float ay, float by)
{
    float mx = (float)(p->width - 1) / 2, my = (float)(p->height - 1) / 2;
    return (struct augment_map){ax,  bx, mx - ax * mx - bx * my, ay, by, my - ay * mx - by * my,
                                true};
}

struct rotation {
    float degrees;
};
static const struct param rotation_rows[] = {
    {"degrees", PARAM_FLOAT, offsetof(struct rotation, degrees), .lo = 0, .hi = 180,
     .standard = "10", .about = "at most so far either way"},
};

static status rotation(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    float degrees = ((const struct rotation *)params)->degrees;
    float angle = augment_uniform(r, 1, -degrees, degrees) * 3.14159265f / 180;
    float c = cosf(angle), s = sinf(angle);
    struct augment_map m = augment_about_centre(p, c, -s, s, c);
    augment_warp(p, &m);
    return STATUS_OK;
}

struct resized {
    float least, p;
};
static const struct param resized_rows[] = {
    {"least", PARAM_FLOAT, offsetof(struct resized, least), .lo = .01, .hi = 1, .standard = "0.2",
     .about = "part of the area that is kept at least"},
    {"p", PARAM_FLOAT, offsetof(struct resized, p), .lo = 0, .hi = 1, .standard = "1",
     .about = "probability"},
};

struct augment_map augment_window(int width, int height, float least, struct nn_rng r, uint64_t at)
{
    float w = (float)width, h = (float)height;
    float area = augment_uniform(r, at, least, 1);
    float ratio = expf(augment_uniform(r, at + 1, logf(.75f), logf(1 / .75f)));
    float cw = fminf(w * sqrtf(area * ratio), w), ch = fminf(h * sqrtf(area / ratio), h);
    float left = augment_uniform(r, at + 2, 0, w - cw), top = augment_uniform(r, at + 3, 0, h - ch);
    float sx = cw / w, sy = ch / h;
    return (struct augment_map){sx, 0, left + (sx - 1) / 2, 0, sy, top + (sy - 1) / 2, false};
}

static status resized(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    const struct resized *c = params;
    if (!augment_acts(r, c->p))
        return STATUS_OK;
    struct augment_map m = augment_window(p->width, p->height, c->least, r, 1);
    augment_warp(p, &m);
    return STATUS_OK;
}

const struct augment_ops augment_shapes[] = {
    {.is = {.name = "cutout",
            .summary = "a black hole at a random place",
            .params = PARAM_TABLE(cutout_rows, struct cutout)},
     .number = 7,
     .apply = cutout},
    {.is = {.name = "gaussian",
            .summary = "Gaussian blur",
            .params = PARAM_TABLE(gaussian_rows, struct gaussian)},
     .number = 8,
     .apply = gaussian},
    {.is = {.name = "jpeg",
            .summary = "saved as a JPEG and read again",
            .params = PARAM_TABLE(jpeg_rows, struct jpeg)},
     .number = 11,
     .apply = jpeg},
    {.is = {.name = "rotation",
            .summary = "turned by a random angle, black outside",
            .params = PARAM_TABLE(rotation_rows, struct rotation)},
     .number = 9,
     .apply = rotation},
    {.is = {.name = "resized-crop",
            .summary = "a random part, enlarged",
            .params = PARAM_TABLE(resized_rows, struct resized)},
     .number = 10,
     .apply = resized},
    {.is = {.name = NULL}},
};
