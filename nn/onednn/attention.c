/*
 * Attention with one head: per image S = q k' (f32), P = softmax(S / sqrt(C)) in the operands'
 * type, y = P v. L positions, C channels.
 *
 * The primitives are made for one thread and images go to our threads, each with objects and
 * scratch of its own: so an image's bits do not depend on the batch, and nothing is shared in a
 * run. Where there are fewer images than threads, some rows of S are an item, on AVX-512. Several
 * heads are strided operands, which the library multiplies slowly: left to the next device.
 */
#include "onednn/onednn.h"

#include "kernels/kernels.h"

#include <math.h>

enum { Q, K, V };

struct worker {
    struct nn_dnnl d; /* the plan's engine, a stream of its own, one thread */
    struct nn_dnnl_call scores, mix;
    status st;
};

struct attention {
    int l, c, rows, n_workers; /* rows of S an item, a part of l */
    int64_t items;
    bool bf16;
    nn_softmax_fn *softmax;
    size_t scores_bytes, p_bytes, worker_bytes; /* of scratch */
    struct worker *worker;
};

static bool supports(const struct nn_step *s)
{
    for (int i = 1; i < 3; i++)
        if (s->in[i].store != s->in[0].store)
            return false;
    return s->attr.groups == 1 && s->out[0].store == s->in[0].store && nn_dnnl_stores_ok(s);
}

static void drop(struct nn_step *s)
{
    struct attention *a = s->state;
    for (int i = 0; a && i < a->n_workers; i++) {
        nn_dnnl_call_done(&a->worker[i].scores);
        nn_dnnl_call_done(&a->worker[i].mix);
        if (a->worker[i].d.stream)
            dnnl_stream_destroy(a->worker[i].d.stream);
    }
    if (a)
        mem_free(a->worker);
    mem_free(a);
    s->state = NULL;
}

static status worker_new(struct worker *w, dnnl_engine_t engine,
                         const struct nn_dnnl_product *scores, const struct nn_dnnl_product *mix,
                         struct errmsg *e)
{
    w->d = (struct nn_dnnl){.engine = engine, .threads = 1};
    status st = nn_dnnl_status(dnnl_stream_create(&w->d.stream, engine, dnnl_stream_default_flags),
                               "a stream", e);
    if (!st)
        st = nn_dnnl_product_new(&w->scores, NULL, NULL, &w->d, scores, e);
    return st ? st : nn_dnnl_product_new(&w->mix, NULL, NULL, &w->d, mix, e);
}

static status workers_new(struct nn_step *s, struct attention *a, struct errmsg *e)
{
    const struct nn_dnnl *d = s->device_ctx;
    dnnl_data_type_t type = a->bf16 ? dnnl_bf16 : dnnl_f32;
    struct nn_dnnl_product scores = {.m = a->rows,
                                     .k = a->c,
                                     .n = a->l,
                                     .weights_transposed = true,
                                     .operand = type,
                                     .result = dnnl_f32};
    struct nn_dnnl_product mix = {
        .m = a->rows, .k = a->l, .n = a->c, .operand = type, .result = type};
    status st = STATUS_OK;
    for (int i = 0; i < a->n_workers && !st; i++)
        st = worker_new(&a->worker[i], d->engine, &scores, &mix, e);
    return st;
}

/* Whether a row of a product has the same bits whatever rows are computed with it. The library's
   product for AVX2 chooses among kernels by the number of rows, and these add up in other orders.
 */
static bool rows_are_alike(void)
{
    unsigned has = dnnl_get_effective_cpu_isa(), wide = dnnl_cpu_isa_avx512_core;
    return (has & wide) == wide;
}

/* Whole images, or the largest parts of them that keep the threads busy; small ones do not pay. */
static int rows_of(int l, int images, int threads)
{
    enum { LEAST = 64 };
    int rows = l;
    while (rows_are_alike() && images * (l / rows) < threads && rows % 2 == 0 && rows / 2 >= LEAST)
        rows /= 2;
    return rows;
}

