/*
 * AR, autoregressive perturbations (Sandoval-Segura et al., NeurIPS 2022). Each class has one 3x3
 * filter per channel whose last entry is 0 and whose others, drawn from N(0,1), are divided by
 * their sum. A perturbation starts as N(0,1) and is swept row by row: every value from (2,2) on
 * becomes the filter applied to the 3x3 window that ends in it. The first 4 rows and columns are
 * dropped and the rest is scaled to the L2 norm (eps/255) sqrt(HWC), by default 1 at 32x32x3. So
 * within the image every value is given by the eight before it, and a convolution with the filter,
 * -1 in its last place, is zero for this class and not for others.
 *
 * A filter is accepted when three trials do not grow beyond a norm of 50, and when each earlier
 * filter of its channel responds to each of them with at least 10 (the sum of what is positive).
 * Both are figures of 32x32; for other sizes they keep their value for each pixel (ours).
 */
#include "protect/protect.h"

#include "autoregress.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { TAPS = AUTOREGRESS_TAPS, TRIALS = 3, DROPPED = 4, ATTEMPTS_MAX = 10000 };
static const double most_norm = 50, least_response = 10, area_meant = 32 * 32;

struct ar {
    double *filter; /* (K,C,TAPS) row by row; the ninth is 0 */
    int channels;
};

static double *filter_of(const struct ar *a, int k, int c)
{
    return a->filter + (size_t)(k * a->channels + c) * TAPS;
}

static size_t window(int width, int height)
{
    return (size_t)(width + DROPPED) * (size_t)(height + DROPPED);
}

/* n numbers of a stream, n rounded up to an even number of words. */
static void draw(struct nn_rng r, uint64_t at, float *scratch, double *x, size_t n)
{
    nn_rng_normal(r, at, scratch, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (double)scratch[i];
}

static double square_norm(const double *x, int width, int height)
{
    double sum = 0;
    for (int y = 0; y < height; y++) {
        const double *row = x + (ptrdiff_t)(y + DROPPED) * (width + DROPPED) + DROPPED;
        for (int i = 0; i < width; i++)
            sum += row[i] * row[i];
    }
    return sum;
}

static double response(const double *filter, const double *x, int width, int height)
{
    double sum = 0;
    ptrdiff_t w = width + DROPPED;
    for (int y = 2; y < height; y++)
        for (int i = 2; i < width; i++) {
            const double *at = x + (y + DROPPED) * w + i + DROPPED;
            double v = autoregress_predict(filter, at, w) - *at;
            sum += v > 0 ? v : 0;
        }
    return sum;
}

/* ---- the search ---- */

struct search {
    const struct protect_job *job;
    struct ar *ar;
    float *scratch; /* (window) */
    double *trial;  /* (window) */
    size_t n;
};

static bool trial_is_good(const struct search *s, const double *filter, int k, int c)
{
    int w = s->job->info.width, h = s->job->info.height;
    double part = (double)w * h / area_meant;
    autoregress_sweep(filter, s->trial, h + DROPPED, w + DROPPED);
    double square = square_norm(s->trial, w, h);
    if (!(square <= most_norm * most_norm * part))
        return false;
    for (int other = 0; other < k; other++)
        if (!(response(filter_of(s->ar, other, c), s->trial, w, h) >= least_response * part))
            return false;
    return true;
}

static status find_filter(const struct search *s, int k, int c, struct errmsg *e)
{
    struct nn_rng r =
        stream(s->job->opt->seed, STREAM_FILTER, (uint64_t)(k * s->job->info.channels + c));
    double *filter = filter_of(s->ar, k, c);
    uint64_t words = TAPS, even = (s->n + 1) & ~(uint64_t)1;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        uint64_t at = (uint64_t)attempt * (words + TRIALS * even);
        double sum = 0;
        bool good = true;
        if (stop_requested())
            return STATUS_CANCELLED;
        draw(r, at, s->scratch, filter, TAPS);
        for (int i = 0; i < TAPS; i++)
            sum += filter[i];
        for (int i = 0; i < TAPS; i++)
            filter[i] /= sum;
        for (int t = 0; t < TRIALS && good; t++) {
            draw(r, at + words + (uint64_t)t * even, s->scratch, s->trial, s->n);
            good = trial_is_good(s, filter, k, c);
        }
        if (good)
            return STATUS_OK;
    }
    return errmsg_set(e, STATUS_LIMIT,
                      "no filter for class %d differs enough from those before it, in %d attempts",
                      k, ATTEMPTS_MAX);
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    struct ar *a = j->state = mem_zalloc(1, sizeof *a);
    if (!a)
        return STATUS_NOMEM;
    size_t n = window(j->info.width, j->info.height);
    size_t filters = (size_t)j->info.classes * (size_t)j->info.channels;
    a->channels = j->info.channels;
    a->filter = mem_alloc(filters * TAPS * sizeof *a->filter);
    AUTO(mem_free) float *scratch = mem_alloc((n + TAPS) * sizeof *scratch);
    AUTO(mem_free) double *trial = mem_alloc(n * sizeof *trial);
    if (!a->filter || !scratch || !trial)
        return STATUS_NOMEM;
    const struct search s = {j, a, scratch, trial, n};
    struct progress p;
    progress_init(&p, "searching", 0, (uint64_t)filters, j->opt->quiet);
    for (int k = 0; k < j->info.classes; k++)
        for (int c = 0; c < j->info.channels; c++) {
            status st = find_filter(&s, k, c, e);
            if (st)
                return st;
            progress_update(&p, (uint64_t)(k * j->info.channels + c) + 1, NULL);
        }
    progress_done(&p, (uint64_t)filters, NULL);
    return STATUS_OK;
}

