/*
 * The measurement and the control of staged training as pure functions; what they mean and that
 * they are ours stands in train.h.
 */
#include "train.h"

#include <math.h>
#include <string.h>

/* mean (classes+1, c): of each class, and of all in the last row; count (classes). */
static void class_means(const float *feature, const int32_t *label, int n, int c, int classes,
                        double *mean, int *count)
{
    double *all = mean + (size_t)classes * (size_t)c;
    int counted = 0;
    for (int i = 0; i < n; i++) {
        if (label[i] < 0 || label[i] >= classes)
            continue;
        double *m = mean + (size_t)label[i] * (size_t)c;
        for (int j = 0; j < c; j++)
            m[j] += feature[(size_t)i * (size_t)c + (size_t)j];
        count[label[i]]++;
        counted++;
    }
    for (int k = 0; k < classes; k++)
        for (int j = 0; j < c; j++)
            all[j] += mean[(size_t)k * (size_t)c + (size_t)j];
    for (int k = 0; k < classes; k++)
        for (int j = 0; j < c && count[k]; j++)
            mean[(size_t)k * (size_t)c + (size_t)j] /= count[k];
    for (int j = 0; j < c && counted; j++)
        all[j] /= counted;
}

static double between(const double *mean, const int *count, int c, int classes)
{
    const double *all = mean + (size_t)classes * (size_t)c;
    double sum = 0;
    for (int k = 0; k < classes; k++)
        for (int j = 0; j < c && count[k]; j++) {
            double d = mean[(size_t)k * (size_t)c + (size_t)j] - all[j];
            sum += count[k] * d * d;
        }
    return sum;
}

static double within(const float *feature, const int32_t *label, int n, int c, int classes,
                     const double *mean)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (label[i] < 0 || label[i] >= classes)
            continue;
        const double *m = mean + (size_t)label[i] * (size_t)c;
        for (int j = 0; j < c; j++) {
            double d = feature[(size_t)i * (size_t)c + (size_t)j] - m[j];
            sum += d * d;
        }
    }
    return sum;
}

status train_acm(const float *feature, const int32_t *label, int n, int c, int classes, double *out)
{
    AUTO(mem_free) double *mean = mem_zalloc(((size_t)classes + 1) * (size_t)c, sizeof *mean);
    AUTO(mem_free) int *count = mem_zalloc((size_t)classes, sizeof *count);
    if (!mean || !count)
        return STATUS_NOMEM;
    class_means(feature, label, n, c, classes, mean, count);
    double b = between(mean, count, c, classes);
    double w = within(feature, label, n, c, classes, mean);
    *out = b == 0 ? 0 : b / w; /* infinity when classes are points */
    return STATUS_OK;
}

/* ---- control ---- */

struct train_staged_options train_staged_default(void)
{
    return (struct train_staged_options){
        .rise = 2, .slow = .1, .floor = .001, .rollbacks = 0, .probe = 1000};
}

void train_staged_init(struct train_staged *s, const struct train_staged_options *opt, int stages,
                       const double *acm)
{
    *s = (struct train_staged){.opt = *opt, .stages = stages, .rollbacks_left = opt->rollbacks};
    for (int i = 0; i < stages; i++) {
        s->start[i] = acm[i];
        s->scale[i] = 1;
    }
}

static double adapt(const struct train_staged_options *o, double scale, bool signal)
{
    double next = signal ? scale * o->slow : scale / o->slow;
    return next < o->floor ? o->floor : next > 1 ? 1 : next;
}

struct train_staged_verdict train_staged_step(struct train_staged *s, const double *acm)
{
    struct train_staged_verdict v = {.any = false};
    for (int i = 0; i < s->stages - 1; i++) {
        /* A measurement that is not a number is a signal too: nothing good clusters like that. */
        v.signal[i] = !(acm[i] <= s->opt.rise * s->start[i]);
        v.any = v.any || v.signal[i];
        s->scale[i] = adapt(&s->opt, s->scale[i], v.signal[i]);
    }
    for (int i = s->stages - 2; i >= 0; i--)
        if (s->scale[i] > s->scale[i + 1])
            s->scale[i] = s->scale[i + 1];
    v.rollback = v.any && !s->signalled && s->rollbacks_left > 0;
    s->rollbacks_left -= v.rollback;
    s->signalled = v.any && !v.rollback;
    return v;
}
