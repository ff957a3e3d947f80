#include "whole.h"

struct whole_run {
    const struct purifier_ops *ops;
    struct whole w;
    bool done;
};

status whole_ask(const struct whole *w)
{
    return w->hooks.stop && w->hooks.stop(w->hooks.arg) ? STATUS_CANCELLED : STATUS_OK;
}

static int64_t turns(const struct purifier *p, int width, int height, int channels)
{
    double passes = p->ops->passes ? p->ops->passes(p->values) : 1;
    (void)channels;
    return (int64_t)((double)width * height * passes * p->ops->pixel_ns / PURIFIER_TURN_NS);
}

static size_t bytes(const struct purifier *p, const struct image *img)
{
    return p->ops->bytes ? p->ops->bytes(p->values, img) : 0;
}

static status begin(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e)
{
    (void)e;
    struct whole_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->ops = p->ops;
    r->w = (struct whole){.values = p->values, .plan = p->plan, .job = *job};
    *out_run = r;
    return STATUS_OK;
}

static int64_t left(const void *run)
{
    return !((const struct whole_run *)run)->done;
}

static status step(void *worker, void *run, const struct engine_hooks *hooks, uint64_t *evaluations,
                   struct errmsg *e)
{
    struct whole_run *r = run;
    (void)worker;
    (void)evaluations;
    r->w.hooks = *hooks;
    status st = whole_ask(&r->w);
    if (!st)
        st = r->ops->whole(&r->w, e);
    r->done = !st;
    return st;
}

const struct purifier_kind purifier_whole = {
    .turns = turns,
    .bytes = bytes,
    .begin = begin,
    .left = left,
    .step = step,
    .drop = mem_free,
};
