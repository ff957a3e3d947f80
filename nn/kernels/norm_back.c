/* The gradients of the norms, as norm.h describes. */
#include "kernels/norm.h"
#include "kernels/norm_back_block.h"

/* Channel coefficients of the forward map, from the kept statistics. */
static void forward_coef(const struct nn_norm *j, int64_t n, float *a, float *b)
{
    int cg = j->d.c / j->groups;
    const float *gamma = nn_f32(&j->s->in[2]), *beta = nn_f32(&j->s->in[3]);
    const float *stats = j->stats + n * j->groups * 2;
    for (int k = 0; k < j->d.c; k++) {
        double mean = stats[k / cg * 2], rsd = stats[k / cg * 2 + 1];
        a[k] = (float)(gamma[k] * rsd);
        b[k] = (float)(beta[k] - mean * gamma[k] * rsd);
    }
}

/* The gradients of ReLU and ReLU6 are cheaper to form twice than to write and read back. */
static bool keeps_upstream(const struct nn_step *s)
{
    int post = s->attr.post;
    bool cheap = post == NN_POST_NONE || post == NN_POST(NN_RELU) || post == NN_POST(NN_RELU6);
    return !cheap && nn_has(&s->out[0]);
}

/* u = dy post'(a x + b) for some pixels: dy itself, or in buffer. */
static const float *upstream(int post, const float *a, const float *b, const float *dy,
                             const float *x, int rows, int c, float *buffer)
{
    if (post == NN_POST_NONE)
        return dy;
    if (post == NN_POST(NN_RELU)) {
        for (int r = 0; r < rows; r++)
#pragma omp simd
            for (int k = 0; k < c; k++)
                buffer[r * c + k] = nn_fma(a[k], x[r * c + k], b[k]) <= 0 ? 0 : dy[r * c + k];
        return buffer;
    }
    float v[NN_ROW_MAX];
    for (int r = 0; r < rows; r++)
#pragma omp simd
        for (int k = 0; k < c; k++)
            v[r * c + k] = nn_fma(a[k], x[r * c + k], b[k]);
    nn_post_back_row(post, dy, v, buffer, rows * c);
    return buffer;
}

/* Adds sum u to s1, sum u (x - mean) to s2, per channel over some pixels. */
static void row_sums(const float *u, const float *x, const float *mean, int rows, int c, float *s1,
                     float *s2)
{
    for (int r = 0; r < rows; r++)
#pragma omp simd
        for (int k = 0; k < c; k++) {
            s1[k] += u[r * c + k];
            s2[k] = nn_fma(u[r * c + k], x[r * c + k] - mean[k], s2[k]);
        }
}

/* Whether the step can be done block by block (norm_back_block.h): whole vectors of channels, all
   tensors stored alike, an activation that is known there. */
static bool direct(const struct nn_norm *j)
{
    const struct nn_step *s = j->s;
    enum nn_store store = s->in[1].store;
    int post = s->attr.post;
    return j->d.c % NN_LANES == 0 && s->in[0].store == store &&
           (!nn_has(&s->out[0]) || s->out[0].store == store) &&
           (!j->res || j->res->store == store) &&
           (post == NN_POST_NONE || post == NN_POST(NN_RELU) || post == NN_POST(NN_RELU6) ||
            post == NN_POST(NN_SILU));
}

static struct pixel_block block_at(const struct nn_norm *j, const struct nn_tensor *dy,
                                   int64_t pixel, int rows)
{
    const struct nn_step *s = j->s;
    size_t at = (size_t)pixel * (size_t)j->d.c * nn_store_bytes(s->in[1].store);
    return (struct pixel_block){.dy = (const char *)dy->data + at,
                                .x = (const char *)s->in[1].data + at,
                                .res = j->res ? (const char *)j->res->data + at : NULL,
                                .dx = nn_has(&s->out[0]) ? (char *)s->out[0].data + at : NULL,
                                .rows = rows,
                                .c = j->d.c};
}

