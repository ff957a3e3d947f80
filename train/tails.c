#include "tails.h"

#include <assert.h>
#include <math.h>

double tail_normal(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

double tail_normal_inverse(double p)
{
    assert(p > 0 && p < 1);
    if (p > .5)
        return -tail_normal_inverse(1 - p); /* the difference is exact */
    double lo = -40, hi = 0;                /* there tail_normal is 0, and .5 */
    for (int i = 0; i < 100; i++) {
        double mid = (lo + hi) / 2;
        *(tail_normal(mid) < p ? &lo : &hi) = mid;
    }
    return hi;
}

/* The probability of j hits, in logarithms, from that of j - 1: the latter may be too small for a double
   where the former is not. */
static double next_log(double log_before, int n, double p, int j)
{
    return log_before + log((double)(n - j + 1) / j) + log(p) - log1p(-p);
}

double tail_binomial(int n, double p, int k)
{
    assert(p >= 0 && p < 1 && k >= 0 && k <= n);
    double log_term = n * log1p(-p), sum = exp(log_term);
    for (int j = 1; j <= k && p > 0; j++) {
        log_term = next_log(log_term, n, p, j);
        sum += exp(log_term);
    }
    return sum;
}

int tail_rank(int n, double above, double confidence)
{
    assert(above >= 0 && above < 1 && confidence > 0 && confidence < 1);
    double log_term = n * log1p(-above), sum = exp(log_term), wrong = 1 - confidence;
    if (!(sum < wrong))
        return 0;
    for (int others = 1; others < n; others++) {
        log_term = next_log(log_term, n, above, others);
        sum += exp(log_term);
        if (!(sum < wrong))
            return n - others + 1;
    }
    return 1;
}

/* (1 - above)^n = 1 - confidence, solved for either. */
double tail_least_above(int n, double confidence)
{
    return -expm1(log1p(-confidence) / n);
}

double tail_least_draws(double above, double confidence)
{
    return floor(log1p(-confidence) / log1p(-above)) + 1;
}
