#include "audit/views.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float residual_sigma = .7f, smooth_sigma = 1.5f, smooth_below = 16;
static const float texture_limit = 12; /* grey levels, so that no single pixel decides */
enum { LAG = 2, LAGS = 3 * (LAG + 1) + 2 * LAG, RADIUS_MAX = 8, NEIGHBOURS = 9 };

static size_t values(struct view_frame f)
{
    return (size_t)f.width * (size_t)f.height * (size_t)f.channels;
}

size_t view_size(enum view v, struct view_frame f)
{
    size_t c = (size_t)f.channels;
    return v == VIEW_TEXTURE ? (LAGS * c + 1) * c : values(f);
}

/* ---- blur ---- */

/* Beyond the border the image is mirrored at the border's pixels. */
static int mirrored(int i, int n)
{
    i = i < 0 ? -i : i;
    return i >= n ? 2 * (n - 1) - i : i;
}

/* n values `step` apart. */
static void blur_line(const float *weight, int radius, const float *in, float *out, int step, int n)
{
    for (int i = 0; i < n; i++) {
        float sum = 0;
        for (int d = -radius; d <= radius; d++)
            sum += weight[d + radius] * in[mirrored(i + d, n) * step];
        out[i * step] = sum;
    }
}

/* spare: as large. out may be in. */
static void blur(struct view_frame f, float sigma, const float *in, float *out, float *spare)
{
    float weight[2 * RADIUS_MAX + 1], total = 0;
    int radius = (int)(3 * sigma + .5f), least = f.width < f.height ? f.width : f.height;
    radius = radius < least ? radius : least - 1;
    for (int d = -radius; d <= radius; d++)
        total += weight[d + radius] = expf(-.5f * (float)(d * d) / (sigma * sigma));
    for (int d = 0; d <= 2 * radius; d++)
        weight[d] /= total;
    int c = f.channels, row = f.width * c;
    for (int y = 0; y < f.height; y++)
        for (int k = 0; k < c; k++)
            blur_line(weight, radius, in + y * row + k, spare + y * row + k, c, f.width);
    for (int x = 0; x < row; x++)
        blur_line(weight, radius, spare + x, out + x, row, f.height);
}

/* ---- pattern ---- */

/* work: two images. */
static void pattern(struct view_frame f, const float *image, float *out, float *work)
{
    size_t n = values(f), pixels = n / (size_t)f.channels;
    float *strongest = work, *spare = work + n;
    blur(f, residual_sigma, image, out, spare);
    for (size_t i = 0; i < n; i++)
        out[i] = image[i] - out[i];
    memset(strongest, 0, pixels * sizeof *strongest);
    for (size_t i = 0; i < n; i++) {
        float *most = &strongest[i / (size_t)f.channels], square = out[i] * out[i];
        *most = square > *most ? square : *most;
    }
    const struct view_frame one = {f.width, f.height, 1};
    blur(one, smooth_sigma, strongest, strongest, spare);
    for (size_t i = 0; i < n; i++)
        if (!(strongest[i / (size_t)f.channels] < smooth_below * smooth_below))
            out[i] = 0;
}

/* ---- texture ---- */

/* Means of products of channel a at (x,y) with channel b at (x - dx, y - dy): (C,C). */
static void covariances(struct view_frame f, const float *r, int dx, int dy, float *out)
{
    int c = f.channels, from = dx > 0 ? dx : 0, to = f.width + (dx < 0 ? dx : 0);
    double sum[9] = {0};
    for (int y = dy; y < f.height; y++)
        for (int x = from; x < to; x++) {
            const float *at = r + (y * f.width + x) * c;
            const float *other = r + ((y - dy) * f.width + x - dx) * c;
            for (int a = 0; a < c; a++)
                for (int b = 0; b < c; b++)
                    sum[a * c + b] += (double)at[a] * (double)other[b];
        }
    for (int i = 0; i < c * c; i++)
        out[i] = (float)(sum[i] / ((double)(f.height - dy) * (to - from)));
}

/* work: three images. */
static void texture(struct view_frame f, const float *image, float *out, float *work)
{
    size_t n = values(f), c = (size_t)f.channels;
    float *r = work + 2 * n;
    pattern(f, image, r, work);
    double variance[3] = {0}, all = 0;
    for (size_t i = 0; i < n; i++) {
        r[i] = fminf(fmaxf(r[i], -texture_limit), texture_limit);
        variance[i % c] += (double)(r[i] * r[i]) * (double)c / (double)n;
    }
    for (size_t k = 0; k < c; k++)
        all += variance[k] / (double)c;
    float *to = out;
    for (int dy = 0; dy <= LAG; dy++)
        for (int dx = dy ? -LAG : 0; dx <= LAG; dx++, to += c * c)
            covariances(f, r, dx, dy, to);
    for (float *p = out; p < to; p++)
        *p /= (float)(all + .5);
    for (size_t k = 0; k < c; k++)
        *to++ = logf((float)variance[k] + .1f);
}

/* ---- spot ---- */

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float median_at(struct view_frame f, const float *image, int x, int y, int k)
{
    float v[NEIGHBOURS];
    for (int i = 0; i < NEIGHBOURS; i++) {
        int sx = mirrored(x + i % 3 - 1, f.width), sy = mirrored(y + i / 3 - 1, f.height);
        v[i] = image[(sy * f.width + sx) * f.channels + k];
    }
    qsort(v, NEIGHBOURS, sizeof *v, by_value);
    return v[NEIGHBOURS / 2];
}

static void spot(struct view_frame f, const float *image, float *out)
{
    int at = 0, c = f.channels;
    float far = -1, found[3] = {0};
    for (int p = 0; p < f.width * f.height; p++) {
        float here[3], most = 0;
        for (int k = 0; k < c; k++) {
            here[k] = image[p * c + k] - median_at(f, image, p % f.width, p / f.width, k);
            most = fmaxf(most, fabsf(here[k]));
        }
        if (most > far) {
            far = most;
            at = p;
            memcpy(found, here, sizeof here);
        }
    }
    memset(out, 0, values(f) * sizeof *out);
    memcpy(out + at * c, found, (size_t)c * sizeof *out);
}

void view_middle(struct view_frame f, const uint8_t *pixels, int width, int height, float *out)
{
    int c = f.channels, row = f.width * c, left = (width - f.width) / 2;
    for (int y = 0; y < f.height; y++) {
        const uint8_t *from = pixels + (((height - f.height) / 2 + y) * width + left) * c;
        for (int p = 0; p < row; p++)
            *out++ = from[p];
    }
}

status view_make(enum view v, struct view_frame f, const float *image, float *out)
{
    AUTO(mem_free) float *work = mem_alloc(3 * values(f) * sizeof *work);
    if (!work)
        return STATUS_NOMEM;
    if (v == VIEW_PATTERN)
        pattern(f, image, out, work);
    else if (v == VIEW_TEXTURE)
        texture(f, image, out, work);
    else
        spot(f, image, out);
    return STATUS_OK;
}
