#include "subtract.h"

#include "network.h"
#include "subtract_tile.h"

#include <math.h>
#include <string.h>

/* Side of the squares that costs are counted in, px. */
enum { SQUARE = 32 };
/* Streams of noise, one a pass: none of those of diffusion (microbatch.c). */
#define STREAM (1ull << 63)

struct subtract_worker {
    struct subtract_plans plans;
};

struct subtract_run {
    const struct subtract *model;
    struct purifier_job job;
    struct cover cover;
    uint8_t *spare; /* (H,W,C), written in turns with job.out; NULL: there is one pass */
    int pass;       /* of how.passes */
    int64_t tile;   /* of the pass, row by row: the next */
    uint64_t key;   /* of its noise */
    struct subtract_pass at;
};

/* ---- life ---- */

static status open_worker(const struct purifier *p, int batch, void **out, struct errmsg *e)
{
    (void)p;
    (void)batch;
    (void)e;
    *out = mem_zalloc(1, sizeof(struct subtract_worker));
    return *out ? STATUS_OK : STATUS_NOMEM;
}

static void close_worker(void *worker)
{
    if (worker)
        subtract_plans_done(&((struct subtract_worker *)worker)->plans);
    mem_free(worker);
}

static void drop(void *run)
{
    if (run)
        mem_free(((struct subtract_run *)run)->spare);
    mem_free(run);
}
DEFINE_FREEP(struct subtract_run *, drop)

static struct cover cover_for(const struct subtract *m, int width, int height)
{
    return cover_of(width, height, purify_restorer_unit(&m->cfg), purify_restorer_reach(&m->cfg),
                    SUBTRACT_AREA_MAX);
}

/* Pass after pass is written to the one or the other buffer, the last one to job.out. */
static void begin_pass(struct subtract_run *r, const uint8_t *from)
{
    bool other = (r->model->how.passes - r->pass) % 2 == 0;
    r->at = (struct subtract_pass){.img = r->job.in,
                                   .from = from,
                                   .to = other ? r->spare : r->job.out,
                                   .noise = r->model->how.noise,
                                   .rng = nn_rng(r->key, STREAM | (uint64_t)r->pass)};
}

static status begin(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e)
{
    AUTO(drop) struct subtract_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->model = p->plan;
    r->job = *job;
    status st = network_takes(job->in, r->model->cfg.in_channels, e);
    if (st)
        return st;
    r->cover = cover_for(r->model, job->in->width, job->in->height);
    if (r->model->how.passes > 1 && !(r->spare = mem_alloc(image_pixel_bytes(job->in))))
        return STATUS_NOMEM;
    if (r->model->how.noise > 0) {
        st = network_noise_key(job->in, &r->model->profile, &r->key);
        if (st)
            return st;
    }
    begin_pass(r, job->in->pixels);
    *out_run = TAKE(r);
    return STATUS_OK;
}

/* ---- an image ---- */

/* All of its tiles are written. */
static void end_pass(struct subtract_run *r)
{
    const struct subtract_how *how = &r->model->how;
    size_t n = image_pixel_bytes(r->job.in);
    bool weak = sqrt(r->at.squares / (double)n) < (double)how->strength;
    r->tile = 0;
    r->pass++;
    if (weak) { /* its input is the result */
        if (r->at.from != r->job.out)
            memcpy(r->job.out, r->at.from, n);
        r->pass = how->passes;
    } else if (r->pass < how->passes) {
        begin_pass(r, r->at.to);
    }
}

static void column_and_row(const struct subtract_run *r, int64_t tile, int *out_i, int *out_j)
{
    *out_i = (int)(tile % r->cover.x.count);
    *out_j = (int)(tile / r->cover.x.count);
}

static void load(const struct subtract_run *r, int64_t tile, struct subtract_plan *p, int k)
{
    int i, j;
    column_and_row(r, tile, &i, &j);
    subtract_load(&r->at, &r->cover, r->model->cfg.in_channels, i, j, p, k);
}

/* What the plan's place k predicts for the next tile, which is done then. */
static status store(struct subtract_run *r, struct subtract_plan *p, int k, struct errmsg *e)
{
    int i, j;
    column_and_row(r, r->tile, &i, &j);
    status st = subtract_store(&r->at, &r->cover, r->model->cfg.in_channels, r->model->how.gain, i,
                               j, p, k, e);
    if (!st && ++r->tile == cover_tiles(&r->cover))
        end_pass(r);
    return st;
}

