/*
 * One image through the sampler. The image is cut into tiles (tiles.h); each (tile, sample) is one
 * slot of a micro-batch; results are blended into a band of rows, and a row is final once no tile
 * further down reaches it. So memory beside the image is one copy of its pixels and one band,
 * whatever its size, and the image itself is written only when everything is done.
 *
 * Randomness: key = the first 8 bytes of SHA-256(pixel digest, profile id), little-endian; the
 * stream packs sample, round, step and purpose; the position in the stream is the position on the
 * canvas.
 *
 * Nothing of an engine is in use between two micro-batches, which is what lets a paused run lend
 * it.
 */
#include "engine.h"

#include "jcdp.h"
#include "model.h"
#include "tiles.h"

#include <math.h>
#include <string.h>

/* At 64 Mi pixels (the decoders' limit too) an RGB image takes 192 MiB beside itself. */
#define MAX_PIXELS ((int64_t)1 << 26)

struct net {
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *in, *in2;  /* x and t, or a and b */
    const float *out; /* predicted noise, or the gradient for a */
};
struct purify_engine {
    const struct purify_model *model;
    int batch;
    size_t elements; /* of a tile */
    struct net unet, percept;
    struct jcdp *jcdp;
    float *z;       /* (batch,elements) */
    float *scratch; /* one row of a tile and two more */
};

/* One (tile, sample); i < 0 is padding. */
struct slot {
    int i, sample;
};
struct run {
    struct purify_engine *en;
    const struct image *img;
    const struct engine_hooks *hooks;
    struct tiling tiling;
    uint64_t key;
    uint8_t *out; /* (H,W,C) */
    float *band;  /* (band_rows,W,C), from image row `top` */
    int band_rows, top;
    int row;           /* of tiles */
    struct slot *slot; /* (batch) */
    uint64_t evaluations;
};

int64_t purify_max_pixels(void)
{
    return MAX_PIXELS;
}

/* ---- networks ---- */

static void net_done(struct net *n)
{
    nn_plan_free(n->plan);
    nn_graph_free(n->graph);
}

static status net_plan(struct net *n, struct nn_val in, struct nn_val in2, struct nn_val out,
                       enum nn_precision precision, struct errmsg *e)
{
    const struct nn_plan_options opt = {.threads = 1, .precision = precision, .shared = true};
    nn_output(n->graph, out, "out");
    status st = nn_plan_new(n->graph, &opt, &n->plan, e);
    if (st)
        return st;
    n->in = nn_plan_data(n->plan, in);
    n->in2 = nn_plan_data(n->plan, in2);
    n->out = nn_plan_data(n->plan, out);
    return STATUS_OK;
}

static status plan_unet(struct purify_engine *en, struct errmsg *e)
{
    const struct purify_unet *u = &en->model->unet;
    status st = nn_graph_new(en->model->unet_params, &en->unet.graph);
    if (st)
        return st;
    struct nn_graph *g = en->unet.graph;
    struct nn_val x =
        nn_input(g, "x", NN_F32, nn_shape4(en->batch, u->size, u->size, u->in_channels));
    struct nn_val t = nn_input(g, "t", NN_F32, nn_shape1(en->batch));
    return net_plan(&en->unet, x, t, purify_unet_build(g, u, x, t, false),
                    en->model->profile.precision, e);
}

static status plan_percept(struct purify_engine *en, struct errmsg *e)
{
    const struct purify_unet *u = &en->model->unet;
    status st = nn_graph_new(en->model->percept_params, &en->percept.graph);
    if (st)
        return st;
    struct nn_graph *g = en->percept.graph;
    struct nn_shape s = nn_shape4(en->batch, u->size, u->size, u->in_channels);
    struct nn_val a = nn_input(g, "a", NN_F32, s), b = nn_input(g, "b", NN_F32, s), grad = NN_NONE;
    nn_gradients(g, purify_percept_distance(g, &en->model->percept, a, b), &a, 1, &grad);
    return net_plan(&en->percept, a, b, grad, NN_PREC_F32, e);
}

/* ---- life ---- */

status engine_new(const struct purify_model *m, int batch, struct purify_engine **out,
                  struct errmsg *e)
{
    AUTO(purify_engine_free) struct purify_engine *en = mem_zalloc(1, sizeof *en);
    if (!en)
        return STATUS_NOMEM;
    size_t row = (size_t)m->unet.size * (size_t)m->unet.in_channels;
    en->model = m;
    en->batch = batch;
    en->elements = row * (size_t)m->unet.size;
    en->z = mem_alloc_aligned((size_t)batch * en->elements * sizeof *en->z);
    en->scratch = mem_alloc_aligned((row + 2) * sizeof *en->scratch);
    if (!en->z || !en->scratch)
        return STATUS_NOMEM;
    status st = jcdp_new(&m->profile, &m->unet, batch, en->elements, &en->jcdp);
    if (!st)
        st = plan_unet(en, e);
    if (!st && m->guided_by_percept)
        st = plan_percept(en, e);
    if (!st)
        *out = TAKE(en);
    return st;
}

