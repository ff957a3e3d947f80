/* How much of their deltas images have in common, from sums alone: over pairs of different images of a
   class, the sum of d_i . d_j is |sum of d|^2 - sum of |d|^2. */
#include "audit/delta.h"

#include <math.h>

struct sums {
    double pairs, dots; /* of different images of one class */
    double square;      /* sum of |d|^2 */
    double of_means;    /* sum over images of |their class's mean|^2 */
    double of_classes;  /* sum over classes of |sum of d|^2 */
};

static double norm_square(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sum;
}

/* sum (values): that of class k, which is added to total. */
static void add_class(const float *delta, int n, size_t values, const int *label, int k,
                      double *sum, double *total, struct sums *s)
{
    int count = 0;
    double square = 0;
    for (size_t p = 0; p < values; p++)
        sum[p] = 0;
    for (int i = 0; i < n; i++) {
        const float *d = delta + (size_t)i * values;
        count += label[i] == k;
        for (size_t p = 0; p < values && label[i] == k; p++) {
            sum[p] += (double)d[p];
            square += (double)d[p] * (double)d[p];
        }
    }
    double of_sum = norm_square(sum, values);
    for (size_t p = 0; p < values; p++)
        total[p] += sum[p];
    s->pairs += (double)count * (count - 1);
    s->dots += of_sum - square;
    s->square += square;
    s->of_means += count ? of_sum / count : 0;
    s->of_classes += of_sum;
}

static enum train_audit_kind kind_of(const struct train_audit_delta *d)
{
    if (d->shared < TRAIN_AUDIT_OWN)
        return TRAIN_AUDIT_SAMPLE_WISE;
    if (d->shared < TRAIN_AUDIT_SAME)
        return TRAIN_AUDIT_PARTLY;
    return d->shared_across < TRAIN_AUDIT_SAME ? TRAIN_AUDIT_CLASS_WISE : TRAIN_AUDIT_UNIVERSAL;
}

status delta_share(const float *delta, int n, size_t values, const int *label, int classes,
                   struct train_audit_delta *out)
{
    AUTO(mem_free) double *sum = mem_alloc(values * sizeof *sum);
    AUTO(mem_free) double *total = mem_zalloc(values, sizeof *total);
    struct sums s = {.pairs = 0};
    if (!sum || !total)
        return STATUS_NOMEM;
    for (int k = 0; k < classes; k++)
        add_class(delta, n, values, label, k, sum, total, &s);
    double mean_square = s.square / n, across = (double)n * (n - 1) - s.pairs;
    out->mean_norm = sqrt(s.of_means / s.square);
    out->shared = s.dots / s.pairs / mean_square;
    out->shared_across = (norm_square(total, values) - s.of_classes) / across / mean_square;
    out->kind = kind_of(out);
    return STATUS_OK;
}
