#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tails.h"
#include "toy.h"

#include <math.h>

static void near(double got, double want, double part)
{
    if (!(fabs(got - want) <= part * fabs(want)))
        fail_msg("%.17g is not %.17g", got, want);
}

/* Python's math.erfc and statistics.NormalDist; tables give the first digits of the same. */
static void normal_has_known_values(void **state)
{
    (void)state;
    static const double known[][2] = {{0, .5},
                                      {1, .8413447460685429},
                                      {-1, .15865525393145707},
                                      {2, .9772498680518208},
                                      {1.2815515655446008, .9},
                                      {1.9599639845400536, .975},
                                      {-3.090232306167813, .001},
                                      {-6.361340902404056, 1e-10},
                                      {-37.0470962993612, 1e-300}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        near(tail_normal(known[i][0]), known[i][1], 1e-11);
        if (known[i][0] != 0)
            near(tail_normal_inverse(known[i][1]), known[i][0], 1e-12);
    }
    assert_true(fabs(tail_normal_inverse(.5)) < 1e-15);
    for (double x = -30; x < 5; x += .37)
        near(tail_normal_inverse(tail_normal(x)), x, 1e-9);
}

/* Sums of Python's fractions, the last two of decimals of 60 digits. */
static void binomial_has_known_values(void **state)
{
    (void)state;
    static const struct {
        int n;
        double p;
        int k;
        double want;
    } known[] = {{10, .5, 5, .623046875},
                 {10, .9, 9, .6513215599},
                 {20, .1, 0, .1215766545905693},
                 {50, .2, 4, .018496015060209314},
                 {1000, .1, 76, .005254393720887812},
                 {1000, .1, 77, .007247227829375739},
                 {100000, .001, 70, 9.667927349361395e-4},
                 {1000000, .1, 99000, 4.246966967381175e-4}, /* whose first term is e^-105361 */
                 {7, 0, 3, 1},
                 {3, .5, 3, 1}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        near(tail_binomial(known[i].n, known[i].p, known[i].k), known[i].want, 1e-6);
}

/* By the definition, in Python's fractions: the first k with P(Binomial(n, 1 - above) <= k - 1) > c. */
static void ranks_have_known_values(void **state)
{
    (void)state;
    static const struct {
        int n;
        double above, confidence;
        int rank;
    } known[] = {{43, .1, .99, 0},     {44, .1, .99, 44},    {50, .2, .9, 45},
                 {100, .1, .99, 97},   {100, .5, .95, 59},   {458, .01, .99, 0},
                 {459, .01, .99, 459}, {500, .01, .99, 500}, {1000, .1, .99, 922},
                 {1, .5, .49, 1},      {1, .5, .5, 0},       {1000, 0, .99, 0}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        assert_int_equal(tail_rank(known[i].n, known[i].above, known[i].confidence), known[i].rank);
}

/* With k hits as a rank says, and one less, the binomial tail is on either side of what is allowed. */
static void a_rank_is_the_smallest(void **state)
{
    (void)state;
    static const int draws[] = {1, 2, 10, 44, 300, 5000};
    static const double above[] = {.0004, .01, .1, .5, .9},
                        confidence[] = {.05, .5, .9, .99, .9999};
    int ranks = 0;
    for (size_t i = 0; i < ARRAY_LEN(draws) * ARRAY_LEN(above) * ARRAY_LEN(confidence); i++) {
        int n = draws[i / 25];
        double a = above[i / 5 % 5], c = confidence[i % 5];
        int k = tail_rank(n, a, c);
        assert_int_equal(k > 0, a > tail_least_above(n, c));
        assert_int_equal(k > 0, n >= tail_least_draws(a, c));
        if (k)
            assert_true(tail_binomial(n, a, n - k) < 1 - c);
        if (k != 1)
            assert_false(tail_binomial(n, a, k ? n - k + 1 : 0) < 1 - c);
        ranks += k > 1;
    }
    assert_in_range(ranks, 50, 150);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* What a rank is for: of many samples, the confidence's share have their k-th smallest above the value that
   is sought, and not so many of them the one before it. */
static void samples_are_covered_as_often_as_said(void **state)
{
    (void)state;
    enum { N = 60, SAMPLES = 4000 };
    static const double above = .2, confidence = .9;
    int k = tail_rank(N, above, confidence), held = 0, held_before = 0;
    assert_in_range(k, 2, N);
    for (int s = 0; s < SAMPLES; s++) {
        float u[N];
        for (int i = 0; i < N; i++)
            u[i] = nn_rng_uniform(nn_rng(5, (uint64_t)s), (uint64_t)i);
        qsort(u, N, sizeof *u, by_value);
        held += u[k - 1] >= 1 - above;
        held_before += u[k - 2] >= 1 - above;
    }
    double deviation = sqrt(confidence * (1 - confidence) / SAMPLES);
    assert_true((double)held / SAMPLES > confidence - 3 * deviation);
    assert_true((double)held_before / SAMPLES < confidence + 3 * deviation);
    assert_true(held < SAMPLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_has_known_values),
        cmocka_unit_test(binomial_has_known_values),
        cmocka_unit_test(ranks_have_known_values),
        cmocka_unit_test(a_rank_is_the_smallest),
        cmocka_unit_test(samples_are_covered_as_often_as_said),
    };
    return cmocka_run_group_tests_name("tails", tests, NULL, NULL);
}