static int64_t squares(const struct cover *c)
{
    enum { AREA = SQUARE * SQUARE };
    return ((int64_t)c->x.tile * c->y.tile + AREA - 1) / AREA;
}

static int64_t left(const void *run)
{
    const struct subtract_run *r = run;
    int64_t passes = r->model->how.passes;
    int64_t tiles = (passes - r->pass) * cover_tiles(&r->cover) - r->tile;
    return (tiles * squares(&r->cover) + passes - 1) / passes;
}

/* A tile in the hands of one thread: it reads what no thread writes during a pass. */
struct part {
    const struct subtract_run *run;
    struct subtract_worker *worker;
    int64_t tile;
    struct subtract_plan *plan;
    status st;
    struct errmsg e;
};

static void evaluate(void *parts, int i)
{
    struct part *p = (struct part *)parts + i;
    const struct subtract_run *r = p->run;
    p->st = subtract_plans_get(&p->worker->plans, r->model, 1, r->cover.y.tile, r->cover.x.tile,
                               &p->plan, &p->e);
    if (p->st)
        return;
    load(r, p->tile, p->plan, 0);
    p->st = nn_plan_run(p->plan->plan);
}

static status step(void *const *worker, const struct team *team, void *run,
                   const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    struct subtract_run *r = run;
    struct part part[TEAM_MAX];
    int64_t rest = cover_tiles(&r->cover) - r->tile;
    int n = rest < team->n ? (int)rest : team->n;
    if (engine_stopped(hooks))
        return STATUS_CANCELLED;
    for (int i = 0; i < n; i++) {
        part[i].run = r;
        part[i].worker = worker[i];
        part[i].tile = r->tile + i;
        part[i].e.text[0] = 0;
    }
    team_run(team, n, evaluate, part);
    status st = STATUS_OK;
    for (int i = 0; i < n && !st; i++) {
        if (part[i].st)
            return errmsg_set(e, part[i].st, "%s", part[i].e.text);
        ++*evaluations;
        st = store(r, part[i].plan, 0, e);
    }
    return st;
}

/* ---- several ---- */

/* Whether one evaluation does for all of them; members that have stopped are told so. */
static bool alike(struct purifier_member *member, int n)
{
    bool all = true;
    const struct subtract_run *first = member->run;
    for (int k = 0; k < n; k++) {
        struct subtract_run *r = member[k].run;
        if (!member[k].st && left(r) > 0 && engine_stopped(member[k].hooks))
            member[k].st = STATUS_CANCELLED;
        all &= !member[k].st && left(r) > 0 && r->cover.x.tile == first->cover.x.tile &&
               r->cover.y.tile == first->cover.y.tile;
    }
    return all;
}

static status step_all(struct subtract_worker *w, struct purifier_member *member, int n)
{
    const struct subtract_run *first = member->run;
    struct subtract_plan *p;
    status st = subtract_plans_get(&w->plans, first->model, n, first->cover.y.tile,
                                   first->cover.x.tile, &p, member->e);
    if (st)
        return st;
    for (int k = 0; k < n; k++) {
        const struct subtract_run *r = member[k].run;
        load(r, r->tile, p, k);
    }
    st = nn_plan_run(p->plan);
    for (int k = 0; k < n && !st; k++) {
        ++*member[k].evaluations;
        member[k].st = store(member[k].run, p, k, member[k].e);
    }
    return st;
}

/* Images of a square, each to its end. Where they are not alike, or no longer, one by one. */
static void together(void *worker, struct purifier_member *member, int n)
{
    status st = STATUS_OK;
    while (!st && alike(member, n))
        st = step_all(worker, member, n);
    for (int k = 0; k < n; k++) {
        struct purifier_member *m = &member[k];
        m->st = st ? st : m->st;
        while (!m->st && left(m->run) > 0)
            m->st = step(&worker, &team_of_one, m->run, m->hooks, m->evaluations, m->e);
    }
}

/* ---- what it costs ---- */

static void shape(const struct purifier *p, int *out_size, int *out_channels)
{
    *out_size = SQUARE;
    *out_channels = ((const struct subtract *)p->plan)->cfg.in_channels;
}

static int64_t turns(const struct purifier *p, int width, int height, int channels)
{
    struct cover c = cover_for(p->plan, width, height);
    (void)channels;
    return cover_tiles(&c) * squares(&c);
}

static size_t bytes(const struct purifier *p, const struct image *img)
{
    return ((const struct subtract *)p->plan)->how.passes > 1 ? image_pixel_bytes(img) : 0;
}

const struct purifier_kind purifier_subtract = {
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
