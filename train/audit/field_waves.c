/* The spectrum of the middle of a field: by a plain transform of rows, then of columns, which is fast
   enough at this size. */
#include "audit/field.h"

#include <math.h>

enum { MOST = 32 }; /* pixels of a side that are looked at */

struct waves {
    int n;
    float c[MOST], s[MOST];               /* of 2 pi k / n */
    float in[MOST][MOST];                 /* one channel */
    float re[MOST][MOST], im[MOST][MOST]; /* its rows: [y][wave] */
    float power[MOST][MOST]; /* sums over channels; waves up to half a turn a pixel in x */
};

static void transform_rows(struct waves *w)
{
    for (int y = 0; y < w->n; y++)
        for (int k = 0; k <= w->n / 2; k++) {
            float re = 0, im = 0;
            for (int x = 0; x < w->n; x++) {
                re += w->in[y][x] * w->c[k * x % w->n];
                im += w->in[y][x] * w->s[k * x % w->n];
            }
            w->re[y][k] = re;
            w->im[y][k] = im;
        }
}

static void add_columns(struct waves *w)
{
    for (int j = 0; j < w->n; j++)
        for (int k = 0; k <= w->n / 2; k++) {
            float re = 0, im = 0;
            for (int y = 0; y < w->n; y++) {
                float c = w->c[j * y % w->n], s = w->s[j * y % w->n];
                re += w->re[y][k] * c - w->im[y][k] * s;
                im += w->re[y][k] * s + w->im[y][k] * c;
            }
            bool twice = k > 0 && 2 * k < w->n; /* its mirror image counts, too */
            w->power[j][k] += (twice ? 2.f : 1.f) * (re * re + im * im);
        }
}

/* Turns a pixel of 0 to about .7, as a band. */
static int band_of(const struct waves *w, int j, int k)
{
    static const float upto[FIELD_BANDS - 1] = {.08f, .16f, .26f, .38f};
    float y = (float)(2 * j > w->n ? w->n - j : j) / (float)w->n, x = (float)k / (float)w->n;
    float turns = sqrtf(x * x + y * y);
    int b = 0;
    while (b < FIELD_BANDS - 1 && turns > upto[b])
        b++;
    return b;
}

static void sum_up(const struct waves *w, float out[2 + FIELD_BANDS])
{
    double all = 1e-9, logs = 0, most = 0;
    int count = w->n * (w->n / 2 + 1);
    for (int j = 0; j < w->n; j++)
        for (int k = 0; k <= w->n / 2; k++)
            all += (double)w->power[j][k];
    for (int b = 0; b < FIELD_BANDS; b++)
        out[2 + b] = 0;
    for (int j = 0; j < w->n; j++)
        for (int k = 0; k <= w->n / 2; k++) {
            double share = (double)w->power[j][k] / all;
            most = share > most ? share : most;
            logs += log(share * count + 1e-4) / count;
            out[2 + band_of(w, j, k)] += (float)share;
        }
    out[0] = logf((float)most + 1e-3f);
    out[1] = (float)logs;
}

status field_waves(struct squares s, const float *r, float out[2 + FIELD_BANDS])
{
    AUTO(mem_free) struct waves *w = mem_zalloc(1, sizeof *w);
    if (!w)
        return STATUS_NOMEM;
    w->n = s.side < MOST ? s.side : MOST;
    int first = (s.side - w->n) / 2;
    for (int k = 0; k < w->n; k++) {
        float turn = 6.28318530717958647692f * (float)k / (float)w->n;
        w->c[k] = cosf(turn);
        w->s[k] = sinf(turn);
    }
    for (int c = 0; c < s.channels; c++) {
        for (int y = 0; y < w->n; y++)
            for (int x = 0; x < w->n; x++)
                w->in[y][x] = r[((first + y) * s.side + first + x) * s.channels + c];
        transform_rows(w);
        add_columns(w);
    }
    sum_up(w, out);
    return STATUS_OK;
}
