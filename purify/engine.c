/*
 * One image through a chain of purifiers: the first is given the image, each other one what the one
 * before it made. The image itself is written only when everything is done. So memory beside the
 * image is one copy of its pixels, two where the chain is longer, and what the purifier at work
 * keeps.
 *
 * All of that is an engine_run. Between two turns nothing of an engine is in use, and a run refers
 * to none: it is put aside, and gone on with, by not calling and calling engine_step.
 */
#include "engine.h"

#include "purifier.h"

#include <string.h>

/* At 64 Mi pixels (the decoders' limit too) an RGB image takes 192 MiB beside itself. */
#define MAX_PIXELS ((int64_t)1 << 26)

enum { PLAIN_SIZE = 64 }; /* px: what costs are measured by where there is no network */

struct purify_model {
    struct purify_profile profile;
    struct purifier link[PURIFY_CHAIN_MAX]; /* profile.n; values are the profile's */
};

struct purify_engine {
    const struct purify_model *model;
    int batch; /* of what comes together; 0: nothing does */
    void *worker[PURIFY_CHAIN_MAX];
};

struct engine_run {
    const struct purify_model *model;
    struct image *img;
    struct image made; /* of the links before; pixels are in one of the buffers */
    uint8_t *buffer[2];
    int link;  /* at work */
    void *run; /* its */
};

int64_t purify_max_pixels(void)
{
    return MAX_PIXELS;
}

/* ---- models ---- */

status purify_model_load(const struct purify_profile *p, struct purify_model **out,
                         struct errmsg *e)
{
    AUTO(purify_model_free) struct purify_model *m = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    m->profile = *p;
    for (int i = 0; i < p->n; i++) {
        struct purifier *l = &m->link[i];
        l->ops = p->link[i].ops;
        l->values = m->profile.link[i].values;
        status st = l->ops->plan ? l->ops->plan(l->values, &p->id, &l->plan, e) : STATUS_OK;
        if (st)
            return st;
    }
    *out = TAKE(m);
    return STATUS_OK;
}

void purify_model_free(struct purify_model *m)
{
    for (int i = 0; m && i < m->profile.n; i++)
        if (m->link[i].plan)
            m->link[i].ops->free(m->link[i].plan);
    mem_free(m);
}

const struct purify_profile *purify_model_profile(const struct purify_model *m)
{
    return &m->profile;
}

/* The first purifier that cuts images into tiles, and their shape; NULL: none does. */
static const struct purifier *tiled(const struct purify_model *m, int *out_size, int *out_channels)
{
    for (int i = 0; i < m->profile.n; i++)
        if (m->link[i].ops->kind->shape) {
            m->link[i].ops->kind->shape(&m->link[i], out_size, out_channels);
            return &m->link[i];
        }
    *out_size = PLAIN_SIZE;
    *out_channels = 3;
    return NULL;
}

int purify_model_size(const struct purify_model *m)
{
    int size, channels;
    (void)tiled(m, &size, &channels);
    return size;
}

int64_t purify_model_tiles(const struct purify_model *m, int width, int height)
{
    int size, channels;
    const struct purifier *p = tiled(m, &size, &channels);
    if (p)
        return p->ops->kind->turns(p, width, height, channels) /
               p->ops->kind->turns(p, size, size, channels);
    int64_t tile = (int64_t)size * size;
    return ((int64_t)width * height + tile - 1) / tile;
}

/* ---- life ---- */

status engine_new(const struct purify_model *m, int batch, struct purify_engine **out,
                  struct errmsg *e)
{
    AUTO(purify_engine_free) struct purify_engine *en = mem_zalloc(1, sizeof *en);
    if (!en)
        return STATUS_NOMEM;
    en->model = m;
    en->batch = batch > 1 ? batch : 0;
    status st = STATUS_OK;
    for (int i = 0; i < m->profile.n && !st; i++) {
        const struct purifier *p = &m->link[i];
        if (p->ops->kind->open)
            st = p->ops->kind->open(p, batch, &en->worker[i], e);
    }
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
    for (int i = 0; en && i < en->model->profile.n; i++)
        if (en->worker[i])
            en->model->link[i].ops->kind->close(en->worker[i]);
    mem_free(en);
}

/* ---- turns ---- */

static int64_t turns_of(const struct purifier *p, const struct image *img)
{
    return p->ops->kind->turns(p, img->width, img->height, img->channels);
}

/* Of the links from i on. */
static int64_t turns_from(const struct purify_model *m, int i, const struct image *img)
{
    int64_t sum = 0;
    for (; i < m->profile.n; i++)
        sum += turns_of(&m->link[i], img);
    return sum;
}

int64_t engine_slots(const struct purify_engine *en, const struct image *img)
{
    int64_t n = turns_from(en->model, 0, img);
    return n > 0 ? n : 1;
}

size_t engine_run_bytes(const struct purify_engine *en, const struct image *img)
{
    size_t most = 0, copies = en->model->profile.n > 1 ? 2 : 1;
    for (int i = 0; i < en->model->profile.n; i++) {
        const struct purifier *p = &en->model->link[i];
        size_t n = p->ops->kind->bytes(p, img);
        most = n > most ? n : most;
    }
    return copies * image_pixel_bytes(img) + most;
}

int64_t engine_left(const struct engine_run *r)
{
    if (r->link == r->model->profile.n)
        return 0;
    int64_t n =
        r->model->link[r->link].ops->kind->left(r->run) + turns_from(r->model, r->link + 1, r->img);
    return n > 0 ? n : 1;
}

