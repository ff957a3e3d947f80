/* The norms forward, as norm.h describes. */
#include "kernels/lanes.h"
#include "kernels/norm.h"

#include <math.h>

/* Sets channel k's coefficients from its group's statistics. */
static void set_coef(const struct nn_norm *j, int64_t n, int k, double mean, double rsd)
{
    const float *gamma = nn_f32(&j->s->in[1]), *beta = nn_f32(&j->s->in[2]);
    float *a = nn_norm_coef(j, n), *b = a + j->d.c;
    a[k] = (float)(gamma[k] * rsd);
    b[k] = (float)(beta[k] - mean * gamma[k] * rsd);
}

static void keep_stats(const struct nn_norm *j, int64_t group, double mean, double rsd)
{
    if (!nn_has(&j->s->out[1]))
        return;
    nn_f32(&j->s->out[1])[2 * group] = (float)mean;
    nn_f32(&j->s->out[1])[2 * group + 1] = (float)rsd;
}

/* r = (1-momentum) r + momentum s, s with the unbiased variance. */
static void update_running(const struct nn_norm *j, int k, double mean, double var)
{
    double m = (double)j->s->attr.momentum, count = (double)j->d.pixels;
    float *run_mean = nn_f32(&j->s->in[3]) + k, *run_var = nn_f32(&j->s->in[4]) + k;
    *run_mean = (float)((1 - m) * *run_mean + m * mean);
    *run_var = (float)((1 - m) * *run_var + m * var * count / (count > 1 ? count - 1 : 1));
}

static void group_stats(const struct nn_norm *j, int64_t n)
{
    int c = j->d.c, cg = c / j->groups;
    struct nn_sums sums = nn_norm_sums(j, n, 0);
    for (int p = 1; p < j->l.parts; p++)
        nn_sums_add(sums, nn_norm_sums(j, n, p), c);
    double pixels = (double)j->d.pixels;
    for (int g = 0; g < j->groups; g++) {
        double mean = 0, var = 0;
        for (int k = g * cg; k < (g + 1) * cg; k++)
            mean += sums.pivot[k] + sums.first[k] / pixels;
        mean /= cg;
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            double m = sums.first[k] / pixels, off = sums.pivot[k] + m - mean;
            var += sums.second[k] / pixels - m * m + off * off;
        }
        var = var < 0 ? 0 : var / cg; /* by rounding; NaN stays */
        double rsd = 1 / sqrt(var + (double)j->s->attr.eps);
        for (int k = g * cg; k < (g + 1) * cg; k++)
            set_coef(j, n, k, mean, rsd);
        keep_stats(j, n * j->groups + g, mean, rsd);
        if (nn_norm_is_batch(j->s))
            update_running(j, g, mean, var);
    }
}

/* The same from the running statistics. */
static void fixed_stats(const struct nn_norm *j)
{
    const float *mean = nn_f32(&j->s->in[3]), *var = nn_f32(&j->s->in[4]);
    for (int k = 0; k < j->d.c; k++) {
        double rsd = 1 / sqrt((double)var[k] + (double)j->s->attr.eps);
        set_coef(j, 0, k, mean[k], rsd);
        keep_stats(j, k, mean[k], rsd);
    }
}

/* Consecutive pixels and what is applied to them. */
struct pixel_block {
    const void *x, *res; /* res NULL: none */
    void *y;
    const float *a, *b;
    int rows, c;
};

/* y = post(a x + b (+ res)); y may be x or res. Inlined with constants for the last three. */
static inline __attribute__((always_inline)) void scale_block(const struct pixel_block *t, int post,
                                                              bool bf16, bool more)
{
    const float *a = t->a, *b = t->b;
    const void *x = t->x, *res = t->res;
    void *y = t->y;
    int rows = t->rows, c = t->c;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * c;
        int k = 0;
        for (; k + NN_LANES <= c; k += NN_LANES) {
            nn_lanes v = nn_lanes_fma(nn_lanes_load(a + k), nn_lanes_load_at(x, bf16, at + k),
                                      nn_lanes_load(b + k));
            if (more)
                v += nn_lanes_load_at(res, bf16, at + k);
            if (post == NN_POST(NN_RELU))
                v = nn_lanes_max(nn_lanes_all(0), v);
            else if (post == NN_POST(NN_RELU6))
                v = nn_lanes_min(nn_lanes_all(6), nn_lanes_max(nn_lanes_all(0), v));
            else if (post == NN_POST(NN_SILU))
                v = bf16 ? nn_lanes_silu_bf16(v) : v / (nn_lanes_all(1) + nn_lanes_exp(-v));
            nn_lanes_store_at(y, bf16, at + k, v);
        }
        for (; k < c; k++) { /* the same operations */
            float v = nn_fma(a[k], nn_load_at(x, bf16, at + k), b[k]);
            if (more)
                v += nn_load_at(res, bf16, at + k);
            if (post == NN_POST(NN_RELU))
                v = v < 0 ? 0 : v;
            else if (post == NN_POST(NN_RELU6))
                v = v < 0 ? 0 : v > 6 ? 6 : v;
            else if (post == NN_POST(NN_SILU))
                v = bf16 ? nn_siluf_bf16(v) : nn_siluf(v);
            nn_store_at(y, bf16, at + k, v);
        }
    }
}