/* ---- the perturbation ---- */

static status row(const struct protect_job *j, int i, float *out, struct errmsg *e)
{
    const struct ar *a = j->state;
    int w = j->width[i], h = j->height[i], channels = j->info.channels, wide = w + DROPPED;
    size_t n = window(w, h), even = (n + 1) & ~(size_t)1;
    AUTO(mem_free) float *scratch = mem_alloc(n * sizeof *scratch);
    AUTO(mem_free) double *x = mem_alloc((size_t)channels * n * sizeof *x);
    if (!scratch || !x)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    struct nn_rng r = stream(j->opt->seed, STREAM_POINT, (uint64_t)i);
    double square = 0;
    for (int c = 0; c < channels; c++) {
        double *plane = x + (size_t)c * n;
        draw(r, (uint64_t)c * even, scratch, plane, n);
        autoregress_sweep(filter_of(a, train_set_label(j->set, i), c), plane, h + DROPPED, wide);
        square += square_norm(plane, w, h);
    }
    double scale = j->eps / 255 * sqrt((double)w * h * channels / square);
    memset(out, 0, (size_t)j->info.width * (size_t)j->info.height * (size_t)channels * sizeof *out);
    for (int y = 0; y < h; y++)
        for (int col = 0; col < w; col++)
            for (int c = 0; c < channels; c++)
                out[((ptrdiff_t)y * j->info.width + col) * channels + c] =
                    (float)(scale * x[(ptrdiff_t)((size_t)c * n) + (ptrdiff_t)(y + DROPPED) * wide +
                                      col + DROPPED]);
    return STATUS_OK;
}

static void describe(const struct protect_job *j, json_t *out)
{
    const struct ar *a = j->state;
    json_t *filters = json_array();
    for (int f = 0; f < j->info.classes * a->channels; f++) {
        json_t *filter = json_array();
        for (int i = 0; i < TAPS; i++)
            json_array_append_new(filter, json_real(a->filter[f * TAPS + i]));
        json_array_append_new(filters, filter);
    }
    json_object_set_new(out, "filters", filters); /* the channels of each class */
}

static void done(struct protect_job *j)
{
    struct ar *a = j->state;
    if (a)
        mem_free(a->filter);
    mem_free(a);
}

const struct protect_method protect_ar = {
    .name = "ar",
    .summary = "autoregressive noise, fresh for each image; L2 norm 1 at 32x32x3 by default",
    .eps = 4.60075995760483, /* 255 / sqrt(3072) */
    .quantise = TRAIN_ROUND,
    .any_size = true,
    .params = PARAM_NONE,
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = row,
    .describe = describe,
    .done = done,
};