/* Per channel sum u and sum u (x - mean); u into dx when it is kept. */
static void back_sums(const struct nn_norm *j, int64_t n, int64_t first, int64_t last,
                      struct nn_sums out)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c), cg = c / j->groups;
    const float *stats = j->stats + n * j->groups * 2;
    _Alignas(64) float sd[NN_ROW_MAX], sx[NN_ROW_MAX], su[NN_ROW_MAX];
    _Alignas(64) float a[NN_ROW_MAX], b[NN_ROW_MAX], mean[NN_ROW_MAX], s1[NN_ROW_MAX],
        s2[NN_ROW_MAX];
    const struct block_sums to = {a, b, mean, s1, s2};
    forward_coef(j, n, a, b);
    for (int k = 0; k < c; k++)
        mean[k] = stats[k / cg * 2];
    const bool straight = direct(j);
    memset(out.first, 0, 2 * (size_t)c * sizeof *out.first);
    int64_t start = n * j->d.pixels + first, end = n * j->d.pixels + last;
    for (int64_t block = start; block < end; block += NN_SUMS_BLOCK) {
        int64_t block_end = nn_min(block + NN_SUMS_BLOCK, end);
        memset(s1, 0, (size_t)c * sizeof *s1);
        memset(s2, 0, (size_t)c * sizeof *s2);
        for (int64_t i = block; i < block_end; i += step) {
            int rows = (int)nn_min(step, block_end - i), len = rows * c;
            if (straight) {
                struct pixel_block t = block_at(j, &s->in[0], i, rows);
                t.dx = keeps_upstream(s) ? t.dx : NULL;
                BLOCK(sum_block, s->attr.post, s->in[1].store == NN_STORE_BF16, &t, &to)
                continue;
            }
            const float *dy = nn_row(&s->in[0], i * c, len, sd);
            const float *x = nn_row(&s->in[1], i * c, len, sx);
            const float *u = upstream(s->attr.post, a, b, dy, x, rows, c, su);
            row_sums(u, x, mean, rows, c, s1, s2);
            if (!keeps_upstream(s))
                continue;
            if (s->out[0].store == NN_STORE_F32)
                memcpy(nn_f32(&s->out[0]) + i * c, u, (size_t)len * sizeof *u);
            else
                nn_row_put(&s->out[0], i * c, len, u);
        }
#pragma omp simd
        for (int k = 0; k < c; k++) {
            out.first[k] += (double)s1[k];
            out.second[k] += (double)s2[k];
        }
    }
}

/* With e = u gamma, h = (x - mean) rsd, bars over the group: dx = rsd (e - bar e - h bar(e h)). */
static void back_coef(const struct nn_norm *j, int64_t n)
{
    int c = j->d.c, cg = c / j->groups;
    struct nn_sums sums = nn_norm_sums(j, n, 0);
    for (int p = 1; p < j->l.parts; p++)
        nn_sums_add(sums, nn_norm_sums(j, n, p), c);
    const float *gamma = nn_f32(&j->s->in[2]), *stats = j->stats + n * j->groups * 2;
    float *p = nn_norm_coef(j, n), *q = p + c, *r = q + c;
    double count = (double)j->d.pixels * cg;
    for (int g = 0; g < j->groups; g++) {
        double mean = stats[2 * g], rsd = stats[2 * g + 1], e = 0, eh = 0;
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            e += sums.first[k] * gamma[k];
            eh += sums.second[k] * gamma[k] * rsd;
        }
        if (j->fixed)
            e = eh = 0; /* given statistics do not depend on x */
        for (int k = g * cg; k < (g + 1) * cg; k++) {
            p[k] = (float)(rsd * gamma[k]);
            q[k] = (float)(-rsd * rsd * eh / count);
            r[k] = (float)(-rsd * e / count + rsd * rsd * mean * eh / count);
        }
    }
}

