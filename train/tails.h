#ifndef TRAIN_TAILS_H
#define TRAIN_TAILS_H
/* tails: the normal and the binomial distribution, and what order statistics make of them. Exact where
   probabilities are near 0, so a probability near 1 is said by what is missing of it. Private to train. */

double tail_normal(double x);         /* P(X <= x) of a standard normal X */
double tail_normal_inverse(double p); /* the x of which that is p; 0 < p < 1 */
/* P(X <= k) of the number X of hits in n trials, each with probability p; 0 <= k <= n, 0 <= p < 1. To a
   millionth of it at least, with n of a million. */
double tail_binomial(int n, double p, int k);

/*
 * Of n independent draws of anything: the smallest k for which the k-th smallest is, with more than the
 * confidence, not below the value that a draw exceeds with probability `above` (or less, where draws
 * can be equal). 0: there is none, as even the largest is too often below it.
 *
 * A draw is below that value with probability 1 - above at most. The k-th smallest is below it when k
 * draws or more are, that is when at most n - k are not.
 */
int tail_rank(int n, double above, double confidence);
/* There is a rank when `above` is larger than the first, and when n is the second or more. */
double tail_least_above(int n, double confidence);
double tail_least_draws(double above, double confidence);

#endif
