/*
 * The augmentations that UEraser (Qin et al. 2023) erases unlearnable examples with: brightness and
 * contrast that vary over the image as a plasma fractal does, channels in another order, and one
 * random operation of the usual ones (TrivialAugment, Müller & Hutter 2021).
 */
#include "augments/tools.h"

#include "stream.h"

#include <math.h>
#include <string.h>

/* ---- plasma ---- */

struct plasma {
    float p;
};
static const struct param plasma_rows[] = {
    {"p", PARAM_FLOAT, offsetof(struct plasma, p), .lo = 0, .hi = 1, .standard = "0.5",
     .about = "probability"},
};
enum { WORD_ROUGH = 1, WORD_INTENSITY, WORD_GRID = 16 };

struct fractal {
    struct nn_rng r;
    float *at; /* (side+1, side+1) */
    int side;  /* a power of two */
};

/* The mean of those of the four that lie within, and noise. */
static void settle(struct fractal *f, int y, int x, const int (*around)[2], int step, float noise)
{
    float sum = 0;
    int n = 0, row = f->side + 1;
    for (int i = 0; i < 4; i++) {
        int sy = y + around[i][0] * step, sx = x + around[i][1] * step;
        if (sy < 0 || sx < 0 || sy > f->side || sx > f->side)
            continue;
        sum += f->at[sy * row + sx];
        n++;
    }
    uint64_t word = WORD_GRID + (uint64_t)(y * row + x);
    f->at[y * row + x] = sum / (float)n + augment_uniform(f->r, word, -noise, noise);
}

