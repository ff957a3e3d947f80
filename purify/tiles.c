#include "tiles.h"

#include <math.h>
#include <string.h>

static void place(struct tile_axis *a)
{
    if (a->length <= a->tile) {
        a->origin[0] = -((a->tile - a->length) / 2);
        return;
    }
    int64_t travel = a->length - a->tile, gaps = a->count - 1;
    for (int i = 0; i < a->count; i++)
        a->origin[i] = (int)((2 * i * travel + gaps) / (2 * gaps));
}

/* The tiles that share a pixel follow each other, so only neighbours are asked. */
static void weigh(struct tile_axis *a)
{
    int n = a->tile;
    for (int i = 0; i < a->count; i++)
        for (int u = 0; u < n; u++) {
            int p = a->origin[i] + u;
            double sum = 0, own = 0;
            if (p >= 0 && p < a->length) {
                int first = i, last = i;
                while (first > 0 && a->origin[first - 1] + n > p)
                    first--;
                while (last + 1 < a->count && a->origin[last + 1] <= p)
                    last++;
                for (int k = first; k <= last; k++) {
                    double s = sin((p - a->origin[k] + 0.5) / n * 3.14159265358979323846);
                    sum += s * s;
                    own = k == i ? s * s : own;
                }
            }
            a->weight[(size_t)i * (size_t)n + (size_t)u] = sum > 0 ? (float)(own / sum) : 0;
        }
}

static status axis_init(struct tile_axis *a, int length, int tile, int overlap)
{
    int step = tile - overlap;
    *a = (struct tile_axis){.length = length, .tile = tile, .count = 1};
    if (length > tile)
        a->count += (int)(((int64_t)length - tile + step - 1) / step);
    a->origin = mem_zalloc((size_t)a->count, sizeof *a->origin);
    a->weight = mem_zalloc((size_t)a->count, (size_t)tile * sizeof *a->weight);
    if (!a->origin || !a->weight)
        return STATUS_NOMEM;
    place(a);
    weigh(a);
    return STATUS_OK;
}

status tiling_init(struct tiling *t, int width, int height, int channels, int tile, int overlap)
{
    *t = (struct tiling){.channels = channels};
    status st = axis_init(&t->x, width, tile, overlap);
    if (!st)
        st = axis_init(&t->y, height, tile, overlap);
    if (st)
        tiling_done(t);
    return st;
}

void tiling_done(struct tiling *t)
{
    mem_free(t->x.origin);
    mem_free(t->x.weight);
    mem_free(t->y.origin);
    mem_free(t->y.weight);
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
    size_t stride = (size_t)img->width * (size_t)from;
    for (int v = 0; v < n; v++) {
        const uint8_t *row =
            img->pixels + stride * (size_t)reflect(t->y.origin[j] + v, img->height);
        for (int u = 0; u < n; u++) {
            const uint8_t *p = row + (size_t)from * (size_t)reflect(t->x.origin[i] + u, img->width);
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
    uint64_t left = t->x.origin[i] > 0 ? (uint64_t)t->x.origin[i] : 0;
    uint64_t top = t->y.origin[j] > 0 ? (uint64_t)t->y.origin[j] : 0;
    if (width == (uint64_t)n && top * width * c % 2 == 0) { /* rows without gaps between them */
        nn_rng_normal(rng, top * width * c, out, tiling_elements(t));
        return;
    }
    size_t row = (size_t)n * (size_t)t->channels;
    for (int v = 0; v < n; v++)
        noise_row(rng, ((top + (uint64_t)v) * width + left) * c, row, scratch,
                  out + (size_t)v * row);
}

void tiling_add(const struct tiling *t, int i, int j, const float *tile, float gain, int channels,
                int top, float *band)
{
    int n = t->x.tile, from = t->channels;
    const float *wx = t->x.weight + (size_t)i * (size_t)n,
                *wy = t->y.weight + (size_t)j * (size_t)n;
    for (int v = 0; v < n; v++) {
        int y = t->y.origin[j] + v;
        if (y < 0 || y >= t->y.length)
            continue;
        for (int u = 0; u < n; u++) {
            int x = t->x.origin[i] + u;
            if (x < 0 || x >= t->x.length)
                continue;
            float w = gain * wy[v] * wx[u];
            const float *p = tile + ((size_t)v * (size_t)n + (size_t)u) * (size_t)from;
            float *q =
                band + ((size_t)(y - top) * (size_t)t->x.length + (size_t)x) * (size_t)channels;
            if (channels == from)
                for (int c = 0; c < channels; c++)
                    q[c] += w * p[c];
            else
                q[0] += w * ((p[0] + p[1] + p[2]) / 3);
        }
    }
}
