/*
 * The noise schedule. With alpha_bar_t of the full chain (Ho et al. 2020, eq. 4) and the visited
 * steps t_0 < t_1 < ... < t_{S-1}, a respaced chain has (Nichol & Dhariwal 2021, section 4)
 *
 *     beta_i      = 1 - alpha_bar[t_i] / alpha_bar[t_{i-1}]          (alpha_bar[t_{-1}] = 1)
 *     posterior_i = beta_i (1 - alpha_bar[t_{i-1}]) / (1 - alpha_bar[t_i])     (Ho, eq. 7)
 *
 * fixed large is variance_i = beta_i, fixed small posterior_i. posterior_0 is 0, so both take
 * posterior_1 for step 0, as Ho et al.'s released code does; no noise is drawn there, but guidance
 * is scaled by it. A chain of one step has no step 1 and keeps beta_0.
 */
#include "purify/purify.h"

#include <math.h>

/* Linear: 1e-4 .. 0.02 at T = 1000 (Ho et al. 2020, section 4), scaled by 1000/T for other T so
   that the chain ends at about the same noise. */
static double linear_beta(int total, int t)
{
    double scale = 1000.0 / total;
    double first = scale * 1e-4, last = scale * 0.02;
    double beta = total > 1 ? first + (last - first) * t / (total - 1) : first;
    return beta < 0.999 ? beta : 0.999;
}

/* Nichol & Dhariwal 2021, eq. 17, with their clip of beta. */
static double cosine_beta(int total, int t)
{
    const double offset = 0.008, half_pi = 1.57079632679489661923;
    double a = cos(((double)t / total + offset) / (1 + offset) * half_pi);
    double b = cos(((double)(t + 1) / total + offset) / (1 + offset) * half_pi);
    double beta = 1 - (b * b) / (a * a);
    return beta < 0.999 ? beta : 0.999;
}

/* alpha_bar at `to` from that at `from` < to; from -1 is the clean image. */
static double advance(enum purify_beta kind, int total, double alpha_bar, int from, int to)
{
    for (int t = from + 1; t <= to; t++)
        alpha_bar *=
            1 - (kind == PURIFY_BETA_COSINE ? cosine_beta(total, t) : linear_beta(total, t));
    return alpha_bar;
}

double purify_alpha_bar(enum purify_beta kind, int total, int t)
{
    return t < 0 || t >= total ? NAN : advance(kind, total, 1, -1, t);
}

static double posterior(const struct purify_schedule *s, int i)
{
    double before = i > 0 ? s->alpha_bar[i - 1] : 1;
    return s->beta[i] * (1 - before) / (1 - s->alpha_bar[i]);
}

static void fill(struct purify_schedule *s, enum purify_beta kind, int total, int t_start,
                 enum purify_variance variance)
{
    int n = s->steps, last = t_start - 1;
    for (int i = 0; i < n; i++) {
        /* Evenly spaced, both ends included, rounded half up. */
        s->t[i] = n > 1 ? (int)((2LL * i * last + (n - 1)) / (2LL * (n - 1))) : last;
        double before = i > 0 ? s->alpha_bar[i - 1] : 1;
        s->alpha_bar[i] = advance(kind, total, before, i > 0 ? s->t[i - 1] : -1, s->t[i]);
        s->beta[i] = 1 - s->alpha_bar[i] / before;
    }
    for (int i = 0; i < n; i++)
        s->variance[i] = variance == PURIFY_FIXED_LARGE ? s->beta[i] : posterior(s, i);
    s->variance[0] = n > 1 ? posterior(s, 1) : s->beta[0];
}

status purify_schedule_new(enum purify_beta kind, int total, int t_start, int steps,
                           enum purify_variance variance, struct purify_schedule **out)
{
    if ((unsigned)kind >= PURIFY_BETA_COUNT || (unsigned)variance >= PURIFY_VARIANCE_COUNT ||
        total < 1 || total > PURIFY_TOTAL_MAX || t_start < 1 || t_start > total || steps < 1 ||
        steps > t_start)
        return STATUS_INVALID;
    /* One block: the struct, three arrays of doubles, one of ints. */
    size_t n = (size_t)steps;
    struct purify_schedule *s = mem_zalloc(1, sizeof *s + n * (3 * sizeof(double) + sizeof(int)));
    if (!s)
        return STATUS_NOMEM;
    s->steps = steps;
    s->alpha_bar = (double *)(s + 1);
    s->beta = s->alpha_bar + n;
    s->variance = s->beta + n;
    s->t = (int *)(s->variance + n);
    fill(s, kind, total, t_start, variance);
    *out = s;
    return STATUS_OK;
}

void purify_schedule_free(struct purify_schedule *s)
{
    mem_free(s);
}
