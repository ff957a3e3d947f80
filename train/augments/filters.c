/*
 * Augmentations that were made against protections by class-wise filters (CUDA).
 *
 * scatter is COIN (Wang et al., "Corrupting Convolution-based Unlearnable Datasets with Pixel-based
 * Image Transformations", 2023), sharpen and lowpass are RSK and FF (Kim et al., "Learning from
 * Convolution-based Unlearnable Datasets", 2024), which their authors use one after the other. Theirs
 * are done before the crop, ours after it, and our sharpened image is as large as it was.
 */
#include "augments/tools.h"

#include "stream.h"

#include <math.h>
#include <string.h>

/* ---- scatter ---- */

struct scatter {
    float most;
};
static const struct param scatter_rows[] = {
    {"most", PARAM_FLOAT, offsetof(struct scatter, most), .lo = 0, .hi = 64, .standard = "2",
     .unit = "pixels", .about = "at most so far either way"},
};

static int around(int v, int side)
{
    return (v % side + side) % side;
}

/* The image at (x, y), bilinear, going on at the other side. */
static float sample(const struct augment_pixels *p, float x, float y, int k)
{
    int x0 = (int)floorf(x), y0 = (int)floorf(y), c = p->channels;
    float fx = x - (float)x0, fy = y - (float)y0;
    const float *top = p->x + around(y0, p->height) * p->width * c + k;
    const float *low = p->x + around(y0 + 1, p->height) * p->width * c + k;
    int left = around(x0, p->width) * c, right = around(x0 + 1, p->width) * c;
    float a = top[left] + fx * (top[right] - top[left]);
    float b = low[left] + fx * (low[right] - low[left]);
    return a + fy * (b - a);
}

static status scatter(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    float most = ((const struct scatter *)params)->most;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            int at = y * p->width + x;
            float sx = (float)x + augment_uniform(r, 2 * (uint64_t)at, -most, most);
            float sy = (float)y + augment_uniform(r, 2 * (uint64_t)at + 1, -most, most);
            for (int k = 0; k < p->channels; k++)
                p->spare[at * p->channels + k] = sample(p, sx, sy, k);
        }
    memcpy(p->x, p->spare, augment_count(p) * sizeof *p->x);
    return STATUS_OK;
}

/* ---- sharpen ---- */

struct sharpen {
    float centre, spread;
};
static const struct param sharpen_rows[] = {
    {"centre", PARAM_FLOAT, offsetof(struct sharpen, centre), .lo = 1, .hi = 100, .standard = "2.5",
     .about =
         "weight of the pixel; its four neighbours have a quarter of what is above 1, negative"},
    {"spread", PARAM_FLOAT, offsetof(struct sharpen, spread), .lo = 0, .hi = 10, .standard = "0.1",
     .about = "standard deviation of each weight"},
};

static status sharpen(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    const struct sharpen *s = params;
    float weight[5]; /* of the pixel, and above, to the left, to the right, below */
    nn_rng_normal(r, 0, weight, ARRAY_LEN(weight));
    weight[0] = s->centre + s->spread * weight[0];
    for (int i = 1; i < 5; i++)
        weight[i] = (weight[0] - 1) / 4 + s->spread * weight[i];
    int w = p->width, h = p->height, c = p->channels;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const float *at = p->x + (y * w + x) * c;
            int up = y ? -w * c : 0, down = y < h - 1 ? w * c : 0;
            int left = x ? -c : 0, right = x < w - 1 ? c : 0;
            for (int k = 0; k < c; k++)
                p->spare[(y * w + x) * c + k] = augment_clamp01(
                    weight[0] * at[k] - weight[1] * at[up + k] - weight[2] * at[left + k] -
                    weight[3] * at[right + k] - weight[4] * at[down + k]);
        }
    memcpy(p->x, p->spare, augment_count(p) * sizeof *p->x);
    return STATUS_OK;
}

/* ---- lowpass ---- */

struct lowpass {
    float part;
};
static const struct param lowpass_rows[] = {
    {"part", PARAM_FLOAT, offsetof(struct lowpass, part), .lo = 0, .hi = 1, .standard = "0.3",
     .about = "of the frequencies in each direction that is kept"},
};

/* n values `step` apart, of which the lowest `keep` frequencies of the DCT-II are left; cosine:
   (keep,n), orthonormal. */
static void keep_low(const float *cosine, float *v, int step, int n, int keep, float *sum)
{
    for (int f = 0; f < keep; f++) {
        sum[f] = 0;
        for (int i = 0; i < n; i++)
            sum[f] += cosine[f * n + i] * v[i * step];
    }
    for (int i = 0; i < n; i++) {
        v[i * step] = 0;
        for (int f = 0; f < keep; f++)
            v[i * step] += cosine[f * n + i] * sum[f];
    }
}

static void make_cosines(int n, int keep, float *out)
{
    for (int f = 0; f < keep; f++)
        for (int i = 0; i < n; i++)
            out[f * n + i] = sqrtf((f ? 2.f : 1.f) / (float)n) *
                             cosf(3.14159265f * ((float)i + .5f) * (float)f / (float)n);
}

static status lowpass(const void *params, struct nn_rng r, struct augment_pixels *p)
{
    float part = ((const struct lowpass *)params)->part;
    int w = p->width, h = p->height, c = p->channels;
    int across = (int)((float)w * part), down = (int)((float)h * part);
    int most = across > down ? across : down;
    AUTO(mem_free)
    float *table = mem_zalloc(
        (size_t)across * (size_t)w + (size_t)down * (size_t)h + (size_t)most + 1, sizeof *table);
    (void)r;
    if (!table)
        return STATUS_NOMEM;
    float *columns = table + across * w, *sum = columns + down * h;
    make_cosines(w, across, table);
    make_cosines(h, down, columns);
    for (int k = 0; k < c; k++) {
        for (int y = 0; y < h; y++)
            keep_low(table, p->x + y * w * c + k, c, w, across, sum);
        for (int x = 0; x < w; x++)
            keep_low(columns, p->x + x * c + k, w * c, h, down, sum);
    }
    for (size_t i = 0; i < augment_count(p); i++)
        p->x[i] = augment_clamp01(p->x[i]);
    return STATUS_OK;
}

const struct augment_ops augment_filters[] = {
    {.is = {.name = "scatter",
            .summary = "each pixel from a random place nearby (COIN)",
            .params = PARAM_TABLE(scatter_rows, struct scatter)},
     .number = 16,
     .apply = scatter},
    {.is = {.name = "sharpen",
            .summary = "a random sharpening filter (RSK)",
            .params = PARAM_TABLE(sharpen_rows, struct sharpen)},
     .number = 17,
     .apply = sharpen},
    {.is = {.name = "lowpass",
            .summary = "low frequencies alone (FF)",
            .params = PARAM_TABLE(lowpass_rows, struct lowpass)},
     .number = 18,
     .apply = lowpass},
    {.is = {.name = NULL}},
};
