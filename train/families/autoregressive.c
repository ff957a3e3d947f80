/*
 * Autoregressive noise: what AR adds (Sandoval-Segura et al., NeurIPS 2022; autoregress.h), with a
 * filter of its own for each channel. As there, a filter's entries are normal numbers divided by
 * their sum, the first rows and columns are dropped, and a filter that makes the noise grow is drawn
 * again. Of the scale of normal numbers (family_bounded), whatever the filter.
 */
#include "family.h"

#include "autoregress.h"

#include <math.h>

enum { TAPS = AUTOREGRESS_TAPS, DROPPED = 4, ATTEMPTS = 64 };
static const double most_deviation = 1.5; /* AR's norm of 50 at 32x32 */

struct buffers {
    float *draw;
    double *noise; /* (H+DROPPED,W+DROPPED) */
};

static size_t noise_count(struct family_frame f)
{
    return (size_t)(f.width + DROPPED) * (size_t)(f.height + DROPPED);
}

static void end(void *state)
{
    struct buffers *b = state;
    if (!b)
        return;
    mem_free(b->draw);
    mem_free(b->noise);
    mem_free(b);
}

static status begin(struct family_frame f, void **out_state, struct errmsg *e)
{
    struct buffers *b = *out_state = mem_zalloc(1, sizeof *b);
    (void)e;
    if (!b)
        return STATUS_NOMEM;
    b->draw = mem_alloc(noise_count(f) * sizeof *b->draw);
    b->noise = mem_alloc(noise_count(f) * sizeof *b->noise);
    return b->draw && b->noise ? STATUS_OK : STATUS_NOMEM; /* end() frees */
}

/* The last attempt is a mean of the eight, which cannot grow. */
static void draw_filter(struct nn_rng r, uint64_t at, bool last, double *filter)
{
    float draw[TAPS];
    double sum = 0;
    nn_rng_normal(r, at, draw, TAPS);
    for (int i = 0; i < TAPS; i++)
        sum += filter[i] = last ? 1 : (double)draw[i];
    for (int i = 0; i < TAPS; i++)
        filter[i] /= sum;
}

/* Standard deviation of what is not dropped. */
static double deviation(const double *noise, struct family_frame f)
{
    double square = 0;
    for (int y = DROPPED; y < f.height + DROPPED; y++)
        for (int x = DROPPED; x < f.width + DROPPED; x++)
            square += noise[y * (f.width + DROPPED) + x] * noise[y * (f.width + DROPPED) + x];
    return sqrt(square / ((double)f.width * f.height));
}

/* One channel of noise; its deviation is returned. */
static double make_noise(const struct buffers *b, struct family_frame f, struct nn_rng r,
                         uint64_t at)
{
    size_t n = noise_count(f);
    uint64_t even = (n + 1) & ~(uint64_t)1;
    for (int attempt = 1;; attempt++, at += TAPS + even) {
        double filter[TAPS];
        draw_filter(r, at, attempt == ATTEMPTS, filter);
        nn_rng_normal(r, at + TAPS, b->draw, n);
        for (size_t i = 0; i < n; i++)
            b->noise[i] = (double)b->draw[i];
        autoregress_sweep(filter, b->noise, f.height + DROPPED, f.width + DROPPED);
        double all = deviation(b->noise, f);
        if (attempt == ATTEMPTS || (all > 0 && all <= most_deviation))
            return all;
    }
}

static status make(void *state, struct family_frame f, struct family_draw d, const uint8_t *image,
                   float *out)
{
    const struct buffers *b = state;
    uint64_t words = (uint64_t)ATTEMPTS * (TAPS + noise_count(f) + 1);
    (void)image;
    for (int c = 0; c < f.channels; c++) {
        double all = make_noise(b, f, d.r, (uint64_t)c * (words + (words & 1)));
        for (int i = 0; i < f.width * f.height; i++) {
            int y = i / f.width + DROPPED, x = i % f.width + DROPPED;
            double v = b->noise[y * (f.width + DROPPED) + x] / all;
            out[i * f.channels + c] = d.amplitude * family_bounded((float)v);
        }
    }
    return STATUS_OK;
}

const struct family_ops family_autoregressive = {
    .is = {.name = "autoregressive",
           .summary = "noise of which each value follows from those before it",
           .share = 10,
           .told = "autoregressive noise",
           .like = "AR"},
    .begin = begin,
    .end = end,
    .make = make,
};
