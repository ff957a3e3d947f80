#ifndef TRAIN_AUGMENTS_TOOLS_H
#define TRAIN_AUGMENTS_TOOLS_H
/* What several augmentations are made of. */
#include "augment.h"

static inline float augment_clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}
static inline size_t augment_count(const struct augment_pixels *p)
{
    return (size_t)p->width * (size_t)p->height * (size_t)p->channels;
}

/* ---- colours.c ---- */
/* towards + factor (x - towards), of every value. */
void augment_blend(struct augment_pixels *p, float factor, float towards);

/* ---- shapes.c ---- */
/* Pixel (x,y) of the result is the image at (ax x + bx y + cx, ay x + by y + cy), bilinear between
   the centres of its pixels. Outside is black, or else the border's pixels are repeated. */
struct augment_map {
    float ax, bx, cx, ay, by, cy;
    bool black;
};
void augment_warp(struct augment_pixels *p, const struct augment_map *m);
/* A linear map about the image's centre. */
struct augment_map augment_about_centre(const struct augment_pixels *p, float ax, float bx,
                                        float ay, float by);

#endif
