/*
 * AUE, augmented unlearnable examples (Wang, Zhu and Gao, "Efficient Availability Attacks against
 * Supervised and Contrastive Learning Simultaneously", NeurIPS 2024): EMN (emn.c) against
 * contrastive learning as well, in that the surrogate and the steps of descent see images under the
 * strong augmentation of contrastive learning (strong.h), each time another.
 *
 * A round is an epoch of SGD on what the augmentation makes of the perturbed images (learning rate .1,
 * falling to 0 by a cosine over all rounds; weight decay 1e-4) and then `steps` signed descent steps
 * of eps/10 on each image's loss, the surrogate in evaluation mode. A perturbation stays within eps,
 * and is clipped with its image wherever that is seen. The strength is .6 for 10 classes, 1 for 100.
 *
 * What an image's steps see depends on the seed, the round and its own number.
 */
#include "protect/emn.h"

#include "clamp.h"
#include "protect/samplewise.h"
#include "protect/strong.h"

#include "stream.h"

#include <math.h>
#include <string.h>

static const float rate_first = .1f, decay = 1e-4f;

struct aue_param {
    struct surrogate_param surrogate; /* first */
    int steps;
    double strength;
};
static const struct param params[] = {
    {"surrogate", PARAM_TEXT, offsetof(struct aue_param, surrogate.surrogate),
     .standard = SURROGATE_NETWORK, .about = "network"},
    {"batch", PARAM_INT, offsetof(struct aue_param, surrogate.batch), .lo = 1, .hi = 1 << 16,
     .standard = "128", .about = "images a step"},
    {"rounds", PARAM_INT, offsetof(struct aue_param, surrogate.rounds), .lo = 1, .hi = 1000000,
     .standard = "60", .about = "epochs of training, each with crafting after it"},
    {"precision", PARAM_ENUM, offsetof(struct aue_param, surrogate.precision),
     .names = surrogate_precisions, .standard = "f32", .about = "as of relearn train"},
    {"steps", PARAM_INT, offsetof(struct aue_param, steps), .lo = 1, .hi = 1000, .standard = "5",
     .about = "of descent on an image in a round"},
    {"strength", PARAM_DOUBLE, offsetof(struct aue_param, strength), .lo = 0, .hi = 1,
     .standard = "0.6", .about = "of the augmentation"},
};

struct aue {
    struct samplewise of;  /* first */
    float *x, *seen;       /* (batch,H,W,C) in [0,1]: images; with their perturbations */
    float *spare, *work;   /* (H,W,C); STRONG_WORK of it */
    struct strong *strong; /* (batch), of a step */
};

static void perturb(const struct aue *m, const float *x, const float *delta, float *out)
{
    for (size_t p = 0; p < m->of.surrogate->row; p++)
        out[p] = clamp(x[p] + delta[p], 0, 1);
}

/* ---- training ---- */

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct aue *m = arg;
    struct surrogate *s = m->of.surrogate;
    const struct aue_param *param = s->job->param;
    const struct nn_rng r = stream(s->job->opt->seed, STREAM_MOVE, (uint64_t)s->step);
    (void)e;
    for (int i = 0; i < s->batch; i++) {
        size_t to = (size_t)i * s->row;
        struct strong d = strong_draw(r, STRONG_WORDS * (uint64_t)i, param->strength, m->of.frame);
        perturb(m, b->x + to, samplewise_delta(&m->of, b->index[i]), m->spare);
        strong_image(&d, m->of.frame, m->spare, s->learning.x + to, m->work);
        s->learning.label[i] = b->label[i];
    }
    surrogate_scale(s, s->learning.x, (size_t)s->batch * s->row);
    return STATUS_OK;
}

static float rate(const void *arg, int64_t step)
{
    const struct surrogate *s = ((const struct aue *)arg)->of.surrogate;
    double part = (double)(step / train_loader_batches(s->loader)) / s->param->rounds;
    return rate_first * (float)(.5 * (1 + cos(3.14159265358979 * part)));
}

