/*
 * Depthwise convolution: each channel with a kernel of its own, and its two gradients. There is no
 * product to block: an output pixel is a sum over the kernel's taps, all channels at once.
 *
 *     y[p,q]   = sum over taps (i,j) of x[p s - top + i, q s - left + j] w[i,j]
 *     dx[h,w]  = with stride 1 the same of dy and the mirrored kernel, other padding; else a sum
 *                over the taps that reach (h,w)
 *     dw[i,j]  = sum over n, p, q of x[...] dy[p,q]
 *
 * Where all of a kernel's columns meet the image, a row of output pixels is done together, its
 * weights in registers for the usual 3x3; elsewhere a pixel has a list of its taps. Both add
 * in the same order. Weights are (C,1,Kh,Kw); scratch begins with them as (Kh,Kw,C).
 */
#include "kernels/depthwise.h"

struct job {
    const struct nn_step *s;
    struct nn_depthwise_dims d;         /* x is `from`; y is the output, but see scatters */
    bool scatters;                      /* a data gradient of stride > 1: y is `from` */
    const float *w;                     /* (Kh,Kw,C) */
    const struct nn_tensor *from, *res; /* res: may be absent */
    float *rows;                        /* [threads][a row of the output] */
    int64_t row_floats;
};

struct tap {
    const void *at; /* a pixel */
    const float *w;
};

/* row[k] += sum over taps of pixel k times weight k */
static inline __attribute__((always_inline)) void sum_taps(const struct tap *tap, int taps,
                                                           bool bf16, int c, float *row)
{
    int k = 0;
    for (; k + NN_LANES <= c; k += NN_LANES) {
        nn_lanes sum = nn_lanes_load(row + k);
        for (int i = 0; i < taps; i++)
            sum = nn_lanes_fma(nn_lanes_load_at(tap[i].at, bf16, k), nn_lanes_load(tap[i].w + k),
                               sum);
        nn_lanes_store(row + k, sum);
    }
    for (; k < c; k++) /* the same operations */
        for (int i = 0; i < taps; i++)
            row[k] = nn_fma(nn_load_at(tap[i].at, bf16, k), tap[i].w[k], row[k]);
}

static const void *pixel_at(const struct job *j, int64_t pixel)
{
    size_t element = (size_t)pixel * (size_t)j->d.c;
    return (const char *)j->from->data + element * nn_store_bytes(j->from->store);
}

static void add_tap(const struct job *j, struct tap *tap, int *n, int64_t pixel, int i, int k)
{
    tap[(*n)++] =
        (struct tap){pixel_at(j, pixel), j->w + (size_t)(i * j->d.kw + k) * (size_t)j->d.c};
}

/* What output pixel (p,q) of image n reads. */
static int forward_taps(const struct job *j, int64_t n, int p, int q, struct tap *tap)
{
    const struct nn_depthwise_dims *d = &j->d;
    int taps = 0;
    for (int i = 0; i < d->kh; i++)
        for (int k = 0; k < d->kw; k++) {
            int h = p * d->stride - d->top + i, w = q * d->stride - d->left + k;
            if (h >= 0 && h < d->h && w >= 0 && w < d->w)
                add_tap(j, tap, &taps, (n * d->h + h) * d->w + w, i, k);
        }
    return taps;
}

/* The pixels of dy that input pixel (h,w) had a part in. */
static int scatter_taps(const struct job *j, int64_t n, int h, int w, struct tap *tap)
{
    const struct nn_depthwise_dims *d = &j->d;
    int taps = 0;
    for (int i = 0; i < d->kh; i++)
        for (int k = 0; k < d->kw; k++) {
            int p = h + d->top - i, q = w + d->left - k;
            if (p < 0 || q < 0 || p % d->stride || q % d->stride)
                continue;
            p /= d->stride, q /= d->stride;
            if (p < d->p && q < d->q)
                add_tap(j, tap, &taps, (n * d->p + p) * d->q + q, i, k);
        }
    return taps;
}

/* Output pixels that lie beside each other and meet all columns of the kernel. */
struct strip {
    const void *x; /* of the first pixel's first place */
    int64_t x_row; /* elements from one row of the image to the next */
    const float *w;
    float *y;
    int pixels, stride, kh, kw, c; /* kh: rows of the kernel that meet the image */
};

