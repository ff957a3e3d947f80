/*
 * One image through the sampler. The image is cut into tiles (tiles.h); each (tile, sample) is one
 * slot of a micro-batch; results are blended into a band of rows, and a row is final once no tile
 * further down reaches it. So memory beside the image is one copy of its pixels and one band,
 * whatever its size, and the image itself is written only when everything is done.
 *
 * All of that is an engine_run. Between two micro-batches nothing of an engine is in use, and a run
 * refers to none: it is put aside, and gone on with, by not calling and calling engine_step.
 *
 * The slots of a row of tiles (all samples of a tile, then the next tile) go through the wide lane
 * while they fill it, the rest through the narrow one. Images of a single slot may do so together.
 * Each image's slots are blended in the same order whatever lane they took: the sums are the same.
 *
 * The key of an image's noise is the first 8 bytes of SHA-256(pixel digest, profile id),
 * little-endian.
 */
#include "engine.h"

#include "lane.h"
#include "model.h"

#include <string.h>

/* At 64 Mi pixels (the decoders' limit too) an RGB image takes 192 MiB beside itself. */
#define MAX_PIXELS ((int64_t)1 << 26)

struct purify_engine {
    const struct purify_model *model;
    struct lane narrow; /* of one slot */
    struct lane wide;   /* batch 0: there is none */
};

struct engine_run {
    const struct purify_model *model;
    struct image *img;
    struct lane_image in;
    uint8_t *out; /* (H,W,C) */
    float *band;  /* (band_rows,W,C), from image row `top` */
    int band_rows, top;
    int row; /* of tiles: the next slot is the at-th of it */
    int64_t at;
};

int64_t purify_max_pixels(void)
{
    return MAX_PIXELS;
}

/* ---- life ---- */

status engine_new(const struct purify_model *m, int batch, struct purify_engine **out,
                  struct errmsg *e)
{
    AUTO(purify_engine_free) struct purify_engine *en = mem_zalloc(1, sizeof *en);
    if (!en)
        return STATUS_NOMEM;
    en->model = m;
    status st = lane_init(&en->narrow, m, 1, e);
    if (!st && batch > 1)
        st = lane_init(&en->wide, m, batch, e);
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
        lane_done(&en->narrow);
        lane_done(&en->wide);
    }
    mem_free(en);
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

/* Slot k, a tile of r's, onto the band. */
static status blend(struct engine_run *r, const struct lane *l, int k, struct errmsg *e)
{
    const struct lane_slot *s = &l->slot[k];
    float gain = 1.0f / (float)r->model->profile.average;
    if (!all_finite(lane_tile(l, k), l->elements))
        return errmsg_set(e, STATUS_INTERNAL, "the network gave no finite numbers");
    tiling_add(&r->in.tiling, s->i, s->j, lane_tile(l, k), gain, r->img->channels, r->top, r->band);
    return STATUS_OK;
}

/* The rows above `next` are final. */
static void flush(struct engine_run *r, int next)
{
    size_t row = (size_t)r->img->width * (size_t)r->img->channels;
    size_t done = (size_t)(next - r->top), rest = (size_t)r->band_rows - done;
    image_from_f32(r->band, done * row, r->out + (size_t)r->top * row);
    memmove(r->band, r->band + done * row, rest * row * sizeof *r->band);
    memset(r->band + rest * row, 0, done * row * sizeof *r->band);
    r->top = next;
}

static int64_t slots_of_row(const struct engine_run *r)
{
    return (int64_t)r->in.tiling.x.count * r->model->profile.average;
}

/* n slots of the row have been blended. */
static void advance(struct engine_run *r, int n)
{
    const struct tile_axis *y = &r->in.tiling.y;
    r->at += n;
    if (r->at < slots_of_row(r))
        return;
    r->at = 0;
    r->row++;
    flush(r, r->row < y->count ? tile_origin(y, r->row) : r->img->height);
}

int64_t engine_left(const struct engine_run *r)
{
    return (r->in.tiling.y.count - r->row) * slots_of_row(r) - r->at;
}

