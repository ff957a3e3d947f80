/*
 * equalise: filtered so that the smooth part of the power spectrum becomes that of natural images.
 *
 * A class-wise filter (CUDA's 3x3 kernels) multiplies the spectra of all images of a class alike: their
 * log power gets, besides a constant, cosines of lags up to two pixels. What an image has of these by
 * nature says little of its class. So of each image they are estimated, and a filter without phase sets
 * them to what natural images have on average:
 *
 *     log P(u,v) = c + sum over lags l of a_l cos(l . (u,v)) + rest
 *     gain(u,v)  = exp(clip(sum over l of (t_l - a_l) (cos(l . (u,v)) - 1) / 2))
 *
 * with t = `across` for the lags (0,1) and (1,0), `diagonal` for (1,1) and (1,-1), and 0 for the others
 * of the twelve. The constant, and with it brightness and the contrast of what is large, stays.
 *
 * P is estimated from the luma of squares of 32 pixels, each weighted by a Hann window, whose
 * coefficients a are averaged; frequencies with |u| + |v| below 0.6 do not count, and 30 is added to a
 * square's power, so that rounding is no texture. The gain is made a kernel of 17x17. Beyond its edge an
 * image is mirrored without repeating the edge.
 *
 * The defaults of t are the means of 2,000 unprotected images of CIFAR-10. Images of 64 pixels of Tiny
 * ImageNet have 0.81 and 0.27, halved to 32 pixels 0.99 and 0.37: what is purified for a network that is
 * to be tested on sharper images is better set to what those have.
 */
#include "blocks.h"
#include "window.h"

#include <math.h>
#include <string.h>

enum { SIDE = 32, HALF = SIDE / 2, RADIUS = 8, TAPS = 2 * RADIUS + 1, LAGS = 12, TERMS = LAGS + 1 };
static const double pi = 3.14159265358979323846, lowest = .6, least_power = 30;
static const int lag[LAGS][2] = {{0, 1}, {1, 0},  {1, 1}, {1, -1}, {0, 2}, {2, 0},
                                 {1, 2}, {1, -2}, {2, 1}, {2, -1}, {2, 2}, {2, -2}};

struct equalise {
    double across, diagonal, limit;
};
struct plan {
    double hann[SIDE], cosine[SIDE], sine[SIDE]; /* of 2 pi k / SIDE */
    double fit[TERMS][SIDE][HALF + 1];           /* log power at (v,u) -> a coefficient */
    double target[LAGS];
    double limit; /* of the log gain */
};
/* What is kept of an image from one pass to the other. */
struct found {
    double sum[LAGS]; /* over squares */
    int64_t squares;
    float kernel[TAPS][TAPS];
};

/* ---- the fit ---- */

static double angle(int k)
{
    return 2 * pi * (k <= HALF ? k : k - SIDE) / SIDE;
}

static double term(const struct plan *p, int i, int v, int u)
{
    return i ? p->cosine[(lag[i - 1][0] * v + lag[i - 1][1] * u) & (SIDE - 1)] : 1;
}

/* How often frequency (v,u) of the half plane stands in the whole one; 0: it does not count. */
static double weight(int v, int u)
{
    if (fabs(angle(v)) + fabs(angle(u)) <= lowest)
        return 0;
    return u == 0 || u == HALF ? 1 : 2;
}

/* Gauss and Jordan; the matrix is positive definite. */
static void invert(double m[TERMS][2 * TERMS])
{
    for (int i = 0; i < TERMS; i++) {
        double pivot = m[i][i];
        for (int k = 0; k < 2 * TERMS; k++)
            m[i][k] /= pivot;
        for (int j = 0; j < TERMS; j++) {
            double factor = m[j][i];
            for (int k = 0; k < 2 * TERMS && j != i; k++)
                m[j][k] -= factor * m[i][k];
        }
    }
}

/* Least squares over the frequencies that count. */
static void make_fit(struct plan *p)
{
    double m[TERMS][2 * TERMS] = {{0}};
    for (int i = 0; i < TERMS; i++) {
        m[i][TERMS + i] = 1;
        for (int v = 0; v < SIDE; v++)
            for (int u = 0; u <= HALF; u++)
                for (int j = 0; j < TERMS; j++)
                    m[i][j] += weight(v, u) * term(p, i, v, u) * term(p, j, v, u);
    }
    invert(m);
    for (int i = 0; i < TERMS; i++)
        for (int v = 0; v < SIDE; v++)
            for (int u = 0; u <= HALF; u++)
                for (int j = 0; j < TERMS; j++)
                    p->fit[i][v][u] += m[i][TERMS + j] * weight(v, u) * term(p, j, v, u);
}

