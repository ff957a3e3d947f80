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
extern const float augment_luma[3]; /* Rec. 601 */
/* The mean over the pixels, of luma. */
float augment_mean_grey(const struct augment_pixels *p);
/* towards + factor (x - towards), of every value. */
void augment_blend(struct augment_pixels *p, float factor, float towards);
/* Of three channels. The same towards each pixel's own luma; luma in every channel; value and chroma
   of HSV stay, and the hue moves by `shift` of the circle. */
void augment_saturate(struct augment_pixels *p, float factor);
void augment_grey(struct augment_pixels *p);
void augment_turn_hue(struct augment_pixels *p, float shift);
/* Hue of HSV in sixths of the circle, [0,6); span is max - min, above 0. */
float augment_hue(const float *rgb, float max, float span);

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
/* A window of a uniform part (least or more) of the area and sides in a ratio of 3:4 to 4:3, uniform
   in its logarithm, cut to the image, and enlarged to its size: by four words from `at` on. */
struct augment_map augment_window(int width, int height, float least, struct nn_rng r, uint64_t at);

#endif
