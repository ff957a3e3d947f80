#include "protect/strong.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float crop_part = .9f, jitter_p = .8f, factor_part = .4f, hue_part = .1f, grey_p = .2f;

/* ---- draws ---- */

struct strong strong_draw(struct nn_rng r, uint64_t at, double strength, struct shift_frame f)
{
    float s = (float)strength, most = factor_part * s;
    struct strong d = {
        .map = augment_window(f.width, f.height, 1 - crop_part * s, r, at),
        .jitter = augment_uniform(r, at + 5, 0, 1) < jitter_p * s,
        .brightness = augment_uniform(r, at + 6, 1 - most, 1 + most),
        .contrast = augment_uniform(r, at + 7, 1 - most, 1 + most),
        .saturation = augment_uniform(r, at + 8, 1 - most, 1 + most),
        .hue = augment_uniform(r, at + 9, -hue_part * s, hue_part * s),
        .grey = augment_uniform(r, at + 10, 0, 1) < grey_p * s,
    };
    if (nn_rng_u32(r, at + 4) & 1) { /* mirrored: width - 1 - x for x */
        d.map.cx += d.map.ax * (float)(f.width - 1);
        d.map.ax = -d.map.ax;
    }
    return d;
}

void strong_text(double s, char out[STRONG_TEXT_MAX])
{
    double most = (double)factor_part * s;
    snprintf(out, STRONG_TEXT_MAX,
             "resized-crop:least=%.6g,jitter:p=%.6g:brightness=%.6g:contrast=%.6g:saturation=%.6g:"
             "hue=%.6g,grey:p=%.6g",
             1 - (double)crop_part * s, (double)jitter_p * s, most, most, most,
             (double)hue_part * s, (double)grey_p * s);
}

/* ---- the image ---- */

/* What has been made of an image after each part, in work; the last row is spare. */
enum stage { WARPED, BRIGHT, CONTRASTED, SATURATED, HUED, SPARE };
_Static_assert(SPARE + 1 == STRONG_WORK, "a row each");

static size_t values(struct shift_frame f)
{
    return (size_t)f.width * (size_t)f.height * (size_t)f.channels;
}

static float *row(float *work, struct shift_frame f, enum stage at)
{
    return work + (size_t)at * values(f);
}

/* The next stage, as the one before at first. */
static void next(struct augment_pixels *p, struct shift_frame f)
{
    memcpy(p->x + values(f), p->x, values(f) * sizeof *p->x);
    p->x += values(f);
}

static void make_stages(const struct strong *s, struct shift_frame f, const float *in, float *work)
{
    struct augment_pixels p = {f.width, f.height, f.channels, work, row(work, f, SPARE)};
    memcpy(p.x, in, values(f) * sizeof *in);
    augment_warp(&p, &s->map);
    next(&p, f);
    if (s->jitter)
        augment_blend(&p, s->brightness, 0);
    next(&p, f);
    if (s->jitter)
        augment_blend(&p, s->contrast, augment_mean_grey(&p));
    next(&p, f);
    if (s->jitter && f.channels == 3)
        augment_saturate(&p, s->saturation);
    next(&p, f);
    if (s->jitter && f.channels == 3)
        augment_turn_hue(&p, s->hue);
}

void strong_image(const struct strong *s, struct shift_frame f, const float *in, float *out,
                  float *work)
{
    make_stages(s, f, in, work);
    memcpy(out, row(work, f, HUED), values(f) * sizeof *out);
    struct augment_pixels p = {f.width, f.height, f.channels, out, row(work, f, SPARE)};
    if (s->grey && f.channels == 3)
        augment_grey(&p);
}

/* ---- gradients, each with respect to a stage -> with respect to the one before, in place ---- */

static float sum3(const float *g)
{
    return g[0] + g[1] + g[2];
}

static void grey_back(size_t n, float *g)
{
    for (size_t i = 0; i < n; i += 3) {
        float sum = sum3(g + i);
        for (size_t k = 0; k < 3; k++)
            g[i + k] = augment_luma[k] * sum;
    }
}

/* A value was max - span * slope(at on the circle), which is linear in the three values before between
   the corners of the circle. */
