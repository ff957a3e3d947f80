/*
 * Group normalisation with an optional activation behind it, and the gradient of the pair.
 *
 * Forward: sums per channel, from them per group (mean, 1/sd), from those per channel (a, b); then
 * y = post(a x + b) in one pass. Backward: u = dy post'(a x + b) is written to dx while its sums are
 * taken; then dx = p u + q x + r with per-channel p, q, r. Samples go to threads; when there are fewer
 * samples than threads the pixels of one sample do.
 */
#include "kernels/moments.h"

#include <math.h>

static bool fits(const struct nn_step *s)
{
    return nn_channels_fit(&s->in[s->op == NN_OP_GROUP_NORM_BACK]);
}

/* Parts a sample's pixels are cut into: 1 when samples alone keep the threads busy. */
static int parts_of(const struct nn_step *s, struct nn_nhwc d)
{
    return d.n >= s->threads || d.n * d.pixels * d.c < 16384 ? 1 : s->threads;
}

/* Per part: sums. Per sample: channel coefficients, 3 C floats. */
struct layout {
    double *sums; /* [n][parts][doubles] */
    float *coef;  /* [n][3][C] */
    size_t doubles;
    int parts;
};

static struct layout layout(const struct nn_step *s, struct nn_nhwc d)
{
    struct layout l = {.doubles = nn_sums_doubles(d.c), .parts = parts_of(s, d)};
    l.sums = s->scratch;
    l.coef = (float *)(l.sums + (size_t)d.n * (size_t)l.parts * l.doubles);
    return l;
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_nhwc d = nn_nhwc(s->in[s->op == NN_OP_GROUP_NORM_BACK].shape);
    size_t n = (size_t)d.n, parts = (size_t)parts_of(s, d), c = (size_t)d.c;
    s->scratch_bytes = n * parts * nn_sums_doubles(d.c) * sizeof(double) + n * 3 * c * sizeof(float);
    return STATUS_OK;
}

struct job {
    const struct nn_step *s;
    struct nn_nhwc d;
    struct layout l;
};

static struct nn_sums sums_of(const struct job *j, int64_t n, int part)
{
    return nn_sums_at(j->l.sums + ((size_t)n * (size_t)j->l.parts + (size_t)part) * j->l.doubles, j->d.c);
}
static float *coef_of(const struct job *j, int64_t n)
{
    return j->l.coef + n * 3 * j->d.c;
}
/* Pixels of part `part`, as [first,last) within a sample. */
static void part_range(const struct job *j, int part, int64_t *first, int64_t *last)
{
    *first = j->d.pixels * part / j->l.parts;
    *last = j->d.pixels * (part + 1) / j->l.parts;
}

/* ---- forward ---- */

static void group_stats(const struct job *j, int64_t n)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, cg = c / s->attr.groups;
    struct nn_sums sums = sums_of(j, n, 0);
    for (int p = 1; p < j->l.parts; p++)
        nn_sums_add(sums, sums_of(j, n, p), c);
    const float *gamma = nn_f32(&s->in[1]), *beta = nn_f32(&s->in[2]);
    float *a = coef_of(j, n), *b = a + c;
    double pixels = (double)j->d.pixels;
    for (int g = 0; g < s->attr.groups; g++) {
        double mean = 0, var = 0;
        for (int k = g * cg; k < (g + 1) * cg; k++)
            mean += sums.pivot[k] + sums.first[k] / pixels;
        mean /= cg;
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            double m = sums.first[k] / pixels, off = sums.pivot[k] + m - mean;
            var += sums.second[k] / pixels - m * m + off * off;
        }
        double rsd = 1 / sqrt((var > 0 ? var / cg : 0) + (double)s->attr.eps);
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            a[k] = (float)(gamma[k] * rsd);
            b[k] = (float)(beta[k] - mean * gamma[k] * rsd);
        }
        if (nn_has(&s->out[1])) {
            float *stats = nn_f32(&s->out[1]) + (n * s->attr.groups + g) * 2;
            stats[0] = (float)mean;
            stats[1] = (float)rsd;
        }
    }
}

static void apply(const struct job *j, int64_t n, int64_t first, int64_t last)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c);
    const float *a = coef_of(j, n), *b = a + c;
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX];
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i);
        const float *x = nn_row(&s->in[0], i * c, rows * c, sx);
        float *y = nn_row_out(&s->out[0], i * c, sy);
        for (int r = 0; r < rows; r++)
