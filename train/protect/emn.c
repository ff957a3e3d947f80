/*
 * EMN, error-minimising noise, sample-wise (Huang et al., "Unlearnable Examples", ICLR 2021). As
 * class-wise (emn_class.c), but each image has a perturbation of its own, zero at first. The second
 * step of a round (surrogate.h) goes over all images: `steps` signed descent steps of eps/10 on each
 * image's loss, from where its perturbation stands. A step starts from the image that the
 * perturbation gives, clipped to [0,1]; what is kept is within eps, and not clipped to [0,1]. The
 * error is that of all images.
 *
 * Two data sets are known by the name of "EM": what is described here (--quantise round), and what
 * its authors released, in which every negative value was lost before it was added (--quantise
 * positive-half). Images are drawn in a random order: class folders are sorted, their data was not.
 */
#include "protect/emn.h"

#include "clamp.h"
#include "protect/samplewise.h"

#include <string.h>

struct emn_param {
    struct surrogate_param surrogate; /* first */
    int steps;
};
static const struct param params[] = {
    SURROGATE_ROWS("0.01"),
    {"steps", PARAM_INT, offsetof(struct emn_param, steps), .lo = 1, .hi = 1000, .standard = "20",
     .about = "of descent on an image in a round"},
};

struct emn {
    struct samplewise of; /* first */
    float *x;             /* (batch,H,W,C) in [0,1] */
};

void protect_emn_descend(const float *x, const float *grad, float step, float eps, float *delta,
                         size_t n)
{
    for (size_t p = 0; p < n; p++) {
        float sign = (float)((grad[p] > 0) - (grad[p] < 0));
        delta[p] = clamp(clamp(x[p] + delta[p], 0, 1) - step * sign - x[p], -eps, eps);
    }
}

/* All steps of images at .. at+n-1. */
static status craft(const struct protect_job *j, struct emn *m, int at, int n, struct errmsg *e)
{
    const struct emn_param *param = j->param;
    struct surrogate *s = m->of.surrogate;
    float eps = (float)(j->eps / 255), *delta = samplewise_delta(&m->of, at);
    size_t used = (size_t)n * s->row;
    status st = surrogate_images(s, at, n, m->x, e);
    memset(s->x + used, 0, ((size_t)s->batch * s->row - used) * sizeof *s->x);
    for (int step = 0; step < param->steps && !st; step++) {
        if (stop_requested())
            return STATUS_CANCELLED;
        for (size_t p = 0; p < used; p++)
            s->x[p] = clamp(m->x[p] + delta[p], 0, 1);
        surrogate_scale(s, s->x, used);
        const float *grad;
        st = train_attack_gradient(s->attack, s->x, s->label, &grad);
        if (!st)
            protect_emn_descend(m->x, grad, eps / 10, eps, delta, used);
    }
    return st;
}

static status make_noise(struct protect_job *j, struct errmsg *e)
{
    struct emn *m = j->state;
    int batch = m->of.surrogate->batch, n = j->info.samples;
    status st = STATUS_OK;
    for (int at = 0; at < n && !st; at += batch)
        st = craft(j, m, at, n - at < batch ? n - at : batch, e);
    return st;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    const struct emn_param *param = j->param;
    struct emn *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    status st = samplewise_init(j, &param->surrogate, SURROGATE_DECAY, &m->of, e);
    if (st)
        return st;
    const struct surrogate *s = m->of.surrogate;
    m->x = mem_alloc((size_t)s->batch * s->row * sizeof *m->x);
    if (!m->x)
        return STATUS_NOMEM;
    return surrogate_rounds(m->of.surrogate, j, make_noise, m->of.sample, j->info.samples, e);
}

/* ---- results ---- */

static void done(struct protect_job *j)
{
    struct emn *m = j->state;
    if (!m)
        return;
    samplewise_done(&m->of);
    mem_free(m->x);
    mem_free(m);
}

const struct protect_method protect_emn = {
    .name = "emn",
    .summary = "error-minimising noise, one pattern an image; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct emn_param),
    .prepare = prepare,
    .shape = protect_sample_shape,
    .row = surrogate_delta_row,
    .describe = surrogate_describe,
    .done = done,
};