static status plan(const void *values, const struct digest *id, void **out, struct errmsg *e)
{
    const struct equalise *q = values;
    struct plan *p = mem_zalloc(1, sizeof *p);
    (void)id;
    (void)e;
    if (!p)
        return STATUS_NOMEM;
    for (int k = 0; k < SIDE; k++) {
        p->hann[k] = .5 - .5 * cos(2 * pi * (k + 1) / (SIDE + 1));
        p->cosine[k] = cos(2 * pi * k / SIDE);
        p->sine[k] = sin(2 * pi * k / SIDE);
    }
    p->target[0] = p->target[1] = q->across;
    p->target[2] = p->target[3] = q->diagonal;
    p->limit = q->limit * log(10) / 20;
    make_fit(p);
    *out = p;
    return STATUS_OK;
}

/* ---- a square's spectrum ---- */

static int squares_along(int n)
{
    return (n + SIDE - 1) / SIDE;
}

static int64_t squares(int width, int height)
{
    return (int64_t)squares_along(width) * squares_along(height);
}

static double luma(const struct image *img, int y, int x)
{
    size_t at = ((size_t)window_mirror(y, img->height) * (size_t)img->width +
                 (size_t)window_mirror(x, img->width)) *
                (size_t)img->channels;
    const uint8_t *p = img->pixels + at;
    return img->channels == 1 ? p[0] : .299 * p[0] + .587 * p[1] + .114 * p[2];
}

/* The luma's deviation from its mean, under the window. */
static void load(const struct plan *p, const struct image *img, int top, int left,
                 double out[SIDE][SIDE])
{
    double mean = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            mean += out[y][x] = luma(img, top + y, left + x);
    mean /= SIDE * SIDE;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            out[y][x] = (out[y][x] - mean) * p->hann[y] * p->hann[x];
}

/* Its log power, by the definition of the transform, rows first. */
static void spectrum(const struct plan *p, double in[SIDE][SIDE], double out[SIDE][HALF + 1])
{
    double re[SIDE][HALF + 1] = {{0}}, im[SIDE][HALF + 1] = {{0}};
    for (int y = 0; y < SIDE; y++)
        for (int u = 0; u <= HALF; u++)
            for (int x = 0; x < SIDE; x++) {
                int k = u * x & (SIDE - 1);
                re[y][u] += in[y][x] * p->cosine[k];
                im[y][u] -= in[y][x] * p->sine[k];
            }
    for (int v = 0; v < SIDE; v++)
        for (int u = 0; u <= HALF; u++) {
            double a = 0, b = 0;
            for (int y = 0; y < SIDE; y++) {
                int k = v * y & (SIDE - 1);
                a += re[y][u] * p->cosine[k] + im[y][u] * p->sine[k];
                b += im[y][u] * p->cosine[k] - re[y][u] * p->sine[k];
            }
            out[v][u] = log(a * a + b * b + least_power);
        }
}

/* Where square i of so many begins; the last one ends with the image. */
static int begin_of(int i, int n)
{
    int at = i * SIDE, last = n - SIDE;
    return at < last ? at : last > 0 ? last : 0;
}

static void measure(const struct blocks *b, struct found *f)
{
    const struct plan *p = b->plan;
    const struct image *img = b->job.in;
    int columns = squares_along(img->width);
    double in[SIDE][SIDE], power[SIDE][HALF + 1];
    load(p, img, begin_of((int)(b->index / columns), img->height),
         begin_of((int)(b->index % columns), img->width), in);
    spectrum(p, in, power);
    for (int i = 0; i < LAGS; i++)
        for (int v = 0; v < SIDE; v++)
            for (int u = 0; u <= HALF; u++)
                f->sum[i] += p->fit[i + 1][v][u] * power[v][u];
    f->squares++;
}

/* ---- the filter ---- */

static double gain(const struct plan *p, const struct found *f, int v, int u)
{
    double g = 0;
    for (int i = 0; i < LAGS; i++)
        g += (p->target[i] - f->sum[i] / (double)f->squares) * (term(p, i + 1, v, u) - 1) / 2;
    return exp(fmax(-p->limit, fmin(p->limit, g)));
}

