#include "deconvolve.h"

#include <string.h>

/* to (h,w) = K from, or its transpose: the kernel turned by half a turn. */
static void correlate(const struct deconvolve_kernel *k, bool transposed, int width, int height,
                      const float *restrict from, float *restrict to)
{
    int half = k->side / 2, n = k->side * k->side;
    memset(to, 0, (size_t)width * (size_t)height * sizeof *to);
    for (int y = 0; y < height; y++)
        for (int i = 0; i < n; i++) {
            int v = y + i / k->side - half, shift = i % k->side - half;
            int first = shift < 0 ? -shift : 0, end = shift > 0 ? width - shift : width;
            float w = k->entry[transposed ? n - 1 - i : i];
            if (v < 0 || v >= height)
                continue;
            const float *row = from + (ptrdiff_t)v * width + shift;
            float *out = to + (ptrdiff_t)y * width;
            for (int x = first; x < end; x++)
                out[x] += w * row[x];
        }
}

/* In eight sums, which a vector holds, and always in this order. */
static float dot(const float *a, const float *b, size_t n)
{
    float sum[8] = {0}, all = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        all += a[i] * b[i];
    for (size_t k = 0; k < 8; k++)
        all += sum[k];
    return all;
}

static void add_scaled(float *restrict to, float s, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += s * from[i];
}

/* (K'K + damping) d = K' rest. */
void deconvolve_plane(const struct deconvolve_kernel *k, float damping, int width, int height,
                      const float *rest, float *scratch, float *out)
{
    size_t n = (size_t)width * (size_t)height;
    float *left = scratch, *way = left + n, *through = way + n, *product = through + n;
    correlate(k, true, width, height, rest, left);
    memcpy(way, left, n * sizeof *way);
    memset(out, 0, n * sizeof *out);
    float squares = dot(left, left, n);
    for (int i = 0; i < DECONVOLVE_STEPS && squares > 0; i++) {
        correlate(k, false, width, height, way, through);
        correlate(k, true, width, height, through, product);
        add_scaled(product, damping, way, n);
        float curvature = dot(way, product, n);
        if (!(curvature > 0))
            return;
        add_scaled(out, squares / curvature, way, n);
        add_scaled(left, -squares / curvature, product, n);
        float now = dot(left, left, n), turn = now / squares;
        for (size_t p = 0; p < n; p++)
            way[p] = left[p] + turn * way[p];
        squares = now;
    }
}
