#include "audit/ridge.h"

#include <math.h>
#include <string.h>

static const double lambdas[] = {.001, .01, .1, 1, 10}; /* of the mean of the diagonal */
enum { LANES = 16 };

struct ridge {
    const struct ridge_data *d;
    float *gram;   /* (n,n) */
    double *l, *a; /* (m,m) a factor of Cholesky; (m,classes) the solution */
    int *order;    /* (n) samples; training first */
};

/* ---- features ---- */

static void standardise(struct ridge_data *d, double *mean, double *deviation)
{
    double usual = 0;
    memset(mean, 0, d->size * sizeof *mean);
    memset(deviation, 0, d->size * sizeof *deviation);
    for (int i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->size; k++)
            mean[k] += (double)d->feature[(size_t)i * d->size + k] / d->n;
    for (int i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->size; k++) {
            double off = (double)d->feature[(size_t)i * d->size + k] - mean[k];
            deviation[k] += off * off / d->n;
        }
    for (size_t k = 0; k < d->size; k++) {
        deviation[k] = sqrt(deviation[k]);
        usual += deviation[k] / (double)d->size;
    }
    for (size_t k = 0; k < d->size; k++)
        deviation[k] = fmax(deviation[k], usual / 20) + 1e-12;
    double scale = 1 / sqrt((double)d->size);
    for (int i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->size; k++) {
            float *v = &d->feature[(size_t)i * d->size + k];
            *v = (float)(((double)*v - mean[k]) / deviation[k] * scale);
        }
}

static float dot(const float *a, const float *b, size_t n)
{
    float lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

static status make_gram(struct ridge *r)
{
    const struct ridge_data *d = r->d;
    size_t n = (size_t)d->n;
    for (size_t i = 0; i < n; i++) {
        if (stop_requested())
            return STATUS_CANCELLED;
        for (size_t j = 0; j <= i; j++)
            r->gram[i * n + j] = r->gram[j * n + i] =
                dot(d->feature + i * d->size, d->feature + j * d->size, d->size);
    }
    return STATUS_OK;
}

/* ---- equations ---- */

/* a (m,classes) of the first m samples in order: (G + lambda I) a = Y. Ends early, with nothing of use,
   when asked to stop. */
static void solve(const struct ridge *r, int m, double lambda)
{
    const struct ridge_data *d = r->d;
    size_t n = (size_t)d->n, k = (size_t)d->classes, all = (size_t)m;
    for (size_t i = 0; i < all && !stop_requested(); i++) {
        const float *g = r->gram + (size_t)r->order[i] * n;
        for (size_t j = 0; j <= i; j++) {
            double sum = (double)g[r->order[j]] + (i == j ? lambda : 0);
            for (size_t p = 0; p < j; p++)
                sum -= r->l[i * all + p] * r->l[j * all + p];
            r->l[i * all + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / r->l[j * all + j];
        }
        for (size_t c = 0; c < k; c++) {
            double y = (d->label[r->order[i]] == (int)c ? 1. : 0.) - 1. / (double)k;
            for (size_t p = 0; p < i; p++)
                y -= r->l[i * all + p] * r->a[p * k + c];
            r->a[i * k + c] = y / r->l[i * all + i];
        }
    }
    for (size_t i = all; i-- > 0;)
        for (size_t c = 0; c < k; c++) {
            double y = r->a[i * k + c];
            for (size_t p = i + 1; p < all; p++)
                y -= r->l[p * all + i] * r->a[p * k + c];
            r->a[i * k + c] = y / r->l[i * all + i];
        }
}

static int read_label(const struct ridge *r, int m, int sample)
{
    int best = 0;
    double most = -INFINITY;
    for (int c = 0; c < r->d->classes; c++) {
        double score = 0;
        for (int i = 0; i < m; i++)
            score += (double)r->gram[(size_t)sample * (size_t)r->d->n + (size_t)r->order[i]] *
                     r->a[i * r->d->classes + c];
        if (score > most) {
            most = score;
            best = c;
        }
    }
    return best;
}

/* Trained on the first m in order, of those from .. to-1. */
static double accuracy(const struct ridge *r, int m, double lambda, int from, int to)
{
    int right = 0;
    solve(r, m, lambda);
    for (int i = from; i < to; i++)
        right += read_label(r, m, r->order[i]) == r->d->label[r->order[i]];
    return (double)right / (to - from);
}

/* ---- parts ---- */

/* In a random order, of each class a quarter, another quarter, and the rest. Returns the size of the first
   quarter; *out_half is that of both. */
static int part(struct ridge *r, struct nn_rng rng, uint64_t round, int *shuffled, int *out_half)
{
    const struct ridge_data *d = r->d;
    int filled = 0, quarter = 0;
    nn_rng_shuffle(nn_rng(nn_rng_u32(rng, 2 * round), nn_rng_u32(rng, 2 * round + 1)), shuffled,
                   d->n);
    for (int stage = 0; stage < 3; stage++) {
        for (int c = 0; c < d->classes; c++) {
            int of = 0, seen = 0;
            for (int i = 0; i < d->n; i++)
                of += d->label[i] == c;
            for (int i = 0; i < d->n; i++) {
                int s = shuffled[i];
                if (d->label[s] != c)
                    continue;
                int is = seen < of / 4 ? 0 : seen < of / 2 ? 1 : 2;
                if (is == stage)
                    r->order[filled++] = s;
                seen++;
            }
        }
        if (stage == 0)
            quarter = filled;
        if (stage == 1)
            *out_half = filled;
    }
    return quarter;
}

static status read_rounds(struct ridge *r, struct nn_rng rng, int rounds, struct ridge_result *out)
{
    int n = r->d->n, half = 0;
    double trace = 0, sum = 0, squares = 0;
    AUTO(mem_free) int *shuffled = mem_alloc((size_t)n * sizeof *shuffled);
    if (!shuffled)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        trace += (double)r->gram[(size_t)i * (size_t)n + (size_t)i] / n;
    for (int k = 0; k < rounds; k++) {
        int quarter = part(r, rng, (uint64_t)k, shuffled, &half);
        double best = -1, with = 1;
        for (size_t l = 0; l < ARRAY_LEN(lambdas); l++) {
            double a = accuracy(r, quarter, lambdas[l] * trace, quarter, half);
            if (a > best) {
                best = a;
                with = lambdas[l];
            }
        }
        double a = accuracy(r, half, with * trace, half, n);
        if (stop_requested())
            return STATUS_CANCELLED;
        sum += a;
        squares += a * a;
    }
    double mean = sum / rounds;
    *out = (struct ridge_result){mean, sqrt(fmax(squares / rounds - mean * mean, 0)), n - half};
    return STATUS_OK;
}

status ridge_read(struct ridge_data *d, struct nn_rng rng, int rounds, struct ridge_result *out)
{
    size_t n = (size_t)d->n, half = n / 2 + 1;
    AUTO(mem_free) double *mean = mem_alloc(2 * d->size * sizeof *mean);
    AUTO(mem_free) float *gram = mem_alloc(n * n * sizeof *gram);
    AUTO(mem_free) double *l = mem_alloc(half * half * sizeof *l);
    AUTO(mem_free) double *a = mem_alloc(half * (size_t)d->classes * sizeof *a);
    AUTO(mem_free) int *order = mem_alloc(n * sizeof *order);
    if (!mean || !gram || !l || !a || !order)
        return STATUS_NOMEM;
    struct ridge r = {.d = d, .gram = gram, .l = l, .a = a, .order = order};
    standardise(d, mean, mean + d->size);
    status st = make_gram(&r);
    return st ? st : read_rounds(&r, rng, rounds, out);
}