/* Nine taps, their weights kept in registers. */
static inline __attribute__((always_inline)) void strip_3x3(const struct strip *t, bool bf16)
{
    int k = 0;
    for (; k + NN_LANES <= t->c; k += NN_LANES) {
        nn_lanes w[9];
#pragma GCC unroll 9
        for (int i = 0; i < 9; i++)
            w[i] = nn_lanes_load(t->w + i * t->c + k);
        for (int64_t q = 0; q < t->pixels; q++) {
            int64_t at = q * t->stride * t->c + k;
            nn_lanes sum = nn_lanes_load(t->y + q * t->c + k);
#pragma GCC unroll 9
            for (int i = 0; i < 9; i++)
                sum = nn_lanes_fma(
                    nn_lanes_load_at(t->x, bf16, at + i / 3 * t->x_row + i % 3 * t->c), w[i], sum);
            nn_lanes_store(t->y + q * t->c + k, sum);
        }
    }
    for (; k < t->c; k++)
        for (int64_t q = 0; q < t->pixels; q++)
            for (int i = 0; i < 9; i++) {
                int64_t at = q * t->stride * t->c + i / 3 * t->x_row + i % 3 * t->c + k;
                t->y[q * t->c + k] =
                    nn_fma(nn_load_at(t->x, bf16, at), t->w[i * t->c + k], t->y[q * t->c + k]);
            }
}

static inline __attribute__((always_inline)) void strip_any(const struct strip *t, bool bf16)
{
    for (int64_t q = 0; q < t->pixels; q++) {
        float *y = t->y + q * t->c;
        int k = 0;
        for (; k + NN_LANES <= t->c; k += NN_LANES) {
            nn_lanes sum = nn_lanes_load(y + k);
            const float *w = t->w + k;
            for (int i = 0; i < t->kh; i++)
                for (int j = 0; j < t->kw; j++, w += t->c)
                    sum = nn_lanes_fma(
                        nn_lanes_load_at(t->x, bf16, (q * t->stride + j) * t->c + i * t->x_row + k),
                        nn_lanes_load(w), sum);
            nn_lanes_store(y + k, sum);
        }
        for (; k < t->c; k++)
            for (int i = 0; i < t->kh; i++)
                for (int j = 0; j < t->kw; j++)
                    y[k] = nn_fma(
                        nn_load_at(t->x, bf16, (q * t->stride + j) * t->c + i * t->x_row + k),
                        t->w[(i * t->kw + j) * t->c + k], y[k]);
    }
}

static void sum_strip(const struct strip *t, bool bf16)
{
    bool usual = t->kh == 3 && t->kw == 3;
    if (usual && bf16)
        strip_3x3(t, true);
    else if (usual)
        strip_3x3(t, false);
    else if (bf16)
        strip_any(t, true);
    else
        strip_any(t, false);
}

/* The part of an output row that a strip can do: pixels first .. last-1. */
static struct strip strip_of(const struct job *j, int64_t n, int p, float *y, int *first, int *last)
{
    const struct nn_depthwise_dims *d = &j->d;
    int h = p * d->stride - d->top, skip = h < 0 ? -h : 0;
    int beyond = h + d->kh > d->h ? h + d->kh - d->h : 0, reach = d->w - d->kw + d->left;
    struct strip t = {.x_row = (int64_t)d->w * d->c,
                      .stride = d->stride,
                      .kh = d->kh - skip - beyond,
                      .kw = d->kw,
                      .c = d->c};
    *first = d->left > 0 ? (d->left + d->stride - 1) / d->stride : 0;
    *last = (int)nn_min(reach < 0 ? 0 : reach / d->stride + 1, d->q);
    t.pixels = t.kh > 0 && *last > *first ? *last - *first : 0;
    if (t.pixels == 0) {
        *first = *last = 0;
        return t;
    }
    t.x = pixel_at(j, (n * d->h + h + skip) * d->w + (int64_t)*first * d->stride - d->left);
    t.w = j->w + (size_t)(skip * d->kw) * (size_t)d->c;
    t.y = y + (int64_t)*first * d->c;
    return t;
}

static void sum_pixel(const struct job *j, int64_t n, int p, int q, float *y)
{
    struct tap tap[TAPS_MAX];
    int taps = j->scatters ? scatter_taps(j, n, p, q, tap) : forward_taps(j, n, p, q, tap);
    if (j->from->store == NN_STORE_BF16)
        sum_taps(tap, taps, true, j->d.c, y);
    else
        sum_taps(tap, taps, false, j->d.c, y);
}

/* What a row begins with: bias and nc. */
static void begin_row(const struct job *j, int64_t n, int pixels, float *row)
{
    const struct nn_step *s = j->s;
    int c = j->d.c;
    const float *bias = s->op == NN_OP_CONV2D ? nn_f32(&s->in[BIAS]) : NULL;
    const float *nc = s->op == NN_OP_CONV2D ? nn_f32(&s->in[NC]) : NULL;
    for (int k = 0; k < c; k++)
        row[k] = (bias ? bias[k] : 0) + (nc ? nc[n * c + k] : 0);
    for (int q = 1; q < pixels; q++)
        memcpy(row + (int64_t)q * c, row, (size_t)c * sizeof *row);
}

