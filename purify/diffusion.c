/*
 * One image through the sampler. The image is cut into tiles (tiles.h); each (tile, sample) is one
 * slot of a micro-batch; results are blended into a band of rows, and a row is final once no tile
 * further down reaches it. So memory beside the image is its result and one band, whatever its
 * size.
 *
 * All of that is a run. Between two micro-batches a run uses nothing of a worker: it is paused by
 * not calling step, and resumed, by any worker, by calling it.
 *
 * The slots of a row of tiles (all samples of a tile, then the next tile) are evaluated in full
 * micro-batches while there are enough of them, the rest one by one. Images of a single slot may
 * share a micro-batch. Each image's slots are blended in the same order in any case, so the sums
 * are the same.
 */
#include "diffusion.h"

#include "microbatch.h"
#include "model.h"
#include "network.h"

#include <stdatomic.h>
#include <string.h>

struct diffusion_worker {
    struct microbatch single; /* of one slot */
    struct microbatch full;   /* batch 0: there is none */
};

struct diffusion_run {
    const struct diffusion *model;
    const struct image *img;
    struct microbatch_image in;
    uint8_t *out; /* (H,W,C), the job's */
    float *band;  /* (band_rows,W,C), from image row `top` */
    int band_rows, top;
    int row; /* of tiles: the next slot is the at-th of it */
    int64_t at;
};

/* ---- life ---- */

static void close_worker(void *worker)
{
    struct diffusion_worker *w = worker;
    if (w) {
        microbatch_done(&w->single);
        microbatch_done(&w->full);
    }
    mem_free(w);
}
DEFINE_FREEP(struct diffusion_worker *, close_worker)

static status open_worker(const struct purifier *p, int batch, void **out, struct errmsg *e)
{
    AUTO(close_worker) struct diffusion_worker *w = mem_zalloc(1, sizeof *w);
    if (!w)
        return STATUS_NOMEM;
    status st = microbatch_init(&w->single, p->plan, 1, e);
    if (!st && batch > 1)
        st = microbatch_init(&w->full, p->plan, batch, e);
    if (!st)
        *out = TAKE(w);
    return st;
}

static void shape(const struct purifier *p, int *out_size, int *out_channels)
{
    const struct diffusion *m = p->plan;
    *out_size = m->unet.size;
    *out_channels = m->unet.in_channels;
}

/* ---- one image ---- */

/* Slot k, a tile of r's, onto the band. */
static status blend(struct diffusion_run *r, const struct microbatch *b, int k, struct errmsg *e)
{
    const struct microbatch_slot *s = &b->slot[k];
    float gain = 1.0f / (float)r->model->values.average;
    status st = network_is_sane(microbatch_tile(b, k), b->elements, e);
    if (st)
        return st;
    tiling_add(&r->in.tiling, s->i, s->j, microbatch_tile(b, k), gain, r->img->channels, r->top,
               r->band);
    return STATUS_OK;
}

/* The rows above `next` are final. */
static void flush(struct diffusion_run *r, int next)
{
    size_t row = (size_t)r->img->width * (size_t)r->img->channels;
    size_t done = (size_t)(next - r->top), rest = (size_t)r->band_rows - done;
    image_from_f32(r->band, done * row, r->out + (size_t)r->top * row);
    memmove(r->band, r->band + done * row, rest * row * sizeof *r->band);
    memset(r->band + rest * row, 0, done * row * sizeof *r->band);
    r->top = next;
}

static int64_t slots_of_row(const struct diffusion_run *r)
{
    return (int64_t)r->in.tiling.x.count * r->model->values.average;
}

/* n slots of the row have been blended. */
static void advance(struct diffusion_run *r, int n)
{
    const struct tile_axis *y = &r->in.tiling.y;
    r->at += n;
    if (r->at < slots_of_row(r))
        return;
    r->at = 0;
    r->row++;
    flush(r, r->row < y->count ? tile_origin(y, r->row) : r->img->height);
}

static int64_t left(const void *run)
{
    const struct diffusion_run *r = run;
    return (r->in.tiling.y.count - r->row) * slots_of_row(r) - r->at;
}

static void set_hooks(struct microbatch_image *in, const struct engine_hooks *hooks)
{
    in->stop = hooks->stop;
    in->stop_arg = hooks->arg;
    in->evaluations = 0;
}

/* A micro-batch in the hands of one thread. */
struct part {
    struct microbatch_image in; /* the run's, stopped on its own */
    struct microbatch *batch;
    status st;
};
struct parts {
    struct part part[TEAM_MAX];
    const struct engine_hooks *hooks; /* asked by the calling thread, part 0 */
    atomic_int stopped;               /* they said so, for the other threads */
};

static int ask(void *parts)
{
    struct parts *p = parts;
    if (engine_stopped(p->hooks))
        atomic_store(&p->stopped, 1);
    return atomic_load(&p->stopped);
}