/* The link that is next gets what there is. */
static status begin_link(struct engine_run *r, struct errmsg *e)
{
    const struct purifier *p = &r->model->link[r->link];
    struct purifier_job job = {
        .in = r->link ? &r->made : r->img, .original = r->img, .out = r->buffer[r->link % 2]};
    return p->ops->kind->begin(p, &job, &r->run, e);
}

/* The link at work is done with. */
static status next_link(struct engine_run *r, struct errmsg *e)
{
    r->model->link[r->link].ops->kind->drop(r->run);
    r->run = NULL;
    r->made.pixels = r->buffer[r->link % 2];
    r->link++;
    return r->link < r->model->profile.n ? begin_link(r, e) : STATUS_OK;
}

/* A turn of the link at work. */
static status step_link(struct purify_engine *en, struct engine_run *r,
                        const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    const struct purifier_kind *kind = r->model->link[r->link].ops->kind;
    status st = kind->step(en->worker[r->link], r->run, hooks, evaluations, e);
    return !st && !kind->left(r->run) ? next_link(r, e) : st;
}

/* Links of no turn of their own are taken along. */
static status step(struct purify_engine *en, struct engine_run *r, const struct engine_hooks *hooks,
                   uint64_t *evaluations, struct errmsg *e)
{
    static const struct engine_hooks none = {NULL, NULL};
    const struct purify_model *m = r->model;
    bool more = true;
    status st = STATUS_OK;
    CHECK(en->model == m && engine_left(r) > 0);
    while (more && !st) {
        bool counted = turns_of(&m->link[r->link], r->img) > 0;
        st = step_link(en, r, hooks ? hooks : &none, evaluations, e);
        more = r->link < m->profile.n && (!counted || !turns_of(&m->link[r->link], r->img));
    }
    return st;
}

status engine_step(struct purify_engine *en, struct engine_run *r, const struct engine_hooks *hooks,
                   struct errmsg *e)
{
    uint64_t evaluations = 0;
    return step(en, r, hooks, &evaluations, e);
}

/* ---- one image ---- */

status engine_begin(const struct purify_engine *en, struct image *img, struct engine_run **out,
                    struct errmsg *e)
{
    if ((int64_t)img->width * img->height > MAX_PIXELS)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit of %lld", img->width,
                          img->height, (long long)MAX_PIXELS);
    AUTO(engine_drop) struct engine_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->model = en->model;
    r->img = img;
    r->made = (struct image){img->width, img->height, img->channels, NULL, NULL};
    int buffers = en->model->profile.n > 1 ? 2 : 1;
    for (int i = 0; i < buffers; i++)
        if (!(r->buffer[i] = mem_alloc(image_pixel_bytes(img))))
            return STATUS_NOMEM;
    status st = begin_link(r, e);
    if (!st)
        *out = TAKE(r);
    return st;
}

void engine_drop(struct engine_run *r)
{
    if (r) {
        if (r->run)
            r->model->link[r->link].ops->kind->drop(r->run);
        mem_free(r->buffer[0]);
        mem_free(r->buffer[1]);
    }
    mem_free(r);
}

void engine_finish(struct engine_run *r)
{
    CHECK(engine_left(r) == 0);
    memcpy(r->img->pixels, r->made.pixels, image_pixel_bytes(r->img));
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
    if (!m->st)
        m->st = step(en, m->run, &m->hooks, &m->evaluations, &m->err);
    int64_t left = m->st ? 0 : engine_left(m->run);
    if (!left)
        member_end(m);
    return left;
}

/* Link i of all members, which have one turn of it each. */
static void link_together(struct purify_engine *en, int i, struct engine_member *member)
{
    struct purifier_member at[PURIFY_MICRO_BATCH];
    for (int k = 0; k < en->batch; k++) {
        struct engine_member *m = &member[k];
        at[k] =
            (struct purifier_member){m->run->run, &m->hooks, &m->evaluations, STATUS_OK, &m->err};
    }
    en->model->link[i].ops->kind->together(en->worker[i], at, en->batch);
    for (int k = 0; k < en->batch; k++) {
        struct engine_member *m = &member[k];
        m->st = at[k].st ? at[k].st : next_link(m->run, &m->err);
    }
}

/* Link by link; where one has failed or stopped, the others go on one by one. */
static void run_together(struct purify_engine *en, struct engine_member *member)
{
    for (int i = 0; i < en->model->profile.n; i++) {
        const struct purifier *p = &en->model->link[i];
        bool all = p->ops->kind->together && turns_of(p, member->img) == 1;
        for (int k = 0; k < en->batch; k++)
            all &= !member[k].st;
        if (all) {
            link_together(en, i, member);
            continue;
        }
        for (int k = 0; k < en->batch; k++) {
            struct engine_member *m = &member[k];
            while (!m->st && m->run->link == i)
                m->st = step_link(en, m->run, &m->hooks, &m->evaluations, &m->err);
        }
    }
    for (int k = 0; k < en->batch; k++)
        member_end(&member[k]);
}

void engine_run_group(struct purify_engine *en, struct engine_member *member, int n)
{
    CHECK(n >= 1 && n <= PURIFY_MICRO_BATCH);
    bool together = n == en->batch;
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
    int size, channels;
    uint64_t best = UINT64_MAX;
    status st = STATUS_OK;
    (void)tiled(en->model, &size, &channels);
    for (int k = 0; k < n && !st; k++) {
        st = image_alloc(size, size, channels, false, &img[k]);
        if (!st)
            memset(img[k].pixels, 127, image_pixel_bytes(&img[k]));
        member[k] = (struct engine_member){.img = &img[k]};
    }
    for (int i = 0; i < RUNS && !st; i++) {
        uint64_t start = time_mono_ns();
        engine_run_group(en, member, n);
        uint64_t took = time_mono_ns() - start + 1;
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