static status prepare(struct nn_step *s, struct errmsg *e)
{
    struct attention *a = s->state = mem_zalloc(1, sizeof *a);
    if (!a)
        return STATUS_NOMEM;
    struct nn_shape q = s->in[Q].shape;
    a->l = q.dim[1] * q.dim[2];
    a->c = q.dim[3];
    a->bf16 = s->in[Q].store == NN_STORE_BF16;
    a->softmax = nn_kernels_here()->softmax;
    a->rows = rows_of(a->l, q.dim[0], s->threads);
    a->items = (int64_t)q.dim[0] * (a->l / a->rows);
    int workers = (int)nn_min(s->threads, a->items);
    a->worker = mem_zalloc((size_t)workers, sizeof *a->worker);
    if (!a->worker)
        return STATUS_NOMEM;
    a->n_workers = workers;
    int before = nn_bind_threads(1);
    status st = workers_new(s, a, e);
    nn_bind_threads(before);
    if (st)
        return st;
    size_t ll = (size_t)a->rows * (size_t)a->l, x = a->worker[0].scores.scratch_bytes;
    size_t y = a->worker[0].mix.scratch_bytes;
    a->scores_bytes = nn_align(ll * sizeof(float));
    a->p_bytes = a->bf16 ? nn_align(ll * 2) : 0;
    a->worker_bytes = a->scores_bytes + a->p_bytes + nn_align(x > y ? x : y);
    s->scratch_bytes = (size_t)workers * a->worker_bytes;
    return STATUS_OK;
}

static status bind(struct nn_step *s, struct errmsg *e)
{
    struct attention *a = s->state;
    status st = STATUS_OK;
    (void)e;
    for (int i = 0; i < a->n_workers && !st; i++) {
        struct worker *w = &a->worker[i];
        char *scores = (char *)s->scratch + (size_t)i * a->worker_bytes, *p = scores;
        char *scratch = scores + a->scores_bytes + a->p_bytes;
        if (a->bf16)
            p += a->scores_bytes;
        st = nn_dnnl_call_point(&w->scores, DNNL_ARG_DST, scores);
        if (!st)
            st = nn_dnnl_call_point(&w->scores, DNNL_ARG_SCRATCHPAD, scratch);
        if (!st)
            st = nn_dnnl_call_point(&w->mix, DNNL_ARG_SRC, p);
        if (!st)
            st = nn_dnnl_call_point(&w->mix, DNNL_ARG_SCRATCHPAD, scratch);
    }
    return st;
}

static void run_items(const void *ctx, int64_t first, int64_t last, int thread)
{
    const struct nn_step *s = ctx;
    const struct attention *a = s->state;
    struct worker *w = &a->worker[thread];
    size_t row = (size_t)a->c * nn_store_bytes(s->in[Q].store), image = (size_t)a->l * row;
    void *scores = (char *)s->scratch + (size_t)thread * a->worker_bytes;
    void *p = a->bf16 ? (char *)scores + a->scores_bytes : NULL;
    for (int64_t item = first; item < last && !w->st; item++) {
        size_t at = (size_t)item * (size_t)a->rows * row, n = at / image * image;
        w->st = nn_dnnl_call_point(&w->scores, DNNL_ARG_SRC, (char *)s->in[Q].data + at);
        if (!w->st)
            w->st = nn_dnnl_call_point(&w->scores, DNNL_ARG_WEIGHTS, (char *)s->in[K].data + n);
        if (!w->st)
            w->st = nn_dnnl_call_point(&w->mix, DNNL_ARG_WEIGHTS, (char *)s->in[V].data + n);
        if (!w->st)
            w->st = nn_dnnl_call_point(&w->mix, DNNL_ARG_DST, (char *)s->out[0].data + at);
        if (!w->st)
            w->st = nn_dnnl_call_run(&w->scores, &w->d);
        if (w->st)
            return;
        a->softmax(scores, a->rows, a->l, 1 / sqrtf((float)a->c), p);
        w->st = nn_dnnl_call_run(&w->mix, &w->d);
    }
}

static status run(const struct nn_step *s)
{
    struct attention *a = s->state;
    status st = STATUS_OK;
    for (int i = 0; i < a->n_workers; i++)
        a->worker[i].st = STATUS_OK;
    nn_for_range(a->n_workers, a->items, run_items, s);
    for (int i = 0; i < a->n_workers && !st; i++)
        st = a->worker[i].st;
    return st;
}

const struct nn_kernel nn_onednn_attention = {
    .op = NN_OP_ATTENTION,
    .name = "onednn.attention",
    .supports = supports,
    .prepare = prepare,
    .bind = bind,
    .run = run,
    .drop = drop,
};