static int was_stopped(void *parts)
{
    return atomic_load(&((struct parts *)parts)->stopped);
}

/* The slots from the at-th of the row on: a full micro-batch of them, or one. */
static void fill(const struct diffusion_run *r, int64_t at, struct diffusion_worker *w,
                 struct part *out)
{
    int average = r->model->values.average;
    bool enough = w->full.batch && slots_of_row(r) - at >= w->full.batch;
    struct microbatch *b = out->batch = enough ? &w->full : &w->single;
    CHECK(b->model == r->model);
    for (int k = 0; k < b->batch; k++, at++)
        b->slot[k] =
            (struct microbatch_slot){&out->in, (int)(at / average), r->row, (int)(at % average)};
}

static void run_part(void *parts, int i)
{
    struct part *p = &((struct parts *)parts)->part[i];
    p->st = microbatch_run(p->batch);
}

static status step(void *const *worker, const struct team *team, void *run,
                   const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    struct diffusion_run *r = run;
    struct parts parts = {.hooks = hooks};
    int n = 0;
    CHECK(left(r) > 0);
    for (int64_t at = r->at; n < team->n && at < slots_of_row(r); n++) {
        struct part *p = &parts.part[n];
        p->in = r->in;
        set_hooks(&p->in, &(struct engine_hooks){n == 0 ? ask : was_stopped, &parts});
        fill(r, at, worker[n], p);
        at += p->batch->batch;
    }
    team_run(team, n, run_part, &parts);
    status st = STATUS_OK;
    for (int i = 0; i < n && !st; i++) {
        struct part *p = &parts.part[i];
        st = p->st;
        *evaluations += p->in.evaluations;
        for (int k = 0; k < p->batch->batch && !st; k++)
            st = blend(r, p->batch, k, e);
        if (!st)
            advance(r, p->batch->batch);
    }
    return st;
}

/* Each image is the slot of its index. */
static void together(void *worker, struct purifier_member *member, int n)
{
    struct microbatch *b = &((struct diffusion_worker *)worker)->full;
    CHECK(n == b->batch);
    for (int k = 0; k < n; k++) {
        struct diffusion_run *r = member[k].run;
        set_hooks(&r->in, member[k].hooks);
        b->slot[k] = (struct microbatch_slot){.image = &r->in};
    }
    status st = microbatch_run(b);
    for (int k = 0; k < n; k++) {
        struct purifier_member *m = &member[k];
        struct diffusion_run *r = m->run;
        *m->evaluations += r->in.evaluations;
        m->st = r->in.stopped ? STATUS_CANCELLED : st;
        if (!m->st)
            m->st = blend(r, b, k, m->e);
        if (!m->st)
            advance(r, 1);
    }
}

static status run_init(struct diffusion_run *r, struct errmsg *e)
{
    const struct diffusion *m = r->model;
    const struct image *img = r->img;
    status st = network_takes(img, m->unet.in_channels, e);
    if (st)
        return st;
    r->in = (struct microbatch_image){.img = img};
    st = tiling_init(&r->in.tiling, img->width, img->height, m->unet.in_channels, m->unet.size,
                     m->values.overlap);
    if (!st)
        st = network_noise_key(img, &m->profile, &r->in.key);
    if (st)
        return st;
    size_t row = (size_t)img->width * (size_t)img->channels;
    r->band_rows = img->height < m->unet.size ? img->height : m->unet.size;
    r->band = mem_zalloc((size_t)r->band_rows, row * sizeof *r->band);
    return r->band ? STATUS_OK : STATUS_NOMEM;
}

static void drop(void *run)
{
    struct diffusion_run *r = run;
    if (r) {
        tiling_done(&r->in.tiling);
        mem_free(r->band);
    }
    mem_free(r);
}
DEFINE_FREEP(struct diffusion_run *, drop)

static status begin(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e)
{
    AUTO(drop) struct diffusion_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->model = p->plan;
    r->img = job->in;
    r->out = job->out;
    status st = run_init(r, e);
    if (!st)
        *out_run = TAKE(r);
    return st;
}

/* ---- what it costs ---- */

static int64_t turns(const struct purifier *p, int width, int height, int channels)
{
    const struct diffusion *m = p->plan;
    (void)channels;
    return tiling_count(width, height, m->unet.size, m->values.overlap) * m->values.average;
}

static size_t bytes(const struct purifier *p, const struct image *img)
{
    int size = ((const struct diffusion *)p->plan)->unet.size;
    size_t row = (size_t)img->width * (size_t)img->channels;
    return row * (size_t)(img->height < size ? img->height : size) * sizeof(float);
}

const struct purifier_kind purifier_diffusion = {
    .open = open_worker,
    .close = close_worker,
    .shape = shape,
    .turns = turns,
    .bytes = bytes,
    .begin = begin,
    .left = left,
    .shares = true,
    .step = step,
    .together = together,
    .drop = drop,
};
