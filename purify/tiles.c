#include "tiles.h"

#include <math.h>
#include <string.h>

enum { TILE_MAX = 1024 }; /* as large as a network may be */

int tile_origin(const struct tile_axis *a, int i)
{
    if (a->length <= a->tile)
        return -((a->tile - a->length) / 2);
    int64_t travel = a->length - a->tile, gaps = a->count - 1;
    return (int)((2 * i * travel + gaps) / (2 * gaps));
}

/* The tiles that share a pixel follow each other, so only neighbours are asked. */
void tile_weights(const struct tile_axis *a, const double *window, int i, float *out)
{
    int n = a->tile, origin = tile_origin(a, i);
    double sum[TILE_MAX];
    for (int u = 0; u < n; u++)
        sum[u] = window[u];
    for (int direction = -1; direction <= 1; direction += 2)
        for (int k = i + direction; k >= 0 && k < a->count; k += direction) {
            int shift = tile_origin(a, k) - origin; /* its first pixel in our coordinates */
            if (shift <= -n || shift >= n)
                break;
            for (int u = shift > 0 ? shift : 0; u < n && u - shift < n; u++)
                sum[u] += window[u - shift];
        }
    for (int u = 0; u < n; u++) {
        bool inside = origin + u >= 0 && origin + u < a->length;
        out[u] = inside ? (float)(window[u] / sum[u]) : 0;
    }
}

int tile_count(int length, int tile, int overlap)
{
    int step = tile - overlap;
    return length > tile ? 1 + (int)(((int64_t)length - tile + step - 1) / step) : 1;
}

static struct tile_axis axis(int length, int tile, int overlap)
{
    return (struct tile_axis){
        .length = length, .tile = tile, .count = tile_count(length, tile, overlap)};
}

int64_t tiling_count(int width, int height, int tile, int overlap)
{
    return (int64_t)axis(width, tile, overlap).count * axis(height, tile, overlap).count;
}

status tiling_init(struct tiling *t, int width, int height, int channels, int tile, int overlap)
{
    *t = (struct tiling){.channels = channels};
    if (tile > TILE_MAX)
        return STATUS_LIMIT;
    t->x = axis(width, tile, overlap);
    t->y = axis(height, tile, overlap);
    size_t n = (size_t)tile;
    t->window = mem_alloc(n * (sizeof *t->window + 2 * sizeof *t->wx));
    if (!t->window)
        return STATUS_NOMEM;
    t->wx = (float *)(t->window + n);
    t->wy = t->wx + n;
    for (int u = 0; u < tile; u++)
        t->window[u] = 0.5 - 0.5 * cos((u + 0.5) / tile * 2 * 3.14159265358979323846);
    return STATUS_OK;
}

void tiling_done(struct tiling *t)
{
    mem_free(t->window);
    *t = (struct tiling){0};
}

/* Image coordinate of a coordinate that may lie in the margin: a triangle wave of period 2(n-1). */
static int reflect(int p, int n)
{
    if (n == 1)
        return 0;
    int period = 2 * (n - 1);
    p %= period;
    if (p < 0)
        p += period;
    return p < n ? p : period - p;
}

void tiling_load(const struct tiling *t, int i, int j, const struct image *img, float *out)
{
    int n = t->x.tile, from = img->channels, to = t->channels;
    int left = tile_origin(&t->x, i), top = tile_origin(&t->y, j);
    size_t stride = (size_t)img->width * (size_t)from;
    for (int v = 0; v < n; v++) {
        const uint8_t *row = img->pixels + stride * (size_t)reflect(top + v, img->height);
        for (int u = 0; u < n; u++) {
            const uint8_t *p = row + (size_t)from * (size_t)reflect(left + u, img->width);
            for (int c = 0; c < to; c++)
                *out++ = (float)p[from == to ? c : 0] / 127.5f - 1;
        }
    }
}

/* The whole canvas is one field of normals, row-major; nn_rng_normal wants even positions. */
static void noise_row(struct nn_rng rng, uint64_t at, size_t n, float *scratch, float *out)
{
    if (at % 2 == 0) {
        nn_rng_normal(rng, at, out, n);
        return;
    }
    nn_rng_normal(rng, at - 1, scratch, n + 1);
    memcpy(out, scratch + 1, n * sizeof *out);
}

void tiling_noise(const struct tiling *t, int i, int j, struct nn_rng rng, float *scratch,
                  float *out)
{
    int n = t->x.tile;
    uint64_t width = (uint64_t)(t->x.length > n ? t->x.length : n), c = (uint64_t)t->channels;
    int x = tile_origin(&t->x, i), y = tile_origin(&t->y, j);
    uint64_t left = (uint64_t)(x > 0 ? x : 0), top = (uint64_t)(y > 0 ? y : 0);
    if (width == (uint64_t)n && top * width * c % 2 == 0) { /* rows without gaps between them */
        nn_rng_normal(rng, top * width * c, out, tiling_elements(t));
        return;
    }
    size_t row = (size_t)n * (size_t)t->channels;
    for (int v = 0; v < n; v++)
        noise_row(rng, ((top + (uint64_t)v) * width + left) * c, row, scratch,
                  out + (size_t)v * row);
}

/* One row of a tile onto one row of the band; both begin at the tile's first pixel inside the
 * image. */
static void add_row(const float *restrict weight, float gain, int n, const float *restrict from,
                    int from_channels, float *restrict to, int to_channels)
{
    for (int u = 0; u < n; u++, from += from_channels, to += to_channels) {
        float w = gain * weight[u];
        if (to_channels == from_channels)
            for (int c = 0; c < to_channels; c++)
                to[c] += w * from[c];
        else
            to[0] += w * ((from[0] + from[1] + from[2]) / 3);
    }
}

void tiling_add(struct tiling *t, int i, int j, const float *tile, float gain, int channels,
                int top, float *band)
{
    int n = t->x.tile, x = tile_origin(&t->x, i), y = tile_origin(&t->y, j);
    int skip = x < 0 ? -x : 0, inside = t->x.length < n ? t->x.length : n;
    size_t width = (size_t)t->x.length;
    tile_weights(&t->x, t->window, i, t->wx);
    tile_weights(&t->y, t->window, j, t->wy);
    for (int v = 0; v < n; v++) {
        if (y + v < 0 || y + v >= t->y.length)
            continue;
        const float *from = tile + (size_t)(v * n + skip) * (size_t)t->channels;
        float *to = band + ((size_t)(y + v - top) * width + (size_t)(x + skip)) * (size_t)channels;
        add_row(t->wx + skip, gain * t->wy[v], inside, from, t->channels, to, channels);
    }
}
