/*
 * SEM, stable error-minimising noise (Liu et al., "Stable Unlearnable Example: Enhancing the
 * Robustness of Unlearnable Examples via Stable Error-Minimizing Noise", AAAI 2024): REMN (Fu et al.,
 * ICLR 2022) with random noise where that has an adversary inside each step, at a fraction of its
 * cost.
 *
 * The surrogate is trained for 5000 steps. In each, every image of the batch gets a perturbation of
 * its own: from U(-eps,eps), 10 signed descent steps of eps/5 on the loss, whose gradient is summed
 * over 5 draws of what the image may go through: cropped with a border of an eighth of its side,
 * mirrored half of the time, noise from U(-radius,radius) on top. Then the surrogate takes a step on
 * one such crop of the perturbed images, made adversarial within the radius: 10 ascent steps of a
 * fifth of it from a random start. Learning rate .1, a tenth of it after 2/5 and 4/5 of the steps.
 *
 * At the end all images get the perturbation that they keep, crafted once more. (The authors' code
 * leaves out the last images of an epoch then, and rounds to whole grey levels.)
 */
#include "protect/sem.h"

#include "stream.h"

#include <string.h>

enum { ATTACK_STEPS = 10 };
static const float rate_first = .1f;

static const struct param params[] = {
    {"surrogate", PARAM_TEXT, offsetof(struct sem_param, surrogate.surrogate),
     .standard = SURROGATE_NETWORK, .about = "network"},
    {"batch", PARAM_INT, offsetof(struct sem_param, surrogate.batch), .lo = 1, .hi = 1 << 16,
     .standard = "128", .about = "images a step"},
    {"rounds", PARAM_INT, offsetof(struct sem_param, surrogate.rounds), .lo = 1, .hi = 1000000,
     .standard = "5000", .about = "steps of training, each on noise made for it"},
    {"precision", PARAM_ENUM, offsetof(struct sem_param, surrogate.precision),
     .names = surrogate_precisions, .standard = "f32", .about = "as of relearn train"},
    {"steps", PARAM_INT, offsetof(struct sem_param, steps), .lo = 1, .hi = 1000, .standard = "10",
     .about = "of descent on an image, each time"},
    {"draws", PARAM_INT, offsetof(struct sem_param, draws), .lo = 1, .hi = 1000, .standard = "5",
     .about = "of crop and noise in a step"},
    {"radius", PARAM_DOUBLE, offsetof(struct sem_param, radius), .lo = 0, .hi = 255,
     .standard = "4", .unit = "grey levels", .about = "of the noise it is to withstand"},
};

/* ---- training ---- */

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct sem *m = arg;
    struct surrogate *s = m->of.surrogate;
    const struct protect_job *j = s->job;
    const struct sem_param *param = j->param;
    size_t n = (size_t)s->batch * s->row;
    uint64_t number = (uint64_t)s->step;
    (void)e;
    memcpy(m->x, b->x, n * sizeof *m->x);
    memcpy(s->label, b->label, (size_t)s->batch * sizeof *s->label);
    status st = train_attack_refresh(s->attack);
    if (!st)
        st = sem_make_noise(j, m, number);
    if (st)
        return st;
    sem_move(j, m, number, (uint64_t)(param->steps * param->draws), s->learning.x);
    surrogate_scale(s, s->learning.x, n);
    memcpy(s->learning.label, s->label, (size_t)s->batch * sizeof *s->label);
    const struct attack_options o = {.eps = (float)param->radius,
                                     .step = (float)param->radius / 5,
                                     .steps = ATTACK_STEPS,
                                     .random_start = true};
    return train_attack_pgd(s->attack, &o, stream(j->opt->seed, STREAM_ATTACK, number), s->label,
                            s->learning.x);
}

static float rate(const void *arg, int64_t step)
{
    const struct sem *m = arg;
    double part = (double)step / m->of.surrogate->param->rounds;
    return rate_first * (part < 2. / 5 ? 1 : part < 4. / 5 ? .1f : .01f);
}

static status learn(struct sem *m, struct errmsg *e)
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
static status keep_all(struct protect_job *j, struct sem *m, struct errmsg *e)
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
            st = sem_make_noise(j, m, number);
        if (st)
            return st;
        memcpy(samplewise_delta(&m->of, at), m->delta, (size_t)n * s->row * sizeof *m->delta);
        progress_update(&m->of.progress, (uint64_t)(at + n), NULL);
    }
    progress_done(&m->of.progress, (uint64_t)j->info.samples, NULL);
    return STATUS_OK;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct sem_param *param = j->param;
    struct sem *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
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

static void done(struct protect_job *j)
{
    struct sem *m = j->state;
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

const struct protect_method protect_sem = {
    .name = "sem",
    .summary = "error-minimising noise that withstands crops and noise; at most 8/255 a value",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct sem_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = surrogate_delta_row,
    .describe = surrogate_describe,
    .done = done,
};
