/*
 * Attention by panels (panels.h), per (sample, head): items go to threads. L positions, D channels
 * of the head, both multiples of 16; q scaled by 1 / sqrt(D) where it is read.
 *
 *     P = softmax(q k'),  y = P v
 *     dv = P' dy,  G = dy v',  S = P * (G - rowsum(P * G)),  dq = S k / sqrt(D),  dk = S' q
 *
 * k and v are turned into panels once an item; then a block of query rows at a time goes through
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

/* panels (D, L): the matrix turned, sixteen positions a panel */
static void read_turned(const struct dims *d, struct matrix m, float *panels)
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

struct room {
    float *k_turned, *v, *k, *v_turned; /* (L,D) each */
    float *dk, *dv;                     /* (L,D) */
    float *q, *dy, *y;                  /* (BLOCK,D) */
    float *p, *g;                       /* (BLOCK,L) */
};

/* The next floats of memory, at floats from its start. memory is NULL when only sizes are asked. */
struct taking {
    float *memory;
    int64_t at;
};
static float *take(struct taking *t, int64_t floats)
{
    int64_t at = t->at;
    t->at += floats + LANES; /* a line between them: their sizes are multiples of pages */
    return t->memory ? t->memory + at : NULL;
}

/* Returns how many floats the room takes. */
static int64_t room_at(const struct dims *d, bool back, float *memory, struct room *out)
{
    int64_t ld = (int64_t)d->l * d->d, block = nn_min(BLOCK, d->l);
    struct taking at = {memory, 0};
    *out = (struct room){
        .k_turned = take(&at, ld), .q = take(&at, block * d->d), .p = take(&at, block * d->l)};
    if (!back) {
        out->v = take(&at, ld);
        out->y = take(&at, block * d->d);
    } else {
        out->v_turned = take(&at, ld);
        out->k = take(&at, ld);
        out->dk = take(&at, ld);
        out->dv = take(&at, ld);
        out->dy = take(&at, block * d->d);
        out->y = take(&at, block * d->d);
        out->g = take(&at, block * d->l);
    }
    return at.at;
}

static int64_t thread_floats(const struct nn_step *s)
{
    struct dims d = dims_of(s);
    struct room room;
    return room_at(&d, is_back(s), NULL, &room);
}

/* ---- one item ---- */

static void probabilities(const struct dims *d, struct matrix q, int first, int count,
                          const struct room *room)
{
    read_rows(d, q, first, count, d->scale, room->q);
    nn_panel_multiply(room->q, room->k_turned, room->p, count, d->d, d->l / LANES);
    nn_softmax_panels(room->p, count, d->l);
}

enum { Q, K, V };

static void forward_item(const struct nn_step *s, const struct dims *d, int64_t item,
                         const struct room *room)
{
    read_turned(d, matrix(&s->in[K], d, item), room->k_turned);
    read_rows(d, matrix(&s->in[V], d, item), 0, d->l, 1, room->v);
    for (int i = 0; i < d->l; i += BLOCK) {
        int count = (int)nn_min(BLOCK, d->l - i);
        probabilities(d, matrix(&s->in[Q], d, item), i, count, room);
        nn_panel_multiply(room->p, room->v, room->y, count, d->l, d->d / LANES);
        write_rows(d, matrix(&s->out[0], d, item), i, count, 1, room->y);
    }
}

/* in dy, q, k, v; out dq? dk? dv? */
static void back_item(const struct nn_step *s, const struct dims *d, int64_t item,
                      const struct room *room)
{
    const struct nn_tensor *dq = &s->out[0], *dk = &s->out[1], *dv = &s->out[2];
    read_turned(d, matrix(&s->in[1 + K], d, item), room->k_turned);
    read_turned(d, matrix(&s->in[1 + V], d, item), room->v_turned);
    read_rows(d, matrix(&s->in[1 + K], d, item), 0, d->l, 1, room->k);
    for (int i = 0; i < d->l; i += BLOCK) {
        int count = (int)nn_min(BLOCK, d->l - i);
        probabilities(d, matrix(&s->in[1 + Q], d, item), i, count, room);
        read_rows(d, matrix(&s->in[0], d, item), i, count, 1, room->dy);
        if (nn_has(dv))
            nn_panel_correlate(room->p, room->dy, room->dv, count, d->l, d->d / LANES, i > 0);
        if (!nn_has(dq) && !nn_has(dk))
            continue;
        nn_panel_multiply(room->dy, room->v_turned, room->g, count, d->d, d->l / LANES);
        softmax_back_rows(d, room->p, room->g, count);
        if (nn_has(dk))
            nn_panel_correlate(room->g, room->q, room->dk, count, d->l, d->d / LANES, i > 0);
        if (!nn_has(dq))
            continue;
        nn_panel_multiply(room->g, room->k, room->y, count, d->l, d->d / LANES);
        write_rows(d, matrix(dq, d, item), i, count, d->scale, room->y);
    }
    if (nn_has(dk))
        write_rows(d, matrix(dk, d, item), 0, d->l, 1, room->dk);
    if (nn_has(dv))
        write_rows(d, matrix(dv, d, item), 0, d->l, 1, room->dv);
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
    struct room room;
    room_at(&d, is_back(s), (float *)s->scratch + thread * thread_floats(s), &room);
    for (int64_t item = first; item < last; item++) {
        if (is_back(s))
            back_item(s, &d, item, &room);
        else
            forward_item(s, &d, item, &room);
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