static void back_apply(const struct nn_norm *j, int64_t n, int64_t first, int64_t last)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, step = nn_row_pixels(c);
    const float *p = nn_norm_coef(j, n), *q = p + c, *r = q + c;
    const struct nn_tensor *up = keeps_upstream(s) ? &s->out[0] : &s->in[0];
    int post = keeps_upstream(s) ? NN_POST_NONE : s->attr.post;
    _Alignas(64) float sd[NN_ROW_MAX], su[NN_ROW_MAX], sx[NN_ROW_MAX], sr[NN_ROW_MAX];
    _Alignas(64) float a[NN_ROW_MAX], b[NN_ROW_MAX];
    const bool straight = direct(j);
    forward_coef(j, n, a, b);
    for (int64_t i = n * j->d.pixels + first; i < n * j->d.pixels + last; i += step) {
        int rows = (int)nn_min(step, n * j->d.pixels + last - i), len = rows * c;
        if (straight) {
            struct pixel_block t = block_at(j, up, i, rows);
            BLOCK(apply_block, post, s->in[1].store == NN_STORE_BF16, &t, a, b, p)
            continue;
        }
        const float *x = nn_row(&s->in[1], i * c, len, sx);
        const float *dy = nn_row(up, i * c, len, sd);
        const float *u = upstream(post, a, b, dy, x, rows, c, su);
        float *dx = nn_row_out(&s->out[0], i * c, sd);
        for (int row = 0; row < rows; row++)
#pragma omp simd
            for (int k = 0; k < c; k++)
                dx[row * c + k] = nn_fma(p[k], u[row * c + k], nn_fma(q[k], x[row * c + k], r[k]));
        const float *res = j->res ? nn_row(j->res, i * c, len, sr) : NULL;
        if (res)
#pragma omp simd
            for (int k = 0; k < len; k++)
                dx[k] += res[k];
        nn_row_put(&s->out[0], i * c, len, dx);
    }
}

static void back_samples(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_norm *j = ctx;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        back_sums(j, n, 0, j->d.pixels, nn_norm_sums(j, n, 0));
        back_coef(j, n);
        if (nn_has(&j->s->out[0]))
            back_apply(j, n, 0, j->d.pixels);
    }
}
static void back_part_sums(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_norm *j = ctx;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t n = item / j->l.parts, from, to;
        nn_norm_part(j, (int)(item % j->l.parts), &from, &to);
        back_sums(j, n, from, to, nn_norm_sums(j, n, (int)(item % j->l.parts)));
    }
}
static void back_part_apply(const void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    nn_norm_pixels(ctx, back_apply, first, last);
}

/* dgamma = sum_n rsd sum u (x - mean), dbeta = sum_n sum u: in sample order, whatever the threads.
 */
static void param_gradients(const struct nn_norm *j)
{
    const struct nn_step *s = j->s;
    int c = j->d.c, cg = c / j->groups;
    for (int k = 0; k < c; k++) {
        double dgamma = 0, dbeta = 0;
        for (int64_t n = 0; n < j->d.n; n++) {
            struct nn_sums sums = nn_norm_sums(j, n, 0);
            dbeta += sums.first[k];
            dgamma += sums.second[k] * j->stats[(n * j->groups + k / cg) * 2 + 1];
        }
        if (nn_has(&s->out[1]))
            nn_f32(&s->out[1])[k] = (float)dgamma;
        if (nn_has(&s->out[2]))
            nn_f32(&s->out[2])[k] = (float)dbeta;
    }
}

static status back_run(const struct nn_step *s)
{
    struct nn_norm j = nn_norm_job(s);
    int threads = nn_threads_for(s, j.d.n * j.d.pixels * j.d.c);
    if (j.l.parts == 1) {
        nn_for_range(threads, j.d.n, back_samples, &j);
    } else {
        nn_for_range(threads, j.d.n * j.l.parts, back_part_sums, &j);
        for (int64_t n = 0; n < j.d.n; n++)
            back_coef(&j, n);
        if (nn_has(&s->out[0]))
            nn_for_blocks(threads, j.d.n * j.d.pixels, nn_row_pixels(j.d.c), back_part_apply, &j);
    }
    if (nn_has(&s->out[1]) || nn_has(&s->out[2]))
        param_gradients(&j);
    return STATUS_OK;
}

NN_NORM_KERNEL(GROUP_NORM_BACK, group_norm_back, back_run)
NN_NORM_KERNEL(BATCH_NORM_BACK, batch_norm_back, back_run)
