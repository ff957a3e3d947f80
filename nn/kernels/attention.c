/*
 * Attention by panels (panels.h); each thread computes whole items, (sample, head). L positions, D channels
 * of the head, both multiples of 16; q scaled by 1 / sqrt(D) where it is read.
 *
 *     P = softmax(q k'),  y = P v
 *     dv = P' dy,  G = dy v',  S = P * (G - rowsum(P * G)),  dq = S k / sqrt(D),  dk = S' q
 *
 * k and v are copied into panels once an item; then a block of query rows at a time goes through
 * everything, so that P and G, (rows, L) each, stay in the second cache and are never L*L large. P
 * is computed again in the backward pass. Arithmetic is f32 whatever the tensors' store.
 */
#include "kernels/kernels.h"
#include "kernels/lanes.h"
#include "kernels/panels.h"

#include <math.h>

enum { LANES = NN_PANEL, BLOCK = 4 * NN_PANEL_ROWS };
_Static_assert((int)NN_SUMS == (int)NN_PANEL, "a row of a panel goes into the sums");

struct dims {
    int l, c, heads, d;
    float scale;
};

static bool is_back(const struct nn_step *s)
{
    return s->op == NN_OP_ATTENTION_BACK;
}

static struct dims dims_of(const struct nn_step *s)
{
    struct nn_shape q = s->in[is_back(s)].shape;
    struct dims d = {.l = q.dim[1] * q.dim[2],
                     .c = q.dim[3],
                     .heads = s->attr.groups,
                     .d = q.dim[3] / s->attr.groups};
    d.scale = 1 / sqrtf((float)d.d);
    return d;
}

/* An item's matrix (L,D) within a tensor. */
struct matrix {
    void *data;
    bool bf16;
    int64_t start; /* element (0,0) */
};
static struct matrix matrix(const struct nn_tensor *t, const struct dims *d, int64_t item)
{
    return (struct matrix){t->data, t->store == NN_STORE_BF16,
                           item / d->heads * d->l * d->c + item % d->heads * d->d};
}

/* panels (rows, D) of `count` positions, times scale */
static void read_rows(const struct dims *d, struct matrix m, int first, int count, float scale,
                      float *panels)
{
    for (int64_t r = 0; r < count; r++)
        for (int64_t j = 0; j < d->d; j += NN_LANES) {
            nn_lanes v = nn_lanes_load_at(m.data, m.bf16, m.start + (first + r) * d->c + j);
            float *to = panels + j / LANES * count * LANES + r * LANES + j % LANES;
            nn_lanes_store(to, nn_lanes_all(scale) * v);
        }
}

/* panels (D, L): the matrix transposed, sixteen positions a panel */
static void read_transposed(const struct dims *d, struct matrix m, float *panels)
{
    for (int64_t i = 0; i < d->l; i++) {
        int64_t at = m.start + i * d->c;
        float *to = panels + i / LANES * d->d * LANES + i % LANES;
        for (int64_t j = 0; j < d->d; j++)
            to[j * LANES] = nn_load_at(m.data, m.bf16, at + j);
    }
}

static void write_rows(const struct dims *d, struct matrix m, int first, int count, float scale,
                       const float *panels)
{
    for (int64_t r = 0; r < count; r++)
        for (int64_t j = 0; j < d->d; j += NN_LANES) {
            const float *from = panels + j / LANES * count * LANES + r * LANES + j % LANES;
            nn_lanes_store_at(m.data, m.bf16, m.start + (first + r) * d->c + j,
                              nn_lanes_all(scale) * nn_lanes_load(from));
        }
}

/* g = p * (g - rowsum(p * g)) */
static void softmax_back_rows(const struct dims *d, const float *p, float *g, int rows)
{
    int64_t panel = (int64_t)rows * LANES, panels = d->l / LANES;
    for (int r = 0; r < rows; r++, p += LANES, g += LANES) {
        float sum[NN_SUMS] = {0};
        for (int64_t i = 0; i < panels; i++)
#pragma omp simd
            for (int k = 0; k < LANES; k++)
                sum[k] = nn_fma(p[i * panel + k], g[i * panel + k], sum[k]);
        float dot = nn_total(sum);
        for (int64_t i = 0; i < panels; i++)
#pragma omp simd
            for (int k = 0; k < LANES; k++)
                g[i * panel + k] = p[i * panel + k] * (g[i * panel + k] - dot);
    }
}

/* ---- memory: what a thread has in scratch ---- */

struct workspace {
    float *k_transposed, *v, *k, *v_transposed; /* (L,D) each */
    float *dk, *dv;                             /* (L,D) */
    float *q, *dy, *y;                          /* (BLOCK,D) */
    float *p, *g;                               /* (BLOCK,L) */
};

/* Hands out memory front to back; with memory NULL it only counts. */
struct bump {
    float *memory;
    int64_t at;
};
static float *bump_alloc(struct bump *t, int64_t floats)
{
    int64_t at = t->at;
    t->at += floats + LANES; /* a line between them: their sizes are multiples of pages */
    return t->memory ? t->memory + at : NULL;
}

