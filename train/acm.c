/* The measurement of staged training as a pure function; what it means and that it is ours stands
   in train.h. */
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
