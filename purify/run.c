/*
 * One image through a chain of purifiers: the first is given the image, every other one the output
 * of the one before it. The image itself is written only when everything is done. So memory beside
 * the image is one copy of its pixels, two where the chain is longer, and what the current purifier
 * keeps.
 *
 * All of that is an engine_run. Between two turns a run uses nothing of an engine. So it is paused
 * by not calling engine_step, and resumed, by any engine, by calling it.
 */
#include "chain.h"

#include <string.h>

int64_t chain_turns(const struct purifier *p, const struct image *img)
{
    return p->ops->kind->turns(p, img->width, img->height, img->channels);
}

/* Turns of the links from i on. */
static int64_t turns_from(const struct purify_model *m, int i, const struct image *img)
{
    int64_t sum = 0;
    for (; i < m->profile.n; i++)
        sum += chain_turns(&m->link[i], img);
    return sum;
}

int64_t engine_slots(const struct purify_engine *en, const struct image *img)
{
    int64_t n = turns_from(en->model, 0, img);
    return n > 0 ? n : 1;
}

bool engine_groups(const struct purify_engine *en, const struct image *img)
{
    for (int i = 0; i < en->model->profile.n; i++)
        if (chain_turns(&en->model->link[i], img) > 1)
            return false;
    return true;
}

bool engine_shares(const struct purify_engine *en, const struct engine_run *r)
{
    return en->model->link[r ? r->link : 0].ops->kind->shares;
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

/* Begins link r->link on the output of the one before it. */
static status begin_link(struct engine_run *r, struct errmsg *e)
{
    const struct purifier *p = &r->model->link[r->link];
    struct purifier_job job = {
        .in = r->link ? &r->made : r->img, .original = r->img, .out = r->buffer[r->link % 2]};
    return p->ops->kind->begin(p, &job, &r->run, e);
}

status chain_next_link(struct engine_run *r, struct errmsg *e)
{
    r->model->link[r->link].ops->kind->drop(r->run);
    r->run = NULL;
    r->made.pixels = r->buffer[r->link % 2];
    r->link++;
    return r->link < r->model->profile.n ? begin_link(r, e) : STATUS_OK;
}

status chain_step_link(struct purify_engine *const *en, const struct team *team,
                       struct engine_run *r, const struct engine_hooks *hooks,
                       uint64_t *evaluations, struct errmsg *e)
{
    const struct purifier_kind *kind = r->model->link[r->link].ops->kind;
    void *worker[TEAM_MAX];
    for (int i = 0; i < team->n; i++)
        worker[i] = en[i]->worker[r->link];
    status st = kind->step(worker, team, r->run, hooks, evaluations, e);
    return !st && !kind->left(r->run) ? chain_next_link(r, e) : st;
}

status chain_step(struct purify_engine *const *en, const struct team *team, struct engine_run *r,
                  const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    static const struct engine_hooks none = {NULL, NULL};
    const struct purify_model *m = r->model;
    bool more = true;
    status st = STATUS_OK;
    CHECK(en[0]->model == m && engine_left(r) > 0);
    while (more && !st) {
        bool counted = chain_turns(&m->link[r->link], r->img) > 0;
        st = chain_step_link(en, team, r, hooks ? hooks : &none, evaluations, e);
        more = r->link < m->profile.n && (!counted || !chain_turns(&m->link[r->link], r->img));
    }
    return st;
}

status engine_step(struct purify_engine *en, struct engine_run *r, const struct engine_hooks *hooks,
                   struct errmsg *e)
{
    uint64_t evaluations = 0;
    return chain_step(&en, &team_of_one, r, hooks, &evaluations, e);
}

/* ---- life ---- */

status engine_begin(const struct purify_engine *en, struct image *img, struct engine_run **out,
                    struct errmsg *e)
{
    if ((int64_t)img->width * img->height > CHAIN_MAX_PIXELS)
        return errmsg_set(e, STATUS_LIMIT, "%dx%d pixels are over the limit of %lld", img->width,
                          img->height, (long long)CHAIN_MAX_PIXELS);
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
