#include "protect/robust.h"

#include "stream.h"

#include <string.h>

static const float rate_first = .1f;

status robust_ascend(const struct protect_job *j, struct robust *m, struct nn_rng r, float *x)
{
    const struct robust_param *param = j->param;
    float radius = (float)param->radius;
    const struct attack_options o = {.eps = radius,
                                     .step = 2 * radius / (float)param->ascent,
                                     .steps = param->ascent,
                                     .random_start = true};
    return train_attack_pgd(m->of.surrogate->attack, &o, r, m->of.surrogate->label, x);
}

/* ---- training ---- */

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct robust *m = arg;
    struct surrogate *s = m->of.surrogate;
    const struct protect_job *j = s->job;
    const struct robust_param *param = j->param;
    size_t n = (size_t)s->batch * s->row;
    uint64_t number = (uint64_t)s->step;
    (void)e;
    memcpy(m->x, b->x, n * sizeof *m->x);
    memcpy(s->label, b->label, (size_t)s->batch * sizeof *s->label);
    status st = train_attack_refresh(s->attack);
    if (!st)
        st = robust_make_noise(j, m, number);
    if (st)
        return st;
    robust_move(j, m, number, (uint64_t)(param->steps * param->draws), s->learning.x);
    surrogate_scale(s, s->learning.x, n);
    memcpy(s->learning.label, s->label, (size_t)s->batch * sizeof *s->label);
    return robust_ascend(j, m, stream(j->opt->seed, STREAM_ATTACK, number), s->learning.x);
}

static float rate(const void *arg, int64_t step)
{
    const struct robust *m = arg;
    double part = (double)step / m->of.surrogate->param->rounds;
    return rate_first * (part < 2. / 5 ? 1 : part < 4. / 5 ? .1f : .01f);
}

static status learn(struct robust *m, struct errmsg *e)
{
    int rounds = m->of.surrogate->param->rounds;
    samplewise_teach(&m->of, "training a surrogate", rounds, load, rate);
    status st = samplewise_learn(&m->of, rounds, e);
    if (!st)
        progress_done(&m->of.progress, (uint64_t)rounds, NULL);
    return st;
}

/* ---- what is kept ---- */

/* The deltas are zero before: surrogate_load gives the images as they are, scaled. */
static status keep_all(struct protect_job *j, struct robust *m, struct errmsg *e)
{
    struct surrogate *s = m->of.surrogate;
    float mean = s->model->net->mean, std = s->model->net->std;
    uint64_t number = (uint64_t)s->param->rounds;
    progress_init(&m->of.progress, "crafting", 0, (uint64_t)j->info.samples, j->opt->quiet);
    for (int at = 0; at < j->info.samples; at += s->batch, number++) {
        int left = j->info.samples - at, n = left < s->batch ? left : s->batch;
        status st = surrogate_load(s, m->of.sample + at, n, m->x, e);
        for (size_t p = 0; p < (size_t)s->batch * s->row && !st; p++)
            m->x[p] = m->x[p] * std + mean;
        if (!st)
            st = robust_make_noise(j, m, number);
        if (st)
            return st;
        memcpy(samplewise_delta(&m->of, at), m->delta, (size_t)n * s->row * sizeof *m->delta);
        progress_update(&m->of.progress, (uint64_t)(at + n), NULL);
    }
    progress_done(&m->of.progress, (uint64_t)j->info.samples, NULL);
    return STATUS_OK;
}

/* ---- hooks ---- */

status robust_prepare(struct protect_job *j, robust_disturb_fn *disturb, struct errmsg *e)
{
    const struct robust_param *param = j->param;
    struct robust *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    m->disturb = disturb;
    status st = samplewise_init(j, &param->surrogate, SURROGATE_DECAY, &m->of, e);
    if (st)
        return st;
    size_t batch = (size_t)m->of.surrogate->batch, row = m->of.surrogate->row;
    m->x = mem_alloc(batch * row * sizeof *m->x);
    m->delta = mem_alloc(batch * row * sizeof *m->delta);
    m->sum = mem_alloc(batch * row * sizeof *m->sum);
    m->spare = mem_alloc(row * sizeof *m->spare);
    m->shift = mem_alloc(batch * sizeof *m->shift);
    if (!m->x || !m->delta || !m->sum || !m->spare || !m->shift)
        return STATUS_NOMEM;
    st = learn(m, e);
    if (!st)
        st = keep_all(j, m, e);
    return st ? st : samplewise_measure(j, &m->of, e);
}

void robust_done(struct protect_job *j)
{
    struct robust *m = j->state;
    if (!m)
        return;
    samplewise_done(&m->of);
    mem_free(m->x);
    mem_free(m->delta);
    mem_free(m->sum);
    mem_free(m->spare);
    mem_free(m->shift);
    mem_free(m);
}