/* ---- crafting ---- */

/* Step `number` of images at .. at+n-1, which are in m->x. */
static status descend(struct aue *m, uint64_t number, int at, int n)
{
    struct surrogate *s = m->of.surrogate;
    const struct aue_param *param = s->job->param;
    float eps = (float)(s->job->eps / 255), *delta = samplewise_delta(&m->of, at);
    for (int i = 0; i < n; i++) {
        size_t to = (size_t)i * s->row;
        m->strong[i] = strong_draw(stream(s->job->opt->seed, STREAM_SIGHT, (uint64_t)(at + i)),
                                   STRONG_WORDS * number, param->strength, m->of.frame);
        perturb(m, m->x + to, delta + to, m->seen + to);
        strong_image(&m->strong[i], m->of.frame, m->seen + to, s->x + to, m->work);
    }
    surrogate_scale(s, s->x, (size_t)n * s->row);
    const float *grad;
    status st = train_attack_gradient(s->attack, s->x, s->label, &grad);
    for (int i = 0; i < n && !st; i++) {
        size_t to = (size_t)i * s->row;
        strong_gradient(&m->strong[i], m->of.frame, m->seen + to, grad + to, m->spare, m->work);
        protect_emn_descend(m->x + to, m->spare, eps / 10, eps, delta + to, s->row);
    }
    return st;
}

static status craft(struct aue *m, int round, struct errmsg *e)
{
    struct surrogate *s = m->of.surrogate;
    const struct aue_param *param = s->job->param;
    int all = s->job->info.samples;
    for (int at = 0; at < all; at += s->batch) {
        int n = all - at < s->batch ? all - at : s->batch;
        status st = surrogate_images(s, at, n, m->x, e);
        for (int step = 0; step < param->steps && !st; step++)
            st = stop_requested() ? STATUS_CANCELLED
                                  : descend(m, (uint64_t)(round * param->steps + step), at, n);
        if (st)
            return st;
    }
    return STATUS_OK;
}

static status rounds(struct aue *m, struct errmsg *e)
{
    const struct surrogate *s = m->of.surrogate;
    int64_t batches = train_loader_batches(s->loader);
    status st = STATUS_OK;
    samplewise_teach(&m->of, "crafting", s->param->rounds * batches, load, rate);
    for (int round = 0; round < s->param->rounds && !st; round++) {
        st = samplewise_learn(&m->of, (round + 1) * batches, e);
        if (!st)
            st = craft(m, round, e);
    }
    if (!st)
        progress_done(&m->of.progress, (uint64_t)s->step, NULL);
    return st;
}

/* ---- the method ---- */

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct aue_param *param = j->param;
    struct aue *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    status st = samplewise_init(j, &param->surrogate, decay, &m->of, e);
    if (st)
        return st;
    size_t batch = (size_t)m->of.surrogate->batch, row = m->of.surrogate->row;
    m->x = mem_alloc(batch * row * sizeof *m->x);
    m->seen = mem_alloc(batch * row * sizeof *m->seen);
    m->spare = mem_alloc(row * sizeof *m->spare);
    m->work = mem_alloc(STRONG_WORK * row * sizeof *m->work);
    m->strong = mem_alloc(batch * sizeof *m->strong);
    if (!m->x || !m->seen || !m->spare || !m->work || !m->strong)
        return STATUS_NOMEM;
    st = rounds(m, e);
    return st ? st : samplewise_measure(j, &m->of, e);
}

static void done(struct protect_job *j)
{
    struct aue *m = j->state;
    if (!m)
        return;
    samplewise_done(&m->of);
    mem_free(m->x);
    mem_free(m->seen);
    mem_free(m->spare);
    mem_free(m->work);
    mem_free(m->strong);
    mem_free(m);
}

const struct protect_method protect_aue = {
    .name = "aue",
    .summary = "as emn, under strong augmentation; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct aue_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = surrogate_delta_row,
    .describe = surrogate_describe,
    .done = done,
};