#pragma omp simd
            for (int k = 0; k < c; k++)
                y[r * c + k] = a[k] * x[r * c + k] + b[k];
        nn_post_row(s->attr.post, y, rows * c);
        nn_row_put(&s->out[0], i * c, rows * c, y);
    }
}

static void forward_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        int64_t start = n * j->d.pixels;
        nn_moments(&j->s->in[0], start, start, start + j->d.pixels, j->d.c, sums_of(j, n, 0));
        group_stats(j, n);
        apply(j, n, 0, j->d.pixels);
    }
}

/* With parts: item = n * parts + part. */
static void forward_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t n = item / j->l.parts, from, to, start = n * j->d.pixels;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        nn_moments(&j->s->in[0], start, start + from, start + to, j->d.c,
                   sums_of(j, n, (int)(item % j->l.parts)));
    }
}
static void forward_apply(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t from, to;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        apply(j, item / j->l.parts, from, to);
    }
}

static status norm_run(const struct nn_step *s)
{
    struct nn_nhwc d = nn_nhwc(s->in[0].shape);
    struct job j = {s, d, layout(s, d)};
    int threads = nn_threads_for(s, d.n * d.pixels * d.c);
    if (j.l.parts == 1) {
        nn_for_range(threads, d.n, forward_samples, &j);
        return STATUS_OK;
    }
    nn_for_range(threads, d.n * j.l.parts, forward_sums, &j);
    for (int64_t n = 0; n < d.n; n++)
        group_stats(&j, n);
    nn_for_range(threads, d.n * j.l.parts, forward_apply, &j);
    return STATUS_OK;
}

/* ---- backward ---- */

/* Channel coefficients of the forward map, from the kept statistics. */
static void forward_coef(const struct nn_step *s, int64_t n, int c, float *a, float *b)
{
    int cg = c / s->attr.groups;
    const float *gamma = nn_f32(&s->in[2]), *beta = nn_f32(&s->in[3]);
    const float *stats = nn_f32(&s->in[4]) + n * s->attr.groups * 2;
    for (int k = 0; k < c; k++) {
        float mean = stats[k / cg * 2], rsd = stats[k / cg * 2 + 1];
        a[k] = gamma[k] * rsd;
        b[k] = beta[k] - mean * a[k];
    }
}

/* u = dy post'(a x + b) into dx (when wanted), and per channel sum u, sum u (x - mean). */
static void back_sums(const struct job *j, int64_t n, int64_t first, int64_t last, struct nn_sums out)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c), cg = c / s->attr.groups;
    const float *stats = nn_f32(&s->in[4]) + n * s->attr.groups * 2;
    _Alignas(64) float sd[NN_ROW_MAX], sx[NN_ROW_MAX], su[NN_ROW_MAX], v[NN_ROW_MAX];
    _Alignas(64) float a[NN_ROW_MAX], b[NN_ROW_MAX], mean[NN_ROW_MAX], s1[NN_ROW_MAX], s2[NN_ROW_MAX];
    forward_coef(s, n, c, a, b);
    for (int k = 0; k < c; k++)
        mean[k] = stats[k / cg * 2];
    memset(out.first, 0, 2 * (size_t)c * sizeof *out.first);
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        const float *dy = nn_row(&s->in[0], i * c, len, sd), *x = nn_row(&s->in[1], i * c, len, sx);
        const float *u = dy;
        if (s->attr.post) {
            for (int r = 0; r < rows; r++)
#pragma omp simd
                for (int k = 0; k < c; k++)
                    v[r * c + k] = a[k] * x[r * c + k] + b[k];
            nn_post_back_row(s->attr.post, dy, v, su, len);
            u = su;
        }
        memset(s1, 0, (size_t)c * sizeof *s1);
        memset(s2, 0, (size_t)c * sizeof *s2);
        for (int r = 0; r < rows; r++)
#pragma omp simd
            for (int k = 0; k < c; k++) {
                s1[k] += u[r * c + k];
                s2[k] += u[r * c + k] * (x[r * c + k] - mean[k]);
            }
        for (int k = 0; k < c; k++) {
            out.first[k] += (double)s1[k];
            out.second[k] += (double)s2[k];
        }
        if (nn_has(&s->out[0])) {
            if (s->out[0].store == NN_STORE_F32)
                memmove(nn_f32(&s->out[0]) + i * c, u, (size_t)len * sizeof *u);
            else
                nn_row_put(&s->out[0], i * c, len, u);
        }
    }
}

