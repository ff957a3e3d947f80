/*
 * What UEraser (Qin et al. 2023) does to an image before its one operation (trivial.c): brightness
 * and contrast that vary over the image as clouds do, each channel in its own way, and channels in
 * another order. Ranges are those of the authors' released code.
 */
#include "augments/fractal.h"
#include "augments/tools.h"

#include "stream.h"

struct plasma {
    float p;
};
static const struct param rows[] = {
    {"p", PARAM_FLOAT, offsetof(struct plasma, p), .lo = 0, .hi = 1, .standard = "0.5",
     .about = "probability"},
};
enum { WORD_ROUGH = 1, WORD_INTENSITY, WORD_FRACTAL = 16 };

/* A fractal of each channel, into spare. */
static status draw_clouds(struct nn_rng r, struct augment_pixels *p)
{
    float roughness = augment_uniform(r, WORD_ROUGH, .3f, .7f);
    uint64_t word = WORD_FRACTAL;
    status st = STATUS_OK;
    for (int k = 0; k < p->channels && !st; k++)
        st = augment_fractal(r, &word, roughness, p->width, p->height, p->spare + k,
                             (size_t)p->channels);
    return st;
}

static status brightness(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (!augment_acts(r, ((const struct plasma *)params)->p))
        return STATUS_OK;
    float most = augment_uniform(r, WORD_INTENSITY, .5f, 1);
    status st = draw_clouds(r, p);
    for (size_t i = 0; i < augment_count(p) && !st; i++)
        p->x[i] = augment_clamp01(p->x[i] + most * (2 * p->spare[i] - 1));
    return st;
}

static status contrast(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    if (!augment_acts(r, ((const struct plasma *)params)->p))
        return STATUS_OK;
    status st = draw_clouds(r, p);
    for (size_t i = 0; i < augment_count(p) && !st; i++)
        p->x[i] = augment_clamp01(.5f + 4 * p->spare[i] * (p->x[i] - .5f));
    return st;
}

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

const struct augment_ops augment_plasma[] = {
    {.is = {.name = "plasma-brightness",
            .summary = "brighter and darker clouds, other ones in each channel",
            .params = PARAM_TABLE(rows, struct plasma)},
     .number = 12,
     .apply = brightness},
    {.is = {.name = "plasma-contrast",
            .summary = "clouds of more and less contrast, other ones in each channel",
            .params = PARAM_TABLE(rows, struct plasma)},
     .number = 13,
     .apply = contrast},
    {.is = {.name = "shuffle",
            .summary = "channels in another order",
            .params = PARAM_TABLE(rows, struct plasma)},
     .number = 14,
     .apply = shuffle},
    {.is = {.name = NULL}},
};