/* Residual, activation, and where the row belongs. */
static void end_row(const struct job *j, int64_t at, int64_t floats, float *row)
{
    const struct nn_step *s = j->s;
    _Alignas(64) float sr[NN_ROW_MAX];
    for (int64_t i = 0; i < floats; i += NN_ROW_MAX) {
        int n = (int)nn_min(NN_ROW_MAX, floats - i);
        const float *more = nn_has(j->res) ? nn_row(j->res, at + i, n, sr) : NULL;
#pragma omp simd
        for (int k = 0; k < (more ? n : 0); k++)
            row[i + k] += more[k];
        nn_post_row(s->attr.post, row + i, n);
        if (s->out[0].store == NN_STORE_F32)
            memcpy(nn_f32(&s->out[0]) + at + i, row + i, (size_t)n * sizeof *row);
        else
            nn_row_put(&s->out[0], at + i, n, row + i);
    }
}

/* Items are rows of the output image. */
static void rows(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct job *j = ctx;
    struct nn_shape ys = j->s->out[0].shape;
    int c = j->d.c, pixels = ys.dim[2];
    float *row = j->rows + thread * j->row_floats;
    for (int64_t r = first; r < last; r++) {
        int64_t n = r / ys.dim[1];
        int p = (int)(r % ys.dim[1]), from = 0, to = 0;
        begin_row(j, n, pixels, row);
        if (!j->scatters) {
            struct strip t = strip_of(j, n, p, row, &from, &to);
            sum_strip(&t, j->from->store == NN_STORE_BF16);
        }
        for (int q = 0; q < pixels; q++)
            if (q < from || q >= to)
                sum_pixel(j, n, p, q, row + (int64_t)q * c);
        end_row(j, r * j->row_floats, j->row_floats, row);
    }
}

static int64_t row_floats(const struct nn_step *s)
{
    return (int64_t)s->out[0].shape.dim[2] * s->out[0].shape.dim[3];
}

static status rows_prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    struct nn_depthwise_dims d = nn_depthwise_dims(s);
    size_t rows_of_threads = (size_t)s->threads * (size_t)row_floats(s);
    s->scratch_bytes = (nn_depthwise_weights(&d) + rows_of_threads) * sizeof(float);
    return STATUS_OK;
}

/* dx from dy as a forward convolution. */
static struct nn_depthwise_dims mirrored(const struct nn_depthwise_dims *d)
{
    struct nn_depthwise_dims m = *d;
    m.h = d->p, m.w = d->q, m.p = d->h, m.q = d->w;
    m.top = d->kh - 1 - d->top;
    m.left = d->kw - 1 - d->left;
    return m;
}

static status rows_run(const struct nn_step *s)
{
    bool forward = s->op == NN_OP_CONV2D;
    struct job j = {.s = s, .d = nn_depthwise_dims(s), .w = s->scratch, .from = &s->in[0]};
    int taps = j.d.kh * j.d.kw;
    bool mirror = !forward && j.d.stride == 1;
    float *w = s->scratch;
    for (int i = 0; i < taps; i++)
        for (int k = 0; k < j.d.c; k++) {
            int place = mirror ? taps - 1 - i : i;
            *w++ = nn_f32(&s->in[W])[(size_t)k * (size_t)taps + (size_t)place];
        }
    j.rows = w;
    j.row_floats = row_floats(s);
    j.res = &s->in[forward ? RES : DATA_RES];
    j.scatters = !forward && !mirror;
    if (mirror)
        j.d = mirrored(&j.d);
    nn_for_range(nn_threads_for(s, nn_shape_count(s->out[0].shape)),
                 (int64_t)s->out[0].shape.dim[0] * s->out[0].shape.dim[1], rows, &j);
    return STATUS_OK;
}

const struct nn_kernel nn_depthwise_conv2d = {.op = NN_OP_CONV2D,
                                              .name = "depthwise.conv2d",
                                              .supports = nn_depthwise_supports,
                                              .prepare = rows_prepare,
                                              .run = rows_run};
const struct nn_kernel nn_depthwise_conv2d_data = {.op = NN_OP_CONV2D_DATA,
                                                   .name = "depthwise.conv2d_data",
                                                   .supports = nn_depthwise_supports,
                                                   .prepare = rows_prepare,
                                                   .run = rows_run};