/* With e = u gamma, h = (x - mean) rsd, bars over the group: dx = rsd (e - bar e - h bar(e h)). */
static void back_coef(const struct job *j, int64_t n)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, cg = c / s->attr.groups;
    struct nn_sums sums = sums_of(j, n, 0);
    for (int p = 1; p < j->l.parts; p++)
        nn_sums_add(sums, sums_of(j, n, p), c);
    const float *gamma = nn_f32(&s->in[2]);
    const float *stats = nn_f32(&s->in[4]) + n * s->attr.groups * 2;
    float *p = coef_of(j, n), *q = p + c, *r = q + c;
    double count = (double)j->d.pixels * cg;
    for (int g = 0; g < s->attr.groups; g++) {
        double mean = stats[2 * g], rsd = stats[2 * g + 1], e = 0, eh = 0;
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            e += sums.first[k] * gamma[k];
            eh += sums.second[k] * gamma[k] * rsd;
        }
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            p[k] = (float)(rsd * gamma[k]);
            q[k] = (float)(-rsd * rsd * eh / count);
            r[k] = (float)(-rsd * e / count + rsd * rsd * mean * eh / count);
        }
    }
}

static void back_apply(const struct job *j, int64_t n, int64_t first, int64_t last)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c);
    const float *p = coef_of(j, n), *q = p + c, *r = q + c;
    _Alignas(64) float su[NN_ROW_MAX], sx[NN_ROW_MAX];
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        const float *x = nn_row(&s->in[1], i * c, len, sx);
        const float *u = nn_row(&s->out[0], i * c, len, su);
        float *dx = nn_row_out(&s->out[0], i * c, su);
        for (int row = 0; row < rows; row++)
#pragma omp simd
            for (int k = 0; k < c; k++)
                dx[row * c + k] = p[k] * u[row * c + k] + (q[k] * x[row * c + k] + r[k]);
        nn_row_put(&s->out[0], i * c, len, dx);
    }
}

static void back_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        back_sums(j, n, 0, j->d.pixels, sums_of(j, n, 0));
        back_coef(j, n);
        if (nn_has(&j->s->out[0]))
            back_apply(j, n, 0, j->d.pixels);
    }
}
static void back_part_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t n = item / j->l.parts, from, to;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        back_sums(j, n, from, to, sums_of(j, n, (int)(item % j->l.parts)));
    }
}
static void back_part_apply(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t from, to;
        part_range(j, (int)(item % j->l.parts), &from, &to);
        back_apply(j, item / j->l.parts, from, to);
    }
}

/* dgamma = sum_n rsd sum u (x - mean), dbeta = sum_n sum u: in sample order, whatever the threads. */
static void param_gradients(const struct job *j)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, cg = c / s->attr.groups;
    for (int k = 0; k < c; k++) {
        double dgamma = 0, dbeta = 0;
        for (int64_t n = 0; n < j->d.n; n++) {
            struct nn_sums sums = sums_of(j, n, 0);
            dbeta += sums.first[k];
            dgamma += sums.second[k] * nn_f32(&s->in[4])[(n * s->attr.groups + k / cg) * 2 + 1];
        }
        if (nn_has(&s->out[1]))
            nn_f32(&s->out[1])[k] = (float)dgamma;
        if (nn_has(&s->out[2]))
            nn_f32(&s->out[2])[k] = (float)dbeta;
    }
}

static status back_run(const struct nn_step *s)
{
    struct nn_nhwc d = nn_nhwc(s->in[1].shape);
    struct job j = {s, d, layout(s, d)};
    int threads = nn_threads_for(s, d.n * d.pixels * d.c);
    if (j.l.parts == 1) {
        nn_for_range(threads, d.n, back_samples, &j);
    } else {
        nn_for_range(threads, d.n * j.l.parts, back_part_sums, &j);
        for (int64_t n = 0; n < d.n; n++)
            back_coef(&j, n);
        if (nn_has(&s->out[0]))
            nn_for_range(threads, d.n * j.l.parts, back_part_apply, &j);
    }
    if (nn_has(&s->out[1]) || nn_has(&s->out[2]))
        param_gradients(&j);
    return STATUS_OK;
}

const struct nn_kernel nn_common_group_norm = {.op = NN_OP_GROUP_NORM, .name = "common.group_norm",
                                               .supports = fits, .prepare = prepare,
                                               .run = norm_run};
const struct nn_kernel nn_common_group_norm_back = {
    .op = NN_OP_GROUP_NORM_BACK, .name = "common.group_norm_back", .supports = fits,
    .prepare = prepare, .run = back_run};
