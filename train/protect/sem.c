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

#include "loop.h"
#include "stream.h"

#include <string.h>

enum { ATTACK_STEPS = 10 };
static const float rate_first = .1f;
static const size_t memory_max = (size_t)2 << 30; /* 50,000 images of CIFAR-10 take 0.6 GB */

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

static const float *delta_of(const void *arg, int sample, int label)
{
    const struct sem *m = arg;
    (void)label;
    return m->kept.v + (size_t)sample * m->surrogate->row;
}

/* ---- training ---- */

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct sem *m = arg;
    struct surrogate *s = m->surrogate;
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
    double part = (double)step / m->surrogate->param->rounds;
    return rate_first * (part < 2. / 5 ? 1 : part < 4. / 5 ? .1f : .01f);
}

static status after(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct sem *m = arg;
    char extra[32];
    (void)b;
    (void)e;
    snprintf(extra, sizeof extra, "loss %.3f", loss);
    progress_update(&m->progress, (uint64_t)++m->surrogate->step, extra);
    return STATUS_OK;
}

static status learn(struct protect_job *j, struct sem *m, struct errmsg *e)
{
    struct surrogate *s = m->surrogate;
    struct train_loop l = {.loader = s->loader,
                           .params = s->model->params,
                           .plan = s->learning.plan,
                           .loss = s->learning.loss,
                           .optim = s->optim,
                           .threads = j->threads,
                           .arg = m,
                           .load = load,
                           .rate = rate,
                           .after = after};
    progress_init(&m->progress, "training a surrogate", 0, (uint64_t)s->param->rounds,
                  j->opt->quiet);
    status st = train_loop_run(&l, s->param->rounds, e);
    if (!st)
        progress_done(&m->progress, (uint64_t)s->step, NULL);
    return st ? st : train_attack_refresh(s->attack);
}

/* ---- what is kept ---- */

/* m->kept is zero before: surrogate_load gives the images as they are, scaled. */
static status keep_all(struct protect_job *j, struct sem *m, struct errmsg *e)
{
    struct surrogate *s = m->surrogate;
    float mean = s->model->net->mean, std = s->model->net->std;
    uint64_t number = (uint64_t)s->param->rounds;
    progress_init(&m->progress, "crafting", 0, (uint64_t)j->info.samples, j->opt->quiet);
    for (int at = 0; at < j->info.samples; at += s->batch, number++) {
        int left = j->info.samples - at, n = left < s->batch ? left : s->batch;
        status st = surrogate_load(s, m->sample + at, n, m->x, e);
        for (size_t p = 0; p < (size_t)s->batch * s->row && !st; p++)
            m->x[p] = m->x[p] * std + mean;
        if (!st)
            st = sem_make_noise(j, m, number);
        if (st)
            return st;
        memcpy(m->kept.v + (size_t)at * s->row, m->delta, (size_t)n * s->row * sizeof *m->delta);
        progress_update(&m->progress, (uint64_t)(at + n), NULL);
    }
    progress_done(&m->progress, (uint64_t)j->info.samples, NULL);
    return STATUS_OK;
}

static status allocate(struct protect_job *j, struct sem *m, struct errmsg *e)
{
    size_t batch = (size_t)m->surrogate->batch, row = m->surrogate->row;
    size_t samples = (size_t)j->info.samples;
    AUTO(mem_free) char *folder = protect_folder(j);
    m->frame = (struct shift_frame){j->info.width, j->info.height, j->info.channels};
    m->x = mem_alloc(batch * row * sizeof *m->x);
    m->delta = mem_alloc(batch * row * sizeof *m->delta);
    m->sum = mem_alloc(batch * row * sizeof *m->sum);
    m->spare = mem_alloc(row * sizeof *m->spare);
    m->shift = mem_alloc(batch * sizeof *m->shift);
    m->sample = mem_alloc(samples * sizeof *m->sample);
    if (!folder || !m->x || !m->delta || !m->sum || !m->spare || !m->shift || !m->sample)
        return STATUS_NOMEM;
    for (int i = 0; i < j->info.samples; i++)
        m->sample[i] = i;
    return floats_init(&m->kept, samples * row, memory_max, folder, e);
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct sem_param *param = j->param;
    struct sem *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    status st = surrogate_new(j, &param->surrogate, SURROGATE_DECAY, delta_of, m, &m->surrogate, e);
    if (!st)
        st = allocate(j, m, e);
    if (!st)
        st = learn(j, m, e);
    if (!st)
        st = keep_all(j, m, e);
    if (!st)
        st = surrogate_measure(m->surrogate, m->sample, j->info.samples, &j->result.surrogate_error,
                               e);
    j->result.rounds = param->surrogate.rounds;
    j->result.precision = param->surrogate.precision;
    return st;
}

static void done(struct protect_job *j)
{
    struct sem *m = j->state;
    if (!m)
        return;
    surrogate_free(m->surrogate);
    floats_done(&m->kept);
    mem_free(m->x);
    mem_free(m->delta);
    mem_free(m->sum);
    mem_free(m->spare);
    mem_free(m->shift);
    mem_free(m->sample);
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
