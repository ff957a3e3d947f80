#include "deconvolve.h"

#include "cover.h"
#include "network.h"
#include "window.h"

#include <math.h>
#include <string.h>

/* px around what a tile is solved for, and of a tile, margins included: 5 ms of a core a turn. */
enum { REACH = 16, AREA_MAX = 96 * 96 };
/* Planes of a tile that a worker has: rest and result beside the scratch. */
enum { PLANES = DECONVOLVE_SCRATCH + 2 };

struct deconvolve_worker {
    struct nn_plan *plan;
    float *in;        /* (1,size,size,C) */
    const float *out; /* (1,side^2) */
    float *planes;    /* (PLANES,AREA_MAX) */
};

struct deconvolve_run {
    const struct deconvolve *model;
    struct purifier_job job;
    struct cover cover;
    struct deconvolve_kernel kernel;
    bool measured;
    int pass;        /* of PASSES: how bright it becomes, then the result */
    int64_t tile;    /* row by row: the next */
    float brightest; /* of all pixels, as they are solved */
};
enum { PASSES = 2 };

/* ---- life ---- */

static void close_worker(void *worker)
{
    struct deconvolve_worker *w = worker;
    if (w) {
        nn_plan_free(w->plan);
        mem_free(w->planes);
    }
    mem_free(w);
}
DEFINE_FREEP(struct deconvolve_worker *, close_worker)

static status open_worker(const struct purifier *p, int batch, void **out, struct errmsg *e)
{
    const struct deconvolve *m = p->plan;
    const struct nn_plan_options opt = {.threads = 1, .shared = true};
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    AUTO(close_worker) struct deconvolve_worker *w = mem_zalloc(1, sizeof *w);
    (void)batch;
    if (!w || !(w->planes = mem_alloc((size_t)PLANES * AREA_MAX * sizeof *w->planes)))
        return STATUS_NOMEM;
    status st = nn_graph_new(m->params, &g);
    if (st)
        return st;
    int size = m->cfg.size;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, size, size, m->cfg.in_channels));
    struct nn_val y = purify_estimator_build(g, &m->cfg, x);
    nn_output(g, y, "y");
    st = nn_plan_new(g, &opt, &w->plan, e);
    if (st)
        return st;
    w->in = nn_plan_data(w->plan, x);
    w->out = nn_plan_data(w->plan, y);
    *out = TAKE(w);
    return STATUS_OK;
}

static void drop(void *run)
{
    mem_free(run);
}

static status begin(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e)
{
    const struct deconvolve *m = p->plan;
    status st = network_takes(job->in, m->cfg.in_channels, e);
    if (st)
        return st;
    struct deconvolve_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->model = m;
    r->job = *job;
    r->cover = cover_of(job->in->width, job->in->height, 1, REACH, AREA_MAX);
    *out_run = r;
    return STATUS_OK;
}

/* ---- the kernel ---- */

/* Which of n pixels stands at place i of the square's side. */
static int place(int i, int size, int n)
{
    return window_mirror(i < size / 2 ? i : n - size + i, n);
}

/* The square of the image's corners, as the network wants it. */
static void load(const struct deconvolve_run *r, float *out)
{
    const struct image *img = r->job.in;
    int size = r->model->cfg.size, channels = r->model->cfg.in_channels;
    for (int v = 0; v < size; v++)
        for (int u = 0; u < size; u++) {
            ptrdiff_t y = place(v, size, img->height);
            ptrdiff_t x = place(u, size, img->width);
            const uint8_t *pixel = img->pixels + (y * img->width + x) * img->channels;
            for (int c = 0; c < channels; c++)
                *out++ = (float)pixel[c < img->channels ? c : 0] / 127.5f - 1;
        }
}

/* Whether an image can have gone through it; then its sum is 1. */
static bool normalise(struct deconvolve_kernel *k)
{
    int n = k->side * k->side;
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += k->entry[i];
    if (!(sum >= .5f && sum <= 2))
        return false;
    for (int i = 0; i < n; i++)
        k->entry[i] /= sum;
    return true;
}

static float distance_to_none(const struct deconvolve_kernel *k)
{
    int n = k->side * k->side;
    float sum = 0;
    for (int i = 0; i < n; i++) {
        float d = k->entry[i] - (i == n / 2 ? 1 : 0);
        sum += d * d;
    }
    return sqrtf(sum);
}

static status measure(struct deconvolve_run *r, const struct deconvolve_worker *w,
                      uint64_t *evaluations, struct errmsg *e)
{
    int n = r->model->cfg.side * r->model->cfg.side;
    load(r, w->in);
    status st = nn_plan_run(w->plan);
    ++*evaluations;
    if (!st)
        st = network_is_sane(w->out, (size_t)n, e);
    if (st)
        return st;
    r->kernel.side = r->model->cfg.side;
    memcpy(r->kernel.entry, w->out, (size_t)n * sizeof *w->out);
    r->measured = true;
    if (!normalise(&r->kernel) || distance_to_none(&r->kernel) < r->model->least) {
        memcpy(r->job.out, r->job.in->pixels, image_pixel_bytes(r->job.in));
        r->pass = PASSES;
    }
    return STATUS_OK;
}

/* ---- a tile ---- */

struct rectangle {
    int x, y, width, height;
};

static float value(const struct image *img, int y, int x, int c)
{
    return (float)img->pixels[((ptrdiff_t)y * img->width + x) * img->channels + c];
}

