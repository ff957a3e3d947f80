#include "run.h"

#include "set.h"
#include "stream.h"

#include <string.h>

struct probe {
    int n, classes;
    size_t row;                       /* floats of one image */
    float *x;                         /* (n,H,W,C), scaled for the network */
    int32_t *label;                   /* (n) */
    float *feature[TRAIN_STAGES_MAX]; /* (n,width[s]); allocated at the first measurement */
};

/* The 1st of each class in a random order, then the 2nd of each, ... */
static status choose(const struct train_set *set, int count, uint64_t seed, int *out)
{
    struct train_set_info info = train_set_info(set);
    AUTO(mem_free) int *order = mem_zalloc((size_t)info.samples, sizeof *order);
    AUTO(mem_free) int *used = mem_zalloc((size_t)info.classes, sizeof *used);
    AUTO(mem_free) bool *taken = mem_zalloc((size_t)info.samples, sizeof *taken);
    if (!order || !used || !taken)
        return STATUS_NOMEM;
    nn_rng_shuffle(stream(seed, STREAM_PROBE, 0), order, info.samples);
    int n = 0;
    for (int most = 1; n < count; most++)
        for (int i = 0; i < info.samples && n < count; i++) {
            int label = train_set_label(set, order[i]);
            if (taken[i] || used[label] >= most)
                continue;
            taken[i] = true;
            used[label]++;
            out[n++] = order[i];
        }
    return STATUS_OK;
}

static status fill(struct probe *p, struct train_set *set, const struct train_model *m,
                   const int *index, struct errmsg *e)
{
    int c = m->shape.channels;
    for (int i = 0; i < p->n; i++) {
        struct set_view v;
        status st = stop_requested() ? STATUS_CANCELLED : train_set_view(set, index[i], &v, e);
        if (st)
            return st;
        float *out = p->x + (size_t)i * p->row;
        for (size_t j = 0; j < p->row; j++)
            out[j] = ((float)v.pixels[j] / 255 - m->mean[j % (size_t)c]) / m->std[j % (size_t)c];
        p->label[i] = train_set_label(set, index[i]);
        train_set_view_done(&v);
    }
    return STATUS_OK;
}

status train_probe_new(struct train_set *set, const struct train_model *m, int count, uint64_t seed,
                       struct probe **out, struct errmsg *e)
{
    struct train_set_info info = train_set_info(set);
    AUTO(train_probe_free) struct probe *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    p->n = count < info.samples ? count : info.samples;
    p->classes = info.classes;
    p->row = (size_t)info.width * (size_t)info.height * (size_t)info.channels;
    p->x = mem_zalloc((size_t)p->n * p->row, sizeof *p->x);
    p->label = mem_zalloc((size_t)p->n, sizeof *p->label);
    AUTO(mem_free) int *index = mem_zalloc((size_t)p->n, sizeof *index);
    if (!p->x || !p->label || !index)
        return STATUS_NOMEM;
    status st = choose(set, p->n, seed, index);
    if (!st)
        st = fill(p, set, m, index, e);
    if (!st)
        *out = TAKE(p);
    return st;
}

void train_probe_free(struct probe *p)
{
    if (!p)
        return;
    for (int s = 0; s < TRAIN_STAGES_MAX; s++)
        mem_free(p->feature[s]);
    mem_free(p->x);
    mem_free(p->label);
    mem_free(p);
}

struct sal_images train_probe_images(const struct probe *p)
{
    return (struct sal_images){.x = p->x, .label = p->label, .n = p->n};
}

static status take_features(struct probe *p, const struct forward *f)
{
    for (int s = 0; s < f->stages; s++)
        if (!p->feature[s] &&
            !(p->feature[s] = mem_zalloc((size_t)p->n * (size_t)f->width[s], sizeof(float))))
            return STATUS_NOMEM;
    return STATUS_OK;
}

status train_probe_measure(struct probe *p, struct forward *f, double *out_acm)
{
    status st = take_features(p, f);
    if (!st)
        st = nn_plan_refresh(f->plan);
    for (int at = 0; at < p->n && !st; at += f->batch) {
        if (stop_requested())
            return STATUS_CANCELLED;
        int n = p->n - at < f->batch ? p->n - at : f->batch;
        memset(f->in + (size_t)n * p->row, 0, (size_t)(f->batch - n) * p->row * sizeof(float));
        memcpy(f->in, p->x + (size_t)at * p->row, (size_t)n * p->row * sizeof(float));
        st = nn_plan_run(f->plan);
        for (int s = 0; s < f->stages && !st; s++)
            memcpy(p->feature[s] + (size_t)at * (size_t)f->width[s], f->pooled[s],
                   (size_t)n * (size_t)f->width[s] * sizeof(float));
    }
    for (int s = 0; s < f->stages && !st; s++)
        st = train_acm(p->feature[s], p->label, p->n, f->width[s], p->classes, &out_acm[s]);
    return st;
}
