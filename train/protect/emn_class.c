/*
 * EMN, error-minimising noise, class-wise (Huang et al., "Unlearnable Examples", ICLR 2021).
 * Surrogate and perturbation are trained in turns to make the loss small (surrogate.h). The second
 * step of a round goes over a stratified fifth of the images: one signed descent step of eps/10 for
 * each image from its class's delta, kept within eps and the image within [0,1]; a class's delta
 * becomes the mean over its images in the batch.
 *
 * The error is measured on that fifth, not on all images: the authors' full pass costs more than
 * the rest of a round and the two differ little, as delta is one per class.
 */
#include "protect/surrogate.h"

#include "clamp.h"

#include "set.h"
#include "stream.h"

#include <string.h>

enum { SUBSET_PART = 5 };
static const struct param params[] = {SURROGATE_ROWS("0.1")};

struct emn {
    struct surrogate *surrogate; /* first */
    float *delta;                /* (K,H,W,C) */
    float *sum;                  /* (K,H,W,C) of the batch's etas */
    int *count;                  /* (K) images in the batch */
    int *subset;                 /* (subset_n) sample numbers */
    int subset_n;
};

/* A fifth of each class, at least one image of each, in the order of the set. */
static status choose_subset(const struct protect_job *j, struct emn *m)
{
    int n = j->info.samples, classes = j->info.classes;
    AUTO(mem_free) int *order = mem_alloc((size_t)n * sizeof *order);
    AUTO(mem_free) int *want = mem_zalloc((size_t)classes, sizeof *want);
    AUTO(mem_free) bool *taken = mem_zalloc((size_t)n, sizeof *taken);
    m->subset = mem_alloc((size_t)n * sizeof *m->subset);
    if (!order || !want || !taken || !m->subset)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        want[train_set_label(j->set, i)]++;
    for (int k = 0; k < classes; k++)
        want[k] = (want[k] + SUBSET_PART - 1) / SUBSET_PART;
    nn_rng_shuffle(stream(j->opt->seed, STREAM_SUBSET, 0), order, n);
    for (int i = 0; i < n; i++)
        taken[order[i]] = want[train_set_label(j->set, order[i])]-- > 0;
    /* In a random order, so that a batch holds all classes. */
    for (int i = 0; i < n; i++)
        if (taken[order[i]])
            m->subset[m->subset_n++] = order[i];
    return STATUS_OK;
}

/* The eta of each image of the batch, summed per class; then the classes' new deltas. */
static status move_deltas(const struct protect_job *j, struct emn *m, int at, const float *grad,
                          struct errmsg *e)
{
    float eps = (float)(j->eps / 255), step = eps / 10;
    size_t k = (size_t)j->info.classes, n = m->surrogate->row;
    memset(m->sum, 0, k * n * sizeof *m->sum);
    memset(m->count, 0, k * sizeof *m->count);
    for (int i = 0; i < m->surrogate->batch && at + i < m->subset_n; i++) {
        struct set_view v;
        size_t label = (size_t)m->surrogate->label[i];
        status st = train_set_view(j->set, m->subset[at + i], &v, e);
        if (st)
            return st;
        const float *g = grad + (size_t)i * n, *d = m->delta + label * n;
        for (size_t p = 0; p < n; p++) {
            float x = (float)v.pixels[p] / 255;
            float eta = clamp(d[p] - step * (float)((g[p] > 0) - (g[p] < 0)), -eps, eps);
            m->sum[label * n + p] += clamp(x + eta, 0, 1) - x;
        }
        m->count[label]++;
        train_set_view_done(&v);
    }
    for (size_t c = 0; c < k; c++)
        for (size_t p = 0; p < n && m->count[c]; p++)
            m->delta[c * n + p] = clamp(m->sum[c * n + p] / (float)m->count[c], -eps, eps);
    return STATUS_OK;
}

static status make_noise(struct protect_job *j, struct errmsg *e)
{
    struct emn *m = j->state;
    struct surrogate *s = m->surrogate;
    status st = STATUS_OK;
    for (int at = 0; at < m->subset_n && !st; at += s->batch) {
        st = stop_requested() ? STATUS_CANCELLED
                              : surrogate_load(s, m->subset + at, m->subset_n - at, s->x, e);
        const float *grad;
        if (!st)
            st = train_attack_gradient(s->attack, s->x, s->label, &grad);
        if (!st)
            st = move_deltas(j, m, at, grad, e);
    }
    return st;
}

static const float *delta_of(const void *arg, int sample, int label)
{
    const struct emn *m = arg;
    (void)sample;
    return m->delta + (size_t)label * m->surrogate->row;
}

static status prepare(struct protect_job *j, struct errmsg *e)
{
    struct emn *m = j->state = mem_zalloc(1, sizeof *m);
    if (!m)
        return STATUS_NOMEM;
    status st = surrogate_new(j, j->param, SURROGATE_DECAY, delta_of, m, &m->surrogate, e);
    if (st)
        return st;
    size_t k = (size_t)j->info.classes, row = m->surrogate->row;
    m->delta = mem_zalloc(k * row, sizeof *m->delta);
    m->sum = mem_zalloc(k * row, sizeof *m->sum);
    m->count = mem_zalloc(k, sizeof *m->count);
    if (!m->delta || !m->sum || !m->count)
        return STATUS_NOMEM;
    st = choose_subset(j, m);
    return st ? st : surrogate_rounds(m->surrogate, j, make_noise, m->subset, m->subset_n, e);
}

/* ---- results ---- */

static struct protect_shape shape(const struct protect_job *j)
{
    return (struct protect_shape){
        .shape = nn_shape4(j->info.classes, j->info.height, j->info.width, j->info.channels),
        .class_wise = true,
        .patch = 1};
}

static void done(struct protect_job *j)
{
    struct emn *m = j->state;
    if (!m)
        return;
    surrogate_free(m->surrogate);
    mem_free(m->delta);
    mem_free(m->sum);
    mem_free(m->count);
    mem_free(m->subset);
    mem_free(m);
}

const struct protect_method protect_emn_class = {
    .name = "emn-class",
    .summary = "error-minimising noise, one pattern a class; at most 8/255 a value by default",
    .eps = 8,
    .quantise = TRAIN_ROUND,
    .params = PARAM_TABLE(params, struct surrogate_param),
    .prepare = prepare,
    .shape = shape,
    .row = surrogate_delta_row,
    .describe = surrogate_describe,
    .done = done,
};