status purify_engine_new(const struct purify_model *m, struct purify_engine **out, struct errmsg *e)
{
    return engine_new(m, PURIFY_MICRO_BATCH, out, e);
}

void purify_engine_free(struct purify_engine *en)
{
    if (en) {
        net_done(&en->unet);
        net_done(&en->percept);
        jcdp_free(en->jcdp);
        mem_free(en->z);
        mem_free(en->scratch);
    }
    mem_free(en);
}

/* ---- what the sampler asks for ---- */

static status env_eps(void *ctx, const float *x, int t, const float **out_eps)
{
    struct run *r = ctx;
    struct purify_engine *en = r->en;
    memcpy(en->unet.in, x, (size_t)en->batch * en->elements * sizeof *x);
    for (int k = 0; k < en->batch; k++) {
        en->unet.in2[k] = (float)t;
        r->evaluations += r->slot[k].i >= 0;
    }
    *out_eps = en->unet.out;
    return nn_plan_run(en->unet.plan);
}

static status env_percept_gradient(void *ctx, const float *x, const float *y,
                                   const float **out_grad)
{
    struct purify_engine *en = ((struct run *)ctx)->en;
    size_t bytes = (size_t)en->batch * en->elements * sizeof *x;
    memcpy(en->percept.in, x, bytes);
    memcpy(en->percept.in2, y, bytes);
    *out_grad = en->percept.out;
    return nn_plan_run(en->percept.plan);
}

/* 8 bits of sample, 8 of round, 16 of step, then the purpose: as wide as a profile's ranges. */
static uint64_t stream_of(enum jcdp_purpose purpose, int sample, int round, int step)
{
    return (uint64_t)sample | (uint64_t)round << 8 | (uint64_t)step << 16 | (uint64_t)purpose << 32;
}

static void env_noise(void *ctx, enum jcdp_purpose purpose, int round, int step, float *out)
{
    struct run *r = ctx;
    struct purify_engine *en = r->en;
    for (int k = 0; k < en->batch; k++, out += en->elements) {
        const struct slot *s = &r->slot[k];
        if (s->i < 0) {
            memset(out, 0, en->elements * sizeof *out);
            continue;
        }
        struct nn_rng rng = nn_rng(r->key, stream_of(purpose, s->sample, round, step));
        tiling_noise(&r->tiling, s->i, r->row, rng, en->scratch, out);
    }
}

static int env_stop(void *ctx)
{
    const struct engine_hooks *h = ((struct run *)ctx)->hooks;
    return h && h->stop && h->stop(h->arg);
}

/* ---- one image ---- */

/* A network gone wrong must not become pixels. */
static bool all_finite(const float *x, size_t n)
{
    float sum = 0; /* x - x is 0, or NaN for NaN and infinity */
    for (size_t k = 0; k < n; k++)
        sum += x[k] - x[k];
    return sum == 0;
}

static status run_group(struct run *r, struct errmsg *e)
{
    struct purify_engine *en = r->en;
    const struct jcdp_env env = {r, env_eps, env_percept_gradient, env_noise, env_stop};
    for (int k = 0; k < en->batch; k++) {
        float *z = en->z + (size_t)k * en->elements;
        if (r->slot[k].i >= 0)
            tiling_load(&r->tiling, r->slot[k].i, r->row, r->img, z);
        else
            memset(z, 0, en->elements * sizeof *z);
    }
    status st = jcdp_run(en->jcdp, &env, en->z);
    if (st)
        return st;
    float gain = 1.0f / (float)en->model->profile.average;
    for (int k = 0; k < en->batch && r->slot[k].i >= 0; k++) {
        const float *z = en->z + (size_t)k * en->elements;
        if (!all_finite(z, en->elements))
            return errmsg_set(e, STATUS_INTERNAL, "the network gave no finite numbers");
        tiling_add(&r->tiling, r->slot[k].i, r->row, z, gain, r->img->channels, r->top, r->band);
    }
    return STATUS_OK;
}

/* The rows above `next` are final. */
static void flush(struct run *r, int next)
{
    size_t row = (size_t)r->img->width * (size_t)r->img->channels;
    size_t done = (size_t)(next - r->top), rest = (size_t)r->band_rows - done;
    image_from_f32(r->band, done * row, r->out + (size_t)r->top * row);
    memmove(r->band, r->band + done * row, rest * row * sizeof *r->band);
    memset(r->band + rest * row, 0, done * row * sizeof *r->band);
    r->top = next;
}