/* Lays the workspace out in memory; returns its size in floats. */
static int64_t workspace_at(const struct dims *d, bool back, float *memory, struct workspace *out)
{
    int64_t ld = (int64_t)d->l * d->d, block = nn_min(BLOCK, d->l);
    struct bump at = {memory, 0};
    *out = (struct workspace){.k_transposed = bump_alloc(&at, ld),
                              .q = bump_alloc(&at, block * d->d),
                              .p = bump_alloc(&at, block * d->l)};
    if (!back) {
        out->v = bump_alloc(&at, ld);
        out->y = bump_alloc(&at, block * d->d);
    } else {
        out->v_transposed = bump_alloc(&at, ld);
        out->k = bump_alloc(&at, ld);
        out->dk = bump_alloc(&at, ld);
        out->dv = bump_alloc(&at, ld);
        out->dy = bump_alloc(&at, block * d->d);
        out->y = bump_alloc(&at, block * d->d);
        out->g = bump_alloc(&at, block * d->l);
    }
    return at.at;
}

static int64_t thread_floats(const struct nn_step *s)
{
    struct dims d = dims_of(s);
    struct workspace ws;
    return workspace_at(&d, is_back(s), NULL, &ws);
}

/* ---- one item ---- */

static void probabilities(const struct dims *d, struct matrix q, int first, int count,
                          const struct workspace *ws)
{
    read_rows(d, q, first, count, d->scale, ws->q);
    nn_panel_multiply(ws->q, ws->k_transposed, ws->p, count, d->d, d->l / LANES);
    nn_softmax_panels(ws->p, count, d->l);
}

enum { Q, K, V };

static void forward_item(const struct nn_step *s, const struct dims *d, int64_t item,
                         const struct workspace *ws)
{
    read_transposed(d, matrix(&s->in[K], d, item), ws->k_transposed);
    read_rows(d, matrix(&s->in[V], d, item), 0, d->l, 1, ws->v);
    for (int i = 0; i < d->l; i += BLOCK) {
        int count = (int)nn_min(BLOCK, d->l - i);
        probabilities(d, matrix(&s->in[Q], d, item), i, count, ws);
        nn_panel_multiply(ws->p, ws->v, ws->y, count, d->l, d->d / LANES);
        write_rows(d, matrix(&s->out[0], d, item), i, count, 1, ws->y);
    }
}

/* in dy, q, k, v; out dq? dk? dv? */
static void back_item(const struct nn_step *s, const struct dims *d, int64_t item,
                      const struct workspace *ws)
{
    const struct nn_tensor *dq = &s->out[0], *dk = &s->out[1], *dv = &s->out[2];
    read_transposed(d, matrix(&s->in[1 + K], d, item), ws->k_transposed);
    read_transposed(d, matrix(&s->in[1 + V], d, item), ws->v_transposed);
    read_rows(d, matrix(&s->in[1 + K], d, item), 0, d->l, 1, ws->k);
    for (int i = 0; i < d->l; i += BLOCK) {
        int count = (int)nn_min(BLOCK, d->l - i);
        probabilities(d, matrix(&s->in[1 + Q], d, item), i, count, ws);
        read_rows(d, matrix(&s->in[0], d, item), i, count, 1, ws->dy);
        if (nn_has(dv))
            nn_panel_correlate(ws->p, ws->dy, ws->dv, count, d->l, d->d / LANES, i > 0);
        if (!nn_has(dq) && !nn_has(dk))
            continue;
        nn_panel_multiply(ws->dy, ws->v_transposed, ws->g, count, d->d, d->l / LANES);
        softmax_back_rows(d, ws->p, ws->g, count);
        if (nn_has(dk))
            nn_panel_correlate(ws->g, ws->q, ws->dk, count, d->l, d->d / LANES, i > 0);
        if (!nn_has(dq))
            continue;
        nn_panel_multiply(ws->g, ws->k, ws->y, count, d->l, d->d / LANES);
        write_rows(d, matrix(dq, d, item), i, count, d->scale, ws->y);
    }
    if (nn_has(dk))
        write_rows(d, matrix(dk, d, item), 0, d->l, 1, ws->dk);
    if (nn_has(dv))
        write_rows(d, matrix(dv, d, item), 0, d->l, 1, ws->dv);
}

/* ---- kernels ---- */

static bool supports(const struct nn_step *s)
{
    struct nn_shape q = s->in[is_back(s)].shape;
    return q.dim[1] * q.dim[2] % LANES == 0 && q.dim[3] / s->attr.groups % LANES == 0;
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    (void)e;
    s->scratch_bytes = (size_t)s->threads * (size_t)thread_floats(s) * sizeof(float);
    return STATUS_OK;
}

static void items(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    struct dims d = dims_of(s);
    struct workspace ws;
    workspace_at(&d, is_back(s), (float *)s->scratch + thread * thread_floats(s), &ws);
    for (int64_t item = first; item < last; item++) {
        if (is_back(s))
            back_item(s, &d, item, &ws);
        else
            forward_item(s, &d, item, &ws);
    }
}

static status run(const struct nn_step *s)
{
    nn_for_range(s->threads, (int64_t)s->in[is_back(s)].shape.dim[0] * s->attr.groups, items, s);
    return STATUS_OK;
}

const struct nn_kernel nn_panel_attention = {
    .op = NN_OP_ATTENTION,
    .name = "panel.attention",
    .supports = supports,
    .prepare = prepare,
    .run = run,
};
const struct nn_kernel nn_panel_attention_back = {
    .op = NN_OP_ATTENTION_BACK,
    .name = "panel.attention_back",
    .supports = supports,
    .prepare = prepare,
    .run = run,
};