/* Diamond-square (Fournier, Fussell & Carpenter 1982): noise falls by `roughness` a level. */
static void grow(struct fractal *f, float roughness)
{
    static const int corners[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
    static const int sides[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    float noise = 1;
    for (int i = 0; i < 4; i++) {
        int at = (i & 1) * f->side + (i >> 1) * f->side * (f->side + 1);
        f->at[at] = augment_uniform(f->r, WORD_GRID + (uint64_t)at, -1, 1);
    }
    for (int half = f->side / 2; half; half /= 2, noise *= roughness) {
        for (int y = half; y < f->side; y += 2 * half)
            for (int x = half; x < f->side; x += 2 * half)
                settle(f, y, x, corners, half, noise);
        for (int y = 0; y <= f->side; y += half)
            for (int x = y / half % 2 ? 0 : half; x <= f->side; x += 2 * half)
                settle(f, y, x, sides, half, noise);
    }
}

/* A fractal of the image's size from 0 to 1, into spare's first width * height floats. */
static status plasma(struct nn_rng r, struct augment_pixels *p)
{
    struct fractal f = {.r = r, .side = 1};
    while (f.side < p->width - 1 || f.side < p->height - 1)
        f.side *= 2;
    size_t row = (size_t)f.side + 1;
    AUTO(mem_free) float *at = mem_zalloc(row * row, sizeof *at);
    if (!at)
        return STATUS_NOMEM;
    f.at = at;
    grow(&f, augment_uniform(r, WORD_ROUGH, .3f, .7f));
    float low = INFINITY, high = -INFINITY;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            float v = p->spare[y * p->width + x] = at[(size_t)y * row + (size_t)x];
            low = fminf(low, v);
            high = fmaxf(high, v);
        }
    for (int i = 0; i < p->width * p->height; i++)
        p->spare[i] = high > low ? (p->spare[i] - low) / (high - low) : .5f;
    return STATUS_OK;
}

static status brightness(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (!augment_acts(r, ((const struct plasma *)params)->p))
        return STATUS_OK;
    float most = augment_uniform(r, WORD_INTENSITY, .5f, 1);
    status st = plasma(r, p);
    size_t c = (size_t)p->channels;
    for (size_t i = 0; i < augment_count(p) && !st; i++)
        p->x[i] = augment_clamp01(p->x[i] + most * (2 * p->spare[i / c] - 1));
    return st;
}

static status contrast(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (!augment_acts(r, ((const struct plasma *)params)->p))
        return STATUS_OK;
    status st = plasma(r, p);
    size_t c = (size_t)p->channels;
    for (size_t i = 0; i < augment_count(p) && !st; i++)
        p->x[i] = augment_clamp01(.5f + 4 * p->spare[i / c] * (p->x[i] - .5f));
    return st;
}

/* ---- channels ---- */

static status shuffle(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    int order[3] = {0, 1, 2};
    if (p->channels != 3 || !augment_acts(r, ((const struct plasma *)params)->p))
        return STATUS_OK;
    for (int i = 2; i > 0; i--) {
        int k = stream_below(nn_rng_u32(r, (uint64_t)i), i + 1), kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
    for (size_t i = 0; i < augment_count(p); i += 3) {
        float rgb[3] = {p->x[i], p->x[i + 1], p->x[i + 2]};
        for (int k = 0; k < 3; k++)
            p->x[i + (size_t)k] = rgb[order[k]];
    }
    return STATUS_OK;
}

/* ---- one operation; v says how much, uniform in the row's range ---- */

static void stretch(struct augment_pixels *p, float v)
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

static int level(float v)
{
    return (int)(v * 255 + .5f);
}

/* A value becomes the share of values that are lower, the lowest 0 and the highest 1. */
static void equalise(struct augment_pixels *p, float v)
{
    int n = p->width * p->height;
    (void)v;
    for (int k = 0; k < p->channels; k++) {
        int seen[256] = {0}, below[256], sum = 0, highest = 0;
        for (size_t i = (size_t)k; i < augment_count(p); i += (size_t)p->channels)
            seen[level(p->x[i])]++;
        for (int i = 0; i < 256; i++) {
            below[i] = sum;
            sum += seen[i];
            highest = seen[i] ? seen[i] : highest;
        }
        for (size_t i = (size_t)k; i < augment_count(p) && n > highest; i += (size_t)p->channels)
            p->x[i] = (float)below[level(p->x[i])] / (float)(n - highest);
    }
}

static void posterise(struct augment_pixels *p, float v)
{
    int mask = 0xff << (int)v & 0xff;
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = (float)(level(p->x[i]) & mask) / 255;
}

static void solarise(struct augment_pixels *p, float v)
{
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = p->x[i] < v ? p->x[i] : 1 - p->x[i];
}

static void colour(struct augment_pixels *p, float v)
{
    if (p->channels == 3)
        augment_saturate(p, v);
}

static void more_contrast(struct augment_pixels *p, float v)
{
    augment_blend(p, v, augment_mean_grey(p));
}

static void brighter(struct augment_pixels *p, float v)
{
    augment_blend(p, v, 0);
}

static void turn(struct augment_pixels *p, float v)
{
    float c = cosf(v), s = sinf(v);
    struct augment_map m = augment_about_centre(p, c, -s, s, c);
    augment_warp(p, &m);
}

static void shear_x(struct augment_pixels *p, float v)
{
    struct augment_map m = augment_about_centre(p, 1, v, 0, 1);
    augment_warp(p, &m);
}

static void shear_y(struct augment_pixels *p, float v)
{
    struct augment_map m = augment_about_centre(p, 1, 0, v, 1);
    augment_warp(p, &m);
}

static void move_x(struct augment_pixels *p, float v)
{
    augment_warp(p, &(struct augment_map){1, 0, v * (float)p->width, 0, 1, 0, true});
}

static void move_y(struct augment_pixels *p, float v)
{
    augment_warp(p, &(struct augment_map){1, 0, 0, 0, 1, v * (float)p->height, true});
}

static const struct {
    void (*act)(struct augment_pixels *p, float v);
    float low, high;
} operations[] = {
    {stretch, 0, 0},      {equalise, 0, 0},     {turn, -.5236f, .5236f},    {posterise, 0, 4},
    {solarise, 0, 1},     {colour, .1f, 1.9f},  {more_contrast, .1f, 1.9f}, {brighter, .1f, 1.9f},
    {shear_x, -.3f, .3f}, {shear_y, -.3f, .3f}, {move_x, -.1f, .1f},        {move_y, -.1f, .1f},
};

static status trivial(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (!augment_acts(r, ((const struct plasma *)params)->p))
        return STATUS_OK;
    int i = stream_below(nn_rng_u32(r, 1), (int)ARRAY_LEN(operations));
    operations[i].act(p, augment_uniform(r, 2, operations[i].low, operations[i].high));
    return STATUS_OK;
}

const struct augment_ops augment_eraser[] = {
    {.is = {.name = "plasma-brightness",
            .summary = "brighter and darker clouds",
            .params = PARAM_TABLE(plasma_rows, struct plasma)},
     .number = 12,
     .apply = brightness},
    {.is = {.name = "plasma-contrast",
            .summary = "clouds of more and less contrast",
            .params = PARAM_TABLE(plasma_rows, struct plasma)},
     .number = 13,
     .apply = contrast},
    {.is = {.name = "shuffle",
            .summary = "channels in another order",
            .params = PARAM_TABLE(plasma_rows, struct plasma)},
     .number = 14,
     .apply = shuffle},
    {.is = {.name = "trivial",
            .summary = "one operation at random, of random strength (TrivialAugment)",
            .params = PARAM_TABLE(plasma_rows, struct plasma)},
     .number = 15,
     .apply = trivial},
    {.is = {.name = NULL}},
};
