/* Augmentations that change the values of pixels where they are. */
#include "augments/tools.h"

#include <math.h>

const float augment_luma[3] = {.299f, .587f, .114f};

static float luma(const float *rgb)
{
    return augment_luma[0] * rgb[0] + augment_luma[1] * rgb[1] + augment_luma[2] * rgb[2];
}

/* ---- grey ---- */

struct grey {
    float p;
};
static const struct param grey_rows[] = {
    {"p", PARAM_FLOAT, offsetof(struct grey, p), .lo = 0, .hi = 1, .standard = "1",
     .about = "probability"},
};

void augment_grey(struct augment_pixels *p)
{
    for (size_t i = 0; i < augment_count(p); i += 3)
        p->x[i] = p->x[i + 1] = p->x[i + 2] = luma(p->x + i);
}

static status grey(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (p->channels == 3 && augment_acts(r, ((const struct grey *)params)->p))
        augment_grey(p);
    return STATUS_OK;
}

/* ---- depth ---- */

struct depth {
    int bits;
};
static const struct param depth_rows[] = {
    {"bits", PARAM_INT, offsetof(struct depth, bits), .lo = 1, .hi = 8, .standard = "2",
     .unit = "bits", .about = "of each value that are kept"},
};

/* The low bits become zero. */
static status depth(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    (void)r;
    int mask = 0xff00 >> ((const struct depth *)params)->bits & 0xff;
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = (float)((int)(p->x[i] * 255 + .5f) & mask) / 255;
    return STATUS_OK;
}

/* ---- noise ---- */

struct noise {
    float sigma;
};
static const struct param noise_rows[] = {
    {"sigma", PARAM_FLOAT, offsetof(struct noise, sigma), .lo = 0, .hi = 255, .standard = "8",
     .unit = "grey levels", .about = "standard deviation"},
};

static status noise(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    float sigma = ((const struct noise *)params)->sigma / 255;
    nn_rng_normal(r, 0, p->spare, augment_count(p));
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = augment_clamp01(p->x[i] + sigma * p->spare[i]);
    return STATUS_OK;
}

/* ---- colour jitter ---- */

struct jitter {
    float p, brightness, contrast, saturation, hue;
};
static const struct param jitter_rows[] = {
    {"p", PARAM_FLOAT, offsetof(struct jitter, p), .lo = 0, .hi = 1, .standard = "0.8",
     .about = "probability"},
    {"brightness", PARAM_FLOAT, offsetof(struct jitter, brightness), .lo = 0, .hi = 1,
     .standard = "0.4", .about = "times 1 plus or minus at most this"},
    {"contrast", PARAM_FLOAT, offsetof(struct jitter, contrast), .lo = 0, .hi = 1,
     .standard = "0.4", .about = "the same, about the mean grey"},
    {"saturation", PARAM_FLOAT, offsetof(struct jitter, saturation), .lo = 0, .hi = 1,
     .standard = "0.4", .about = "the same, about the pixel's grey"},
    {"hue", PARAM_FLOAT, offsetof(struct jitter, hue), .lo = 0, .hi = .5, .standard = "0.1",
     .about = "turned by at most this part of the circle"},
};

void augment_blend(struct augment_pixels *p, float factor, float towards)
{
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = augment_clamp01(towards + factor * (p->x[i] - towards));
}

float augment_mean_grey(const struct augment_pixels *p)
{
    double sum = 0;
    size_t c = (size_t)p->channels, n = augment_count(p);
    for (size_t i = 0; i < n; i += c)
        sum += (double)(c == 3 ? luma(p->x + i) : p->x[i]);
    return (float)(sum / (double)(n / c));
}

void augment_saturate(struct augment_pixels *p, float factor)
{
    for (size_t i = 0; i < augment_count(p); i += 3) {
        float grey_value = luma(p->x + i);
        for (size_t k = 0; k < 3; k++)
            p->x[i + k] = augment_clamp01(grey_value + factor * (p->x[i + k] - grey_value));
    }
}

float augment_hue(const float *rgb, float max, float span)
{
    float h;
    if (max == rgb[0])
        h = (rgb[1] - rgb[2]) / span;
    else if (max == rgb[1])
        h = 2 + (rgb[2] - rgb[0]) / span;
    else
        h = 4 + (rgb[0] - rgb[1]) / span;
    return h < 0 ? h + 6 : h;
}

void augment_turn_hue(struct augment_pixels *p, float shift)
{
    static const float offset[3] = {5, 3, 1}; /* of red, green, blue on the circle */
    for (size_t i = 0; i < augment_count(p); i += 3) {
        float *rgb = p->x + i;
        float max = fmaxf(rgb[0], fmaxf(rgb[1], rgb[2]));
        float span = max - fminf(rgb[0], fminf(rgb[1], rgb[2]));
        if (!(span > 0))
            continue;
        float h = augment_hue(rgb, max, span) + 6 * shift + 6;
        for (int k = 0; k < 3; k++) {
            float at = fmodf(h + offset[k], 6), up = fminf(at, 4 - at);
            rgb[k] = max - span * augment_clamp01(up);
        }
    }
}

/* In this order, which torchvision draws at random. */
static status jitter(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    const struct jitter *j = params;
    if (!augment_acts(r, j->p))
        return STATUS_OK;
    augment_blend(p, augment_uniform(r, 1, 1 - j->brightness, 1 + j->brightness), 0);
    augment_blend(p, augment_uniform(r, 2, 1 - j->contrast, 1 + j->contrast), augment_mean_grey(p));
    if (p->channels != 3)
        return STATUS_OK;
    augment_saturate(p, augment_uniform(r, 3, 1 - j->saturation, 1 + j->saturation));
    augment_turn_hue(p, augment_uniform(r, 4, -j->hue, j->hue));
    return STATUS_OK;
}

const struct augment_ops augment_colours[] = {
    {.is = {.name = "grey",
            .summary = "luma in every channel",
            .params = PARAM_TABLE(grey_rows, struct grey)},
     .number = 3,
     .apply = grey},
    {.is = {.name = "depth",
            .summary = "fewer bits a value",
            .params = PARAM_TABLE(depth_rows, struct depth)},
     .number = 4,
     .apply = depth},
    {.is = {.name = "noise",
            .summary = "Gaussian noise, another for each epoch",
            .params = PARAM_TABLE(noise_rows, struct noise)},
     .number = 5,
     .apply = noise},
    {.is = {.name = "jitter",
            .summary = "random brightness, contrast, saturation and hue",
            .params = PARAM_TABLE(jitter_rows, struct jitter)},
     .number = 6,
     .apply = jitter},
    {.is = {.name = NULL}},
};