static void hue_back_pixel(float shift, const float *rgb, float *g)
{
    static const float offset[3] = {5, 3, 1};
    float max = fmaxf(rgb[0], fmaxf(rgb[1], rgb[2])), min = fminf(rgb[0], fminf(rgb[1], rgb[2]));
    float span = max - min;
    if (!(span > 0))
        return;
    int top = max == rgb[0] ? 0 : max == rgb[1] ? 1 : 2;
    int low = min == rgb[2] ? 2 : min == rgb[1] ? 1 : 0;
    int ahead = (top + 1) % 3,
        behind = (top + 2) % 3; /* the hue grows with this, falls with that */
    float h = augment_hue(rgb, max, span) + 6 * shift + 6;
    float g_span = 0, g_hue = 0; /* the latter times -1 / span */
    for (int k = 0; k < 3; k++) {
        float at = fmodf(h + offset[k], 6), up = fminf(at, 4 - at);
        g_span -= g[k] * augment_clamp01(up);
        if (up > 0 && up < 1)
            g_hue += at < 2 ? g[k] : -g[k];
    }
    g_span += g_hue * (rgb[ahead] - rgb[behind]) / span;
    float g_max = sum3(g) + g_span;
    g[0] = g[1] = g[2] = 0;
    g[top] += g_max;
    g[low] -= g_span;
    g[ahead] -= g_hue;
    g[behind] += g_hue;
}

/* Whether towards + factor (x - towards) was not clipped. */
static bool kept(float x, float factor, float towards)
{
    float v = towards + factor * (x - towards);
    return v >= 0 && v <= 1;
}

static void saturation_back(float factor, size_t n, const float *x, float *g)
{
    for (size_t i = 0; i < n; i += 3) {
        float grey = 0, to_grey = 0;
        for (size_t k = 0; k < 3; k++)
            grey += augment_luma[k] * x[i + k];
        for (size_t k = 0; k < 3; k++) {
            if (!kept(x[i + k], factor, grey))
                g[i + k] = 0;
            to_grey += (1 - factor) * g[i + k];
        }
        for (size_t k = 0; k < 3; k++)
            g[i + k] = factor * g[i + k] + augment_luma[k] * to_grey;
    }
}

/* Brightness, without a mean; contrast, with one. */
static void blend_back(float factor, float mean, bool has_mean, int channels, size_t n,
                       const float *x, float *g)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!kept(x[i], factor, mean))
            g[i] = 0;
        sum += (double)g[i];
    }
    float to_mean =
        has_mean ? (float)((double)(1 - factor) * sum * channels / (double)n) : 0; /* a pixel */
    for (size_t i = 0; i < n; i++)
        g[i] = factor * g[i] + to_mean * (channels == 3 ? augment_luma[i % 3] : 1);
}

static int within(int v, int side)
{
    return v < 0 ? 0 : v >= side ? side - 1 : v;
}

static void warp_back(const struct augment_map *m, struct shift_frame f, const float *out,
                      float *in)
{
    memset(in, 0, values(f) * sizeof *in);
    for (int y = 0; y < f.height; y++)
        for (int x = 0; x < f.width; x++) {
            float sx = m->ax * (float)x + m->cx, sy = m->by * (float)y + m->cy;
            int x0 = (int)floorf(sx), y0 = (int)floorf(sy);
            float fx = sx - (float)x0, fy = sy - (float)y0;
            for (int corner = 0; corner < 4; corner++) {
                int dx = corner & 1, dy = corner >> 1;
                float weight = (dx ? fx : 1 - fx) * (dy ? fy : 1 - fy);
                float *to = in + (within(y0 + dy, f.height) * f.width + within(x0 + dx, f.width)) *
                                     f.channels;
                for (int k = 0; k < f.channels; k++)
                    to[k] += weight * out[k];
            }
            out += f.channels;
        }
}

void strong_gradient(const struct strong *s, struct shift_frame f, const float *in,
                     const float *out_gradient, float *in_gradient, float *work)
{
    size_t n = values(f);
    make_stages(s, f, in, work);
    float *g = row(work, f, SPARE);
    memcpy(g, out_gradient, n * sizeof *g);
    bool colours = f.channels == 3;
    if (s->grey && colours)
        grey_back(n, g);
    if (s->jitter && colours) {
        for (size_t i = 0; i < n; i += 3)
            hue_back_pixel(s->hue, row(work, f, SATURATED) + i, g + i);
        saturation_back(s->saturation, n, row(work, f, CONTRASTED), g);
    }
    if (s->jitter) {
        float *bright = row(work, f, BRIGHT);
        struct augment_pixels p = {f.width, f.height, f.channels, bright, NULL};
        blend_back(s->contrast, augment_mean_grey(&p), true, f.channels, n, bright, g);
        blend_back(s->brightness, 0, false, f.channels, n, row(work, f, WARPED), g);
    }
    warp_back(&s->map, f, g, in_gradient);
}