/* (K y) at a pixel of y; 0 beyond the edge. */
static float correlate_at(const struct deconvolve_kernel *k, const struct image *img, int y, int x,
                          int c)
{
    int half = k->side / 2;
    float sum = 0;
    for (int i = 0; i < k->side * k->side; i++) {
        int v = y + i / k->side - half, u = x + i % k->side - half;
        if (v >= 0 && v < img->height && u >= 0 && u < img->width)
            sum += k->entry[i] * value(img, v, u, c);
    }
    return sum;
}

/* y - K y of a channel, from all pixels around the tile. */
static void load_rest(const struct deconvolve_run *r, struct rectangle t, int c, float *out)
{
    const struct image *img = r->job.in;
    for (int y = t.y; y < t.y + t.height; y++)
        for (int x = t.x; x < t.x + t.width; x++)
            *out++ = value(img, y, x, c) - correlate_at(&r->kernel, img, y, x, c);
}

/* Which pixel of a side of n stands at place i: at the edge the nearest that is `half` inside of it. A
   side that has none is left as it is. */
static int inside(int i, int n, int half)
{
    return n <= 2 * half ? i : i < half ? half : i < n - half ? i : n - half - 1;
}

/* y + d of the tile's inner region, times `scale`. Returns the largest value; out NULL: that is all. */
static float store(const struct deconvolve_run *r, struct rectangle t, struct rectangle inner,
                   int c, const float *d, float scale, uint8_t *out)
{
    const struct image *img = r->job.in;
    ptrdiff_t channels = img->channels, row = img->width * channels;
    int half = r->kernel.side / 2;
    float most = 0;
    for (int y = inner.y; y < inner.y + inner.height; y++)
        for (int x = inner.x; x < inner.x + inner.width; x++) {
            int b = inside(y, img->height, half), a = inside(x, img->width, half);
            float v = value(img, b, a, c) + d[(ptrdiff_t)(b - t.y) * t.width + a - t.x];
            most = v > most ? v : most;
            v *= scale;
            if (out)
                out[y * row + x * channels + c] = (uint8_t)rintf(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    return most;
}

/* A tile in the hands of one thread. */
struct part {
    const struct deconvolve_run *run;
    const struct deconvolve_worker *worker;
    int64_t tile;
    float brightest;
};

static void solve(void *parts, int i)
{
    struct part *p = (struct part *)parts + i;
    const struct deconvolve_run *r = p->run;
    const struct cover_axis *x = &r->cover.x, *y = &r->cover.y;
    int column = (int)(p->tile % x->count), row = (int)(p->tile / x->count);
    struct rectangle t = {cover_origin(x, column), cover_origin(y, row), x->tile, y->tile};
    struct rectangle inner = {cover_first(x, column), cover_first(y, row), 0, 0};
    inner.width = cover_end(x, column) - inner.x;
    inner.height = cover_end(y, row) - inner.y;
    float scale = r->brightest > 255 ? 255 / r->brightest : 1;
    float *rest = p->worker->planes, *d = rest + AREA_MAX, *scratch = d + AREA_MAX;
    for (int c = 0; c < r->job.in->channels; c++) {
        load_rest(r, t, c, rest);
        deconvolve_plane(&r->kernel, r->model->damping, t.width, t.height, rest, scratch, d);
        float most = store(r, t, inner, c, d, scale, r->pass == 1 ? r->job.out : NULL);
        p->brightest = most > p->brightest ? most : p->brightest;
    }
}

/* ---- turns ---- */

/* The next tiles of the pass, one for each of the team. */
static void solve_some(struct deconvolve_run *r, void *const *worker, const struct team *team)
{
    struct part part[TEAM_MAX];
    int64_t rest = cover_tiles(&r->cover) - r->tile;
    int n = rest < team->n ? (int)rest : team->n;
    for (int i = 0; i < n; i++)
        part[i] = (struct part){.run = r, .worker = worker[i], .tile = r->tile + i};
    team_run(team, n, solve, part);
    for (int i = 0; i < n && r->pass == 0; i++)
        r->brightest = part[i].brightest > r->brightest ? part[i].brightest : r->brightest;
    r->tile += n;
    if (r->tile == cover_tiles(&r->cover)) {
        r->tile = 0;
        r->pass++;
    }
}

static int64_t left(const void *run)
{
    const struct deconvolve_run *r = run;
    int64_t tiles = cover_tiles(&r->cover);
    return tiles == 1 ? r->pass < PASSES : (PASSES - r->pass) * tiles - r->tile;
}

/* An image of one tile is done at once. */
static status step(void *const *worker, const struct team *team, void *run,
                   const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    struct deconvolve_run *r = run;
    if (engine_stopped(hooks))
        return STATUS_CANCELLED;
    status st = r->measured ? STATUS_OK : measure(r, worker[0], evaluations, e);
    while (!st && r->pass < PASSES) {
        solve_some(r, worker, team);
        if (cover_tiles(&r->cover) > 1)
            break;
    }
    return st;
}

/* ---- what it costs ---- */

static int64_t turns(const struct purifier *p, int width, int height, int channels)
{
    struct cover c = cover_of(width, height, 1, REACH, AREA_MAX);
    int64_t tiles = cover_tiles(&c);
    (void)p;
    (void)channels;
    return tiles == 1 ? 1 : PASSES * tiles;
}

static size_t bytes(const struct purifier *p, const struct image *img)
{
    (void)p;
    (void)img;
    return 0;
}

const struct purifier_kind purifier_deconvolve_kind = {
    .open = open_worker,
    .close = close_worker,
    .turns = turns,
    .bytes = bytes,
    .begin = begin,
    .left = left,
    .shares = true,
    .step = step,
    .drop = drop,
};
