#include "blocks.h"

struct blocks_run {
    const struct purifier_ops *ops;
    struct blocks b;
    int passes;
    int64_t count;  /* blocks of a pass */
    int64_t a_turn; /* blocks of a turn */
};

static int64_t blocks_of_a_turn(const struct purifier *p, int width, int height)
{
    double all_ns = (double)width * height * p->ops->pixel_ns;
    return purifier_turn_steps(all_ns / (double)p->ops->blocks(width, height));
}

static int64_t turns(const struct purifier *p, int width, int height, int channels)
{
    (void)channels;
    return purifier_turns(p->ops->blocks(width, height) * purifier_passes(p),
                          blocks_of_a_turn(p, width, height));
}

static size_t bytes(const struct purifier *p, const struct image *img)
{
    return p->ops->bytes ? p->ops->bytes(p->values, img) : 0;
}

static void drop(void *run)
{
    struct blocks_run *r = run;
    if (r)
        mem_free(r->b.memory);
    mem_free(r);
}
DEFINE_FREEP(struct blocks_run *, drop)

static status begin(const struct purifier *p, const struct purifier_job *job, void **out_run,
                    struct errmsg *e)
{
    (void)e;
    AUTO(drop) struct blocks_run *r = mem_zalloc(1, sizeof *r);
    if (!r)
        return STATUS_NOMEM;
    r->ops = p->ops;
    r->b = (struct blocks){.values = p->values, .plan = p->plan, .job = *job};
    r->passes = purifier_passes(p);
    r->count = p->ops->blocks(job->in->width, job->in->height);
    r->a_turn = blocks_of_a_turn(p, job->in->width, job->in->height);
    size_t n = bytes(p, job->in);
    if (n && !(r->b.memory = mem_alloc(n)))
        return STATUS_NOMEM;
    *out_run = TAKE(r);
    return STATUS_OK;
}

static int64_t left(const void *run)
{
    const struct blocks_run *r = run;
    int64_t blocks = (r->passes - r->b.pass) * r->count - r->b.index;
    return (blocks + r->a_turn - 1) / r->a_turn;
}

static status step(void *const *worker, const struct team *team, void *run,
                   const struct engine_hooks *hooks, uint64_t *evaluations, struct errmsg *e)
{
    struct blocks_run *r = run;
    (void)worker;
    (void)team;
    (void)evaluations;
    if (engine_stopped(hooks))
        return STATUS_CANCELLED;
    status st = STATUS_OK;
    for (int64_t i = 0; i < r->a_turn && r->b.pass < r->passes && !st; i++) {
        st = r->ops->block(&r->b, e);
        if (++r->b.index == r->count) {
            r->b.index = 0;
            r->b.pass++;
        }
    }
    return st;
}

const struct purifier_kind purifier_blocks = {
    .turns = turns,
    .bytes = bytes,
    .begin = begin,
    .left = left,
    .step = step,
    .drop = drop,
};