/* The inverse transform, which is even, cut off and of sum 1. */
static void make_kernel(const struct plan *p, struct found *f)
{
    double a[SIDE][TAPS] = {{0}}, b[SIDE][TAPS] = {{0}}, made[TAPS][TAPS] = {{0}}, sum = 0;
    for (int v = 0; v < SIDE; v++)
        for (int u = 0; u < SIDE; u++) {
            double g = gain(p, f, v, u);
            for (int x = 0; x < TAPS; x++) {
                int k = u * (x - RADIUS) & (SIDE - 1);
                a[v][x] += g * p->cosine[k];
                b[v][x] += g * p->sine[k];
            }
        }
    for (int y = 0; y < TAPS; y++)
        for (int v = 0; v < SIDE; v++) {
            int k = v * (y - RADIUS) & (SIDE - 1);
            for (int x = 0; x < TAPS; x++)
                made[y][x] += a[v][x] * p->cosine[k] - b[v][x] * p->sine[k];
        }
    for (int y = 0; y < TAPS; y++)
        for (int x = 0; x < TAPS; x++)
            sum += made[y][x];
    for (int y = 0; y < TAPS; y++)
        for (int x = 0; x < TAPS; x++)
            f->kernel[y][x] = (float)(made[y][x] / sum);
}

enum { REACH = SIDE + 2 * RADIUS };

static uint8_t level(float v)
{
    v = v > 0 ? v : 0;
    return (uint8_t)rintf(v < 255 ? v : 255);
}

/* A square of at most SIDE pixels of one channel, from what is around it. */
static void filter(const struct found *f, float in[REACH][REACH], float out[SIDE][SIDE])
{
    memset(out, 0, SIDE * sizeof *out);
    for (int y = 0; y < SIDE; y++)
        for (int a = 0; a < TAPS; a++)
            for (int b = 0; b < TAPS; b++)
                for (int x = 0; x < SIDE; x++)
                    out[y][x] += f->kernel[a][b] * in[y + a][x + b];
}

static void make_square(const struct blocks *b, const struct found *f)
{
    const struct image *img = b->job.in;
    size_t channels = (size_t)img->channels, width = (size_t)img->width;
    int columns = squares_along(img->width);
    int top = (int)(b->index / columns) * SIDE, left = (int)(b->index % columns) * SIDE;
    float in[REACH][REACH], out[SIDE][SIDE];
    for (size_t c = 0; c < channels; c++) {
        for (int y = 0; y < REACH; y++)
            for (int x = 0; x < REACH; x++) {
                size_t row = (size_t)window_mirror(top + y - RADIUS, img->height);
                size_t column = (size_t)window_mirror(left + x - RADIUS, img->width);
                in[y][x] = img->pixels[(row * width + column) * channels + c];
            }
        filter(f, in, out);
        for (int y = 0; y < SIDE && top + y < img->height; y++)
            for (int x = 0; x < SIDE && left + x < img->width; x++)
                b->job.out[((size_t)(top + y) * width + (size_t)(left + x)) * channels + c] =
                    level(out[y][x]);
    }
}

static status square(const struct blocks *b, struct errmsg *e)
{
    struct found *f = b->memory;
    (void)e;
    if (b->pass == 0) {
        if (b->index == 0)
            *f = (struct found){.squares = 0};
        measure(b, f);
        return STATUS_OK;
    }
    if (b->index == 0)
        make_kernel(b->plan, f);
    make_square(b, f);
    return STATUS_OK;
}

static int passes(const void *values)
{
    (void)values;
    return 2;
}

static size_t bytes(const void *values, const struct image *img)
{
    (void)values;
    (void)img;
    return sizeof(struct found);
}

#define ROW(member) offsetof(struct equalise, member)
static const struct param rows[] = {
    {"across", PARAM_DOUBLE, ROW(across), .lo = -5, .hi = 5, .standard = "1.83",
     .about = "cosine of one pixel, in x and in y, in the log power of natural images"},
    {"diagonal", PARAM_DOUBLE, ROW(diagonal), .lo = -5, .hi = 5, .standard = "0.28",
     .about = "of one pixel in both"},
    {"limit", PARAM_DOUBLE, ROW(limit), .lo = 0, .hi = 40, .standard = "12", .unit = "dB",
     .about = "no frequency is changed by more"},
};

const struct purifier_ops purifier_equalise = {
    .name = "equalise",
    .summary = "filtered to the smooth power spectrum of natural images",
    .version = 1,
    .params = PARAM_TABLE(rows, struct equalise),
    .kind = &purifier_blocks,
    .plan = plan,
    .free = mem_free,
    .pixel_ns = 80,
    .passes = passes,
    .blocks = squares,
    .block = square,
    .bytes = bytes,
};