status engine_step(struct purify_engine *en, struct engine_run *r, const struct engine_hooks *hooks,
                   struct errmsg *e)
{
    int average = r->model->profile.average;
    bool full = en->wide.batch && slots_of_row(r) - r->at >= en->wide.batch;
    struct lane *l = full ? &en->wide : &en->narrow;
    CHECK(en->model == r->model && engine_left(r) > 0);
    r->in.stop = hooks ? hooks->stop : NULL;
    r->in.stop_arg = hooks ? hooks->arg : NULL;
    for (int k = 0; k < l->batch; k++) {
        int64_t at = r->at + k;
        l->slot[k] = (struct lane_slot){&r->in, (int)(at / average), r->row, (int)(at % average)};
    }
    status st = lane_run(l);
    for (int k = 0; k < l->batch && !st; k++)
        st = blend(r, l, k, e);
    if (!st)
        advance(r, l->batch);
    return st;
}

static status make_key(const struct engine_run *r, uint64_t *out)
{
    struct digest d;
    status st = purify_pixel_digest(r->img, &d);
    struct digest_part parts[2] = {{&d, sizeof d}, {&r->model->profile.id, sizeof(struct digest)}};
    if (!st)
        st = digest_sha256(parts, 2, &d);
    if (st)
        return st;
    *out = 0;
    for (int i = 7; i >= 0; i--)
        *out = *out << 8 | d.byte[i];
    return STATUS_OK;
}

static status run_init(struct engine_run *r, struct errmsg *e)
{
    const struct purify_model *m = r->model;
    const struct image *img = r->img;
    if ((int64_t)img->width * img->height > MAX_PIXELS)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit of %lld", img->width,
                          img->height, (long long)MAX_PIXELS);
    if (img->channels > m->unet.in_channels)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "the image is in colour, the model purifies grey images only");
    r->in = (struct lane_image){.img = img};
    status st = tiling_init(&r->in.tiling, img->width, img->height, m->unet.in_channels,
                            m->unet.size, m->profile.overlap);
    if (!st)
        st = make_key(r, &r->in.key);
    if (st)
        return st;
    size_t row = (size_t)img->width * (size_t)img->channels;
    r->band_rows = img->height < m->unet.size ? img->height : m->unet.size;
    r->band = mem_zalloc((size_t)r->band_rows, row * sizeof *r->band);
    r->out = mem_alloc(image_pixel_bytes(img));
    return r->band && r->out ? STATUS_OK : STATUS_NOMEM;
}

status engine_begin(const struct purify_engine *en, struct image *img, struct engine_run **out,
                    struct errmsg *e)
{
    AUTO(engine_drop) struct engine_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->model = en->model;
    r->img = img;
    status st = run_init(r, e);
    if (!st)
        *out = TAKE(r);
    return st;
}

void engine_drop(struct engine_run *r)
{
    if (r) {
        tiling_done(&r->in.tiling);
        mem_free(r->band);
        mem_free(r->out);
    }
    mem_free(r);
}

void engine_finish(struct engine_run *r)
{
    CHECK(engine_left(r) == 0);
    memcpy(r->img->pixels, r->out, image_pixel_bytes(r->img));
    engine_drop(r);
}

status purify_engine_run(struct purify_engine *en, struct image *img, purify_stop_fn *stop,
                         void *arg, struct errmsg *e)
{
    struct engine_member m = {.img = img, .hooks = {stop, arg}};
    while (engine_turn(en, &m))
        ;
    return m.st ? errmsg_set(e, m.st, "%s", m.err.text) : STATUS_OK;
}

/* ---- several images ---- */

int64_t engine_slots(const struct purify_engine *en, const struct image *img)
{
    const struct purify_model *m = en->model;
    return tiling_count(img->width, img->height, m->unet.size, m->profile.overlap) *
           m->profile.average;
}

size_t engine_run_bytes(const struct purify_engine *en, const struct image *img)
{
    int size = en->model->unet.size;
    size_t row = (size_t)img->width * (size_t)img->channels;
    return image_pixel_bytes(img) +
           row * (size_t)(img->height < size ? img->height : size) * sizeof(float);
}