/* One function per activation, with four loops each. */
#define SCALE(name, post)                                                                          \
    static void name(const struct pixel_block *t, bool bf16)                                       \
    {                                                                                              \
        if (bf16 && t->res)                                                                        \
            scale_block(t, post, true, true);                                                      \
        else if (bf16)                                                                             \
            scale_block(t, post, true, false);                                                     \
        else if (t->res)                                                                           \
            scale_block(t, post, false, true);                                                     \
        else                                                                                       \
            scale_block(t, post, false, false);                                                    \
    }
SCALE(scale_plain, NN_POST_NONE)
SCALE(scale_relu, NN_POST(NN_RELU))
SCALE(scale_relu6, NN_POST(NN_RELU6))
SCALE(scale_silu, NN_POST(NN_SILU))

/* The common cases straight from memory to memory. */
static bool apply_direct(const struct nn_norm *j, int64_t pixel, int64_t pixels, const float *a,
                         const float *b)
{
    const struct nn_step *s = j->s;
    bool bf16 = s->in[0].store == NN_STORE_BF16;
    if (s->out[0].store != s->in[0].store || (j->res && j->res->store != s->in[0].store))
        return false;
    size_t at = (size_t)pixel * (size_t)j->d.c * nn_store_bytes(s->in[0].store);
    struct pixel_block t = {.x = (const char *)s->in[0].data + at,
                            .y = (char *)s->out[0].data + at,
                            .a = a,
                            .b = b,
                            .rows = (int)pixels,
                            .c = j->d.c};
    if (j->res)
        t.res = (const char *)j->res->data + at;
    switch (s->attr.post) {
    case NN_POST_NONE:
        scale_plain(&t, bf16);
        return true;
    case NN_POST(NN_RELU):
        scale_relu(&t, bf16);
        return true;
    case NN_POST(NN_RELU6):
        scale_relu6(&t, bf16);
        return true;
    case NN_POST(NN_SILU):
        scale_silu(&t, bf16);
        return true;
    default:
        return false;
    }
}

static void apply(const struct nn_norm *j, int64_t n, int64_t first, int64_t last)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c);
    const float *a = nn_norm_coef(j, n), *b = a + c;
    _Alignas(64) float sx[NN_ROW_MAX], sy[NN_ROW_MAX], sr[NN_ROW_MAX];
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        if (apply_direct(j, i, rows, a, b))
            continue;
        const float *x = nn_row(&s->in[0], i * c, len, sx);
        float *y = nn_row_out(&s->out[0], i * c, sy);
        struct pixel_block t = {.x = x, .y = y, .a = a, .b = b, .rows = rows, .c = c};
        t.res = j->res ? nn_row(j->res, i * c, len, sr) : NULL;
        scale_plain(&t, false);
        nn_post_row(s->attr.post, y, len);
        nn_row_put(&s->out[0], i * c, len, y);
    }
}

static void forward_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_norm *j = ctx;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        int64_t start = n * j->d.pixels;
        if (!j->fixed) {
            nn_moments(&j->s->in[0], start, start, start + j->d.pixels, j->d.c,
                       nn_norm_sums(j, n, 0));
            group_stats(j, n);
        }
        apply(j, n, 0, j->d.pixels);
    }
}

/* With parts: item = n * parts + part. */
static void forward_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_norm *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t n = item / j->l.parts, from, to, start = n * j->d.pixels;
        nn_norm_part(j, (int)(item % j->l.parts), &from, &to);
        nn_moments(&j->s->in[0], start, start + from, start + to, j->d.c,
                   nn_norm_sums(j, n, (int)(item % j->l.parts)));
    }
}
static void forward_apply(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    nn_norm_pixels(ctx, apply, first, last);
}

static status norm_run(const struct nn_step *s)
{
    struct nn_norm j = nn_norm_job(s);
    int threads = nn_threads_for(s, j.d.n * j.d.pixels * j.d.c);
    if (j.fixed)
        fixed_stats(&j);
    if (j.l.parts == 1) {
        nn_for_range(threads, j.d.n, forward_samples, &j);
        return STATUS_OK;
    }
    if (!j.fixed) {
        nn_for_range(threads, j.d.n * j.l.parts, forward_sums, &j);
        for (int64_t n = 0; n < j.d.n; n++)
            group_stats(&j, n);
    }
    nn_for_blocks(threads, j.d.n * j.d.pixels, nn_row_pixels(j.d.c), forward_apply, &j);
    return STATUS_OK;
}

NN_NORM_KERNEL(GROUP_NORM, group_norm, norm_run)
NN_NORM_KERNEL(BATCH_NORM, batch_norm, norm_run)