/* The slots of a row of tiles: all samples of a tile, then the next tile, then padding. */
static struct slot slot_at(const struct run *r, int64_t at)
{
    int average = r->en->model->profile.average;
    if (at >= (int64_t)r->tiling.x.count * average)
        return (struct slot){-1, 0};
    return (struct slot){(int)(at / average), (int)(at % average)};
}

static status run_tiles(struct run *r, struct errmsg *e)
{
    int rows = r->tiling.y.count, batch = r->en->batch;
    int64_t slots = (int64_t)r->tiling.x.count * r->en->model->profile.average;
    for (r->row = 0; r->row < rows; r->row++) {
        for (int64_t at = 0; at < slots; at += batch) {
            for (int k = 0; k < batch; k++)
                r->slot[k] = slot_at(r, at + k);
            status st = run_group(r, e);
            if (st)
                return st;
            if (r->hooks && r->hooks->pause)
                r->hooks->pause(r->hooks->arg);
        }
        flush(r, r->row + 1 < rows ? tile_origin(&r->tiling.y, r->row + 1) : r->img->height);
    }
    return STATUS_OK;
}

static status make_key(const struct run *r, uint64_t *out)
{
    struct digest d;
    status st = purify_pixel_digest(r->img, &d);
    struct digest_part parts[2] = {{&d, sizeof d},
                                   {&r->en->model->profile.id, sizeof(struct digest)}};
    if (!st)
        st = digest_sha256(parts, 2, &d);
    if (st)
        return st;
    *out = 0;
    for (int i = 7; i >= 0; i--)
        *out = *out << 8 | d.byte[i];
    return STATUS_OK;
}

static status run_init(struct run *r, struct errmsg *e)
{
    const struct purify_model *m = r->en->model;
    const struct image *img = r->img;
    if ((int64_t)img->width * img->height > MAX_PIXELS)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit of %lld", img->width,
                          img->height, (long long)MAX_PIXELS);
    if (img->channels > m->unet.in_channels)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "the image is in colour, the model purifies grey images only");
    status st = tiling_init(&r->tiling, img->width, img->height, m->unet.in_channels, m->unet.size,
                            m->profile.overlap);
    if (!st)
        st = make_key(r, &r->key);
    if (st)
        return st;
    size_t row = (size_t)img->width * (size_t)img->channels;
    r->band_rows = img->height < m->unet.size ? img->height : m->unet.size;
    r->band = mem_zalloc((size_t)r->band_rows, row * sizeof *r->band);
    r->out = mem_alloc(image_pixel_bytes(img));
    r->slot = mem_zalloc((size_t)r->en->batch, sizeof *r->slot);
    return r->band && r->out && r->slot ? STATUS_OK : STATUS_NOMEM;
}

static void run_done(struct run *r)
{
    tiling_done(&r->tiling);
    mem_free(r->band);
    mem_free(r->out);
    mem_free(r->slot);
}

status engine_run(struct purify_engine *en, struct image *img, const struct engine_hooks *hooks,
                  uint64_t *out_evaluations, struct errmsg *e)
{
    struct run r = {.en = en, .img = img, .hooks = hooks};
    status st = run_init(&r, e);
    if (!st)
        st = run_tiles(&r, e);
    if (!st)
        memcpy(img->pixels, r.out, image_pixel_bytes(img));
    if (out_evaluations)
        *out_evaluations = r.evaluations;
    run_done(&r);
    return st;
}

status purify_engine_run(struct purify_engine *en, struct image *img, purify_stop_fn *stop,
                         void *arg, struct errmsg *e)
{
    return engine_run(en, img, &(struct engine_hooks){.stop = stop, .arg = arg}, NULL, e);
}

status purify_engine_measure(struct purify_engine *en, double *out_seconds, struct errmsg *e)
{
    enum { RUNS = 3 }; /* the first warms the caches up */
    AUTO(image_done) struct image img = IMAGE_INIT;
    const struct purify_unet *u = &en->model->unet;
    status st = image_alloc(u->size, u->size, u->in_channels, false, &img);
    if (st)
        return st;
    memset(img.pixels, 127, image_pixel_bytes(&img));
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < RUNS; i++) {
        uint64_t start = time_mono_ns();
        st = purify_engine_run(en, &img, NULL, NULL, e);
        if (st)
            return st;
        uint64_t took = time_mono_ns() - start;
        best = took < best ? took : best;
    }
    *out_seconds = (double)best * 1e-9;
    return STATUS_OK;
}
