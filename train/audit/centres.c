#include "audit/centres.h"

#include <math.h>

static const double shrink = .3, least = 1e-6; /* of covariances; of a variance */

struct centres {
    int size, labels;
    double *mean;      /* (labels,size) */
    double *variance;  /* (labels,size) within the label */
    double *deviation; /* (size) within labels */
    double *factor;    /* (size,size) Cholesky's, of what is standardised by that */
    double *white;     /* (labels,size) means, standardised and divided by it */
};

void centres_free(struct centres *c)
{
    if (!c)
        return;
    mem_free(c->mean);
    mem_free(c->variance);
    mem_free(c->deviation);
    mem_free(c->factor);
    mem_free(c->white);
    mem_free(c);
}

static void find_means(struct centres *c, const struct centres_data *d, const double *count)
{
    for (int i = 0; i < d->n; i++)
        for (int k = 0; k < d->size; k++)
            c->mean[d->label[i] * d->size + k] +=
                (double)d->feature[i * d->size + k] / count[d->label[i]];
    for (int i = 0; i < d->n; i++)
        for (int k = 0; k < d->size; k++) {
            int at = d->label[i] * d->size + k;
            double off = (double)d->feature[i * d->size + k] - c->mean[at];
            c->variance[at] += off * off / count[d->label[i]];
            c->deviation[k] += off * off / d->n;
        }
    for (int k = 0; k < d->size; k++)
        c->deviation[k] = sqrt(c->deviation[k] + least);
}

/* The lower half of the covariance of what is standardised. */
static void find_covariance(struct centres *c, const struct centres_data *d, double *off)
{
    for (int i = 0; i < d->n; i++) {
        const double *mean = c->mean + d->label[i] * d->size;
        for (int k = 0; k < d->size; k++)
            off[k] = ((double)d->feature[i * d->size + k] - mean[k]) / c->deviation[k];
        for (int k = 0; k < d->size; k++)
            for (int j = 0; j <= k; j++)
                c->factor[k * d->size + j] += (1 - shrink) * off[k] * off[j] / d->n;
    }
    for (int k = 0; k < d->size; k++)
        c->factor[k * d->size + k] += shrink;
}

/* In place. What it is of is positive definite: its diagonal has `shrink` more. */
static void factorise(double *a, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double v = a[i * n + j];
            for (int k = 0; k < j; k++)
                v -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(v) : v / a[j * n + j];
        }
}

/* One more number of a vector divided by the factor; those before it are in out. */
static double divide(const struct centres *c, int k, double value, const double *out)
{
    for (int j = 0; j < k; j++)
        value -= c->factor[k * c->size + j] * out[j];
    return value / c->factor[k * c->size + k];
}

status centres_new(const struct centres_data *d, struct centres **out)
{
    size_t all = (size_t)d->labels * (size_t)d->size, size = (size_t)d->size;
    AUTO(mem_free) double *count = mem_zalloc((size_t)d->labels, sizeof *count);
    AUTO(mem_free) double *off = mem_zalloc(size, sizeof *off);
    AUTO(centres_free) struct centres *c = mem_zalloc(1, sizeof *c);
    if (!count || !off || !c)
        return STATUS_NOMEM;
    c->size = d->size;
    c->labels = d->labels;
    c->mean = mem_zalloc(all, sizeof *c->mean);
    c->variance = mem_zalloc(all, sizeof *c->variance);
    c->deviation = mem_zalloc(size, sizeof *c->deviation);
    c->factor = mem_zalloc(size * size, sizeof *c->factor);
    c->white = mem_zalloc(all, sizeof *c->white);
    if (!c->mean || !c->variance || !c->deviation || !c->factor || !c->white)
        return STATUS_NOMEM;
    for (int i = 0; i < d->n; i++)
        count[d->label[i]]++;
    find_means(c, d, count);
    find_covariance(c, d, off);
    factorise(c->factor, d->size);
    for (int l = 0; l < d->labels; l++)
        for (int k = 0; k < d->size; k++) {
            double *white = c->white + l * d->size;
            white[k] = divide(c, k, c->mean[l * d->size + k] / c->deviation[k], white);
        }
    *out = TAKE(c);
    return STATUS_OK;
}

/* white (size), distance (labels): room, of zeros. */
static int find_nearest(const struct centres *c, const float *x, double *white, double *distance)
{
    int best = 0;
    for (int k = 0; k < c->size; k++) {
        white[k] = divide(c, k, (double)x[k] / c->deviation[k], white);
        for (int l = 0; l < c->labels; l++) {
            double off = white[k] - c->white[l * c->size + k];
            distance[l] += off * off;
        }
    }
    for (int l = 1; l < c->labels; l++)
        best = distance[l] < distance[best] ? l : best;
    return best;
}

status centres_nearest(const struct centres *c, const float *x, int *out_label, double *out_odd)
{
    AUTO(mem_free) double *room = mem_zalloc((size_t)(c->size + c->labels), sizeof *room);
    double odd = 0;
    if (!room)
        return STATUS_NOMEM;
    int l = find_nearest(c, x, room, room + c->size);
    for (int k = 0; k < c->size; k++) {
        double off = (double)x[k] - c->mean[l * c->size + k];
        double within = c->variance[l * c->size + k] + c->deviation[k] * c->deviation[k];
        odd += off * off / within / c->size;
    }
    *out_label = l;
    *out_odd = odd;
    return STATUS_OK;
}
