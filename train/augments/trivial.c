/*
 * TrivialAugment (Müller & Hutter 2021): one operation of a list, of random strength. List and
 * ranges are those of kornia's version of 2023, which UEraser uses, as that version really draws
 * them: rotations and translations go one way only, and shears are by less than a third of a degree.
 * (There one operation is drawn for a batch; here one for each image.)
 */
#include "augments/trivial.h"
#include "augments/tools.h"

#include "stream.h"

#include <math.h>
#include <string.h>

/* v, where an operation has one, says how much: uniform in the row's range. */

static void auto_contrast(struct augment_pixels *p, float v)
{
    (void)v;
    for (int k = 0; k < p->channels; k++) {
        float low = 1, high = 0;
        for (size_t i = (size_t)k; i < augment_count(p); i += (size_t)p->channels) {
            low = fminf(low, p->x[i]);
            high = fmaxf(high, p->x[i]);
        }
        for (size_t i = (size_t)k; i < augment_count(p) && high > low; i += (size_t)p->channels)
            p->x[i] = augment_clamp01((p->x[i] - low) / (high - low));
    }
}

/* Of 0..255, rounded down; but a number that is a whole one up to rounding is that one. */
static int level(float v)
{
    return (int)(v * 255 + 1e-3f);
}

/* PIL's equalisation of a channel: a level becomes (half a step and all pixels below it) / step. */
static void equalise_channel(struct augment_pixels *p, size_t k)
{
    int seen[256] = {0}, most = 0, pixels = p->width * p->height;
    for (size_t i = k; i < augment_count(p); i += (size_t)p->channels)
        seen[level(p->x[i])]++;
    for (int v = 0; v < 256; v++)
        most = seen[v] ? v : most;
    int step = (pixels - seen[most]) / 255, sum = step / 2;
    float to[256];
    for (int v = 0; v < 256 && step; v++) {
        int level_of_v = sum / step;
        to[v] = (float)(level_of_v > 255 ? 255 : level_of_v) / 255;
        sum += seen[v];
    }
    for (size_t i = k; i < augment_count(p) && step; i += (size_t)p->channels)
        p->x[i] = to[level(p->x[i])];
}

static void equalise(struct augment_pixels *p, float v)
{
    (void)v;
    for (int k = 0; k < p->channels; k++)
        equalise_channel(p, (size_t)k);
}

/* v bits stay; of 0 bits every value is black. */
static void posterise(struct augment_pixels *p, float v)
{
    int mask = 0xff00 >> (int)lrintf(v) & 0xff;
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = (float)(level(p->x[i]) & mask) / 255;
}

static void solarise(struct augment_pixels *p, float v)
{
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = p->x[i] < v ? p->x[i] : 1 - p->x[i];
}

/* Szeliski's contrast: a factor. */
static void multiply(struct augment_pixels *p, float v)
{
    augment_blend(p, v, 0);
}

/* Szeliski's brightness: a term. */
static void shift(struct augment_pixels *p, float v)
{
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = augment_clamp01(p->x[i] + v - 1);
}

/* From (or beyond) what a 3x3 filter with a heavy centre makes of the image; the border stays. */
static void sharpen(struct augment_pixels *p, float v)
{
    size_t c = (size_t)p->channels, row = (size_t)p->width * c;
    memcpy(p->spare, p->x, augment_count(p) * sizeof *p->x);
    for (size_t y = 1; y + 1 < (size_t)p->height; y++)
        for (size_t i = y * row + c; i < (y + 1) * row - c; i++) {
            const float *x = p->spare + i;
            float sum = 5 * x[0] + *(x - c) + x[c];
            for (size_t k = 0; k < 3; k++)
                sum += *(x - row - c + k * c) + x[row - c + k * c];
            float smooth = sum / 13;
            p->x[i] = augment_clamp01(smooth + v * (x[0] - smooth));
        }
}

static void rotate(struct augment_pixels *p, float v)
{
    float c = cosf(v), s = sinf(v);
    struct augment_map m = augment_about_centre(p, c, -s, s, c);
    augment_warp(p, &m);
}

static void shear_x(struct augment_pixels *p, float v)
{
    struct augment_map m = augment_about_centre(p, 1, tanf(v), 0, 1);
    augment_warp(p, &m);
}

static void shear_y(struct augment_pixels *p, float v)
{
    struct augment_map m = augment_about_centre(p, 1, 0, tanf(v), 1);
    augment_warp(p, &m);
}

static void translate_x(struct augment_pixels *p, float v)
{
    augment_warp(p, &(struct augment_map){1, 0, -v * (float)p->width, 0, 1, 0, true});
}

static void translate_y(struct augment_pixels *p, float v)
{
    augment_warp(p, &(struct augment_map){1, 0, 0, 0, 1, -v * (float)p->height, true});
}

#define DEGREES(d) ((d)*3.14159265f / 180)
static const struct {
    void (*act)(struct augment_pixels *p, float v);
    float low, high;
} operations[TRIVIAL_COUNT] = {
    [TRIVIAL_AUTO_CONTRAST] = {auto_contrast, 0, 0}, [TRIVIAL_EQUALISE] = {equalise, 0, 0},
    [TRIVIAL_ROTATE] = {rotate, 0, DEGREES(30)},     [TRIVIAL_POSTERISE] = {posterise, 0, 4},
    [TRIVIAL_SOLARISE] = {solarise, 0, 1},           [TRIVIAL_CONTRAST] = {multiply, .1f, 1.9f},
    [TRIVIAL_BRIGHTNESS] = {shift, .1f, 1.9f},       [TRIVIAL_SHARPNESS] = {sharpen, .1f, 1.9f},
    [TRIVIAL_SHEAR_X] = {shear_x, 0, DEGREES(.3f)},  [TRIVIAL_SHEAR_Y] = {shear_y, 0, DEGREES(.3f)},
    [TRIVIAL_TRANSLATE_X] = {translate_x, 0, .5f},   [TRIVIAL_TRANSLATE_Y] = {translate_y, 0, .5f},
};

void augment_trivial_do(struct augment_pixels *p, enum trivial_operation operation, float v)
{
    operations[operation].act(p, v);
}

struct trivial {
    float p;
};
static const struct param rows[] = {
    {"p", PARAM_FLOAT, offsetof(struct trivial, p), .lo = 0, .hi = 1, .standard = "1",
     .about = "probability"},
};

static status trivial(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (!augment_acts(r, ((const struct trivial *)params)->p))
        return STATUS_OK;
    int i = stream_below(nn_rng_u32(r, 1), TRIVIAL_COUNT);
    augment_trivial_do(p, (enum trivial_operation)i,
                       augment_uniform(r, 2, operations[i].low, operations[i].high));
    return STATUS_OK;
}

const struct augment_ops augment_trivial[] = {
    {.is = {.name = "trivial",
            .summary = "one operation at random, of random strength (TrivialAugment)",
            .params = PARAM_TABLE(rows, struct trivial)},
     .number = 15,
     .apply = trivial},
    {.is = {.name = NULL}},
};