/* The member's run is over. */
static void member_end(struct engine_member *m)
{
    if (m->st)
        engine_drop(m->run);
    else
        engine_finish(m->run);
    m->run = NULL;
}

int64_t engine_turn(struct purify_engine *en, struct engine_member *m)
{
    if (!m->run) {
        m->err.text[0] = 0;
        m->st = engine_begin(en, m->img, &m->run, &m->err);
    }
    if (!m->st) {
        uint64_t before = m->run->in.evaluations;
        m->st = engine_step(en, m->run, &m->hooks, &m->err);
        m->evaluations += m->run->in.evaluations - before;
    }
    int64_t left = m->st ? 0 : engine_left(m->run);
    if (!left)
        member_end(m);
    return left;
}

/* Each image is the wide lane's slot of its index. */
static void run_together(struct purify_engine *en, struct engine_member *member)
{
    struct lane *l = &en->wide;
    for (int k = 0; k < l->batch; k++) {
        struct engine_member *m = &member[k];
        m->run->in.stop = m->hooks.stop;
        m->run->in.stop_arg = m->hooks.arg;
        l->slot[k] = (struct lane_slot){.image = &m->run->in};
    }
    status st = lane_run(l);
    for (int k = 0; k < l->batch; k++) {
        struct engine_member *m = &member[k];
        m->evaluations += m->run->in.evaluations;
        m->st = m->run->in.stopped ? STATUS_CANCELLED : st;
        if (!m->st)
            m->st = blend(m->run, l, k, &m->err);
        if (!m->st)
            advance(m->run, 1);
        member_end(m);
    }
}

void engine_run_group(struct purify_engine *en, struct engine_member *member, int n)
{
    CHECK(n >= 1 && n <= PURIFY_MICRO_BATCH);
    bool together = n == en->wide.batch;
    for (int k = 0; k < n; k++) {
        struct engine_member *m = &member[k];
        m->err.text[0] = 0;
        m->run = NULL;
        m->st = engine_begin(en, m->img, &m->run, &m->err);
        together &= !m->st && engine_slots(en, m->img) == 1;
    }
    if (together) {
        run_together(en, member);
        return;
    }
    for (int k = 0; k < n; k++)
        if (member[k].st)
            member_end(&member[k]);
        else
            while (engine_turn(en, &member[k]))
                ;
}

/* ---- what it costs ---- */

/* Seconds an image, the best of a few runs of n together. */
static status measure(struct purify_engine *en, int n, double *out_seconds, struct errmsg *e)
{
    enum { RUNS = 3 }; /* the first warms the caches up */
    struct image img[PURIFY_MICRO_BATCH] = {{0}};
    struct engine_member member[PURIFY_MICRO_BATCH];
    const struct purify_unet *u = &en->model->unet;
    uint64_t best = UINT64_MAX;
    status st = STATUS_OK;
    for (int k = 0; k < n && !st; k++) {
        st = image_alloc(u->size, u->size, u->in_channels, false, &img[k]);
        if (!st)
            memset(img[k].pixels, 127, image_pixel_bytes(&img[k]));
        member[k] = (struct engine_member){.img = &img[k]};
    }
    for (int i = 0; i < RUNS && !st; i++) {
        uint64_t start = time_mono_ns();
        engine_run_group(en, member, n);
        uint64_t took = time_mono_ns() - start;
        best = took < best ? took : best;
        for (int k = 0; k < n && !st; k++)
            if ((st = member[k].st))
                st = errmsg_set(e, st, "%s", errmsg_text(&member[k].err, st));
    }
    for (int k = 0; k < n; k++)
        image_done(&img[k]);
    if (!st)
        *out_seconds = (double)best * 1e-9 / n;
    return st;
}

status purify_engine_measure(struct purify_engine *en, struct purify_cost *out, struct errmsg *e)
{
    struct purify_cost cost;
    status st = measure(en, 1, &cost.alone_seconds, e);
    if (!st)
        st = measure(en, PURIFY_MICRO_BATCH, &cost.bulk_seconds, e);
    if (!st)
        *out = cost;
    return st;
}
