#include "report/similarity.h"

#include <math.h>

enum { WINDOW = 11, MOMENTS = 5 }; /* x, y, x^2, y^2, xy */

double train_square_error(const struct image *a, const struct image *b, double *out_n)
{
    size_t n = image_pixel_bytes(a);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a->pixels[i] - b->pixels[i];
        sum += d * d;
    }
    *out_n = (double)n;
    return sum;
}

double train_psnr(double square_error, double n)
{
    return 10 * log10(255.0 * 255.0 * n / square_error);
}

static void gaussian(double w[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        double d = i - WINDOW / 2;
        w[i] = exp(-d * d / (2 * 1.5 * 1.5));
        sum += w[i];
    }
    for (int i = 0; i < WINDOW; i++)
        w[i] /= sum;
}

/* The weights of a window are a product: first along rows, into (height, width-10, MOMENTS). */
static void blur_rows(const struct image *a, const struct image *b, int channel,
                      const double w[WINDOW], double *out)
{
    int columns = a->width - WINDOW + 1;
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < columns; x++, out += MOMENTS) {
            double m[MOMENTS] = {0};
            for (int i = 0; i < WINDOW; i++) {
                size_t at = ((size_t)y * (size_t)a->width + (size_t)(x + i)) * (size_t)a->channels +
                            (size_t)channel;
                double p = a->pixels[at], q = b->pixels[at];
                const double v[MOMENTS] = {p, q, p * p, q * q, p * q};
                for (int k = 0; k < MOMENTS; k++)
                    m[k] += w[i] * v[k];
            }
            for (int k = 0; k < MOMENTS; k++)
                out[k] = m[k];
        }
}

static double similarity(const double m[MOMENTS])
{
    const double c1 = .01 * 255 * .01 * 255, c2 = .03 * 255 * .03 * 255;
    double xx = m[2] - m[0] * m[0], yy = m[3] - m[1] * m[1], xy = m[4] - m[0] * m[1];
    return (2 * m[0] * m[1] + c1) * (2 * xy + c2) /
           ((m[0] * m[0] + m[1] * m[1] + c1) * (xx + yy + c2));
}

static double sum_windows(const double *rows, int columns, int height, const double w[WINDOW])
{
    double sum = 0;
    for (int y = 0; y + WINDOW <= height; y++)
        for (int x = 0; x < columns; x++) {
            double m[MOMENTS] = {0};
            for (int i = 0; i < WINDOW; i++)
                for (int k = 0; k < MOMENTS; k++)
                    m[k] +=
                        w[i] *
                        rows[((size_t)(y + i) * (size_t)columns + (size_t)x) * MOMENTS + (size_t)k];
            sum += similarity(m);
        }
    return sum;
}

status train_ssim(const struct image *a, const struct image *b, double *out)
{
    double w[WINDOW], sum = 0;
    int columns = a->width - WINDOW + 1;
    if (columns < 1 || a->height < WINDOW) {
        *out = NAN;
        return STATUS_OK;
    }
    AUTO(mem_free)
    double *rows = mem_zalloc((size_t)columns * (size_t)a->height, MOMENTS * sizeof *rows);
    if (!rows)
        return STATUS_NOMEM;
    gaussian(w);
    for (int c = 0; c < a->channels; c++) {
        blur_rows(a, b, c, w, rows);
        sum += sum_windows(rows, columns, a->height, w);
    }
    *out = sum / ((double)columns * (a->height - WINDOW + 1) * a->channels);
    return STATUS_OK;
}
