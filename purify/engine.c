#include "chain.h"

enum { PLAIN_SIZE = 64 }; /* px: what costs are measured by where there is no network */

int64_t purify_max_pixels(void)
{
    return CHAIN_MAX_PIXELS;
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

const struct purifier *chain_tiled(const struct purify_model *m, int *out_size, int *out_channels)
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
    (void)chain_tiled(m, &size, &channels);
    return size;
}

int64_t purify_model_tiles(const struct purify_model *m, int width, int height)
{
    int size, channels;
    const struct purifier *p = chain_tiled(m, &size, &channels);
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
