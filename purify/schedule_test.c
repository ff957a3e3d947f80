/* The schedule against the formulas of Ho et al. 2020 and Nichol & Dhariwal 2021. */
#include "purify/purify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_close(double a, double b, double tol)
{
    if (!(fabs(a - b) <= tol))
        fail_msg("%.17g != %.17g (tolerance %g)", a, b, tol);
}

static struct purify_schedule *schedule(enum purify_beta kind, int t_start, int steps,
                                        enum purify_variance variance)
{
    struct purify_schedule *s = NULL;
    assert_int_equal(purify_schedule_new(kind, 1000, t_start, steps, variance, &s), STATUS_OK);
    assert_int_equal(s->steps, steps);
    return s;
}

static void test_linear(void **state)
{
    (void)state;
    double product = 1;
    for (int t = 0; t < 1000; t++) {
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999);
        assert_close(purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, t), product, 1e-14);
    }
    /* published numbers: noise of sd 9.7 and 16.1 grey levels at t = 19 and 35 */
    double a19 = purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, 19);
    double a35 = purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, 35);
    assert_close(sqrt(1 - a19) * 127.5, 9.7, 0.05);
    assert_close(sqrt(1 - a35) * 127.5, 16.1, 0.05);
    assert_true(isnan(purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, -1)));
    assert_true(isnan(purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, 1000)));
}

static void test_cosine(void **state)
{
    (void)state;
    double f0 = pow(cos(0.008 / 1.008 * acos(-1) / 2), 2);
    for (int t = 0; t < 990; t += 7) { /* beyond, their clip of beta acts */
        double f = pow(cos(((t + 1) / 1000.0 + 0.008) / 1.008 * acos(-1) / 2), 2);
        assert_close(purify_alpha_bar(PURIFY_BETA_COSINE, 1000, t), f / f0, 1e-12);
    }
    assert_true(purify_alpha_bar(PURIFY_BETA_COSINE, 1000, 999) > 0);
}

/* steps == t_start is the full chain: its betas and Ho et al.'s eq. 7. */
static void test_identity(void **state)
{
    (void)state;
    struct purify_schedule *large = schedule(PURIFY_BETA_LINEAR, 1000, 1000, PURIFY_FIXED_LARGE);
    struct purify_schedule *small = schedule(PURIFY_BETA_LINEAR, 1000, 1000, PURIFY_FIXED_SMALL);
    for (int i = 0; i < 1000; i++) {
        double beta = 1e-4 + (0.02 - 1e-4) * i / 999;
        double a = large->alpha_bar[i], before = i ? large->alpha_bar[i - 1] : 1;
        assert_int_equal(large->t[i], i);
        assert_close(large->beta[i], beta, 1e-13);
        assert_close(a, purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, i), 1e-15);
        if (i == 0)
            continue;
        assert_close(large->variance[i], beta, 1e-13);
        assert_close(small->variance[i], beta * (1 - before) / (1 - a), 1e-12);
    }
    assert_close(large->variance[0], small->variance[1], 1e-15);
    assert_close(small->variance[0], small->variance[1], 0);
    purify_schedule_free(large);
    purify_schedule_free(small);
}

static void test_respaced(void **state)
{
    (void)state;
    struct purify_schedule *s = schedule(PURIFY_BETA_LINEAR, 20, 5, PURIFY_FIXED_LARGE);
    static const int visited[] = {0, 5, 10, 14, 19};
    double product = 1;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(s->t[i], visited[i]);
        assert_close(s->alpha_bar[i], purify_alpha_bar(PURIFY_BETA_LINEAR, 1000, visited[i]), 0);
        product *= 1 - s->beta[i]; /* the chain of gaps ends where the full chain does */
        assert_close(product, s->alpha_bar[i], 1e-15);
    }
    purify_schedule_free(s);
    s = schedule(PURIFY_BETA_COSINE, 200, 1, PURIFY_FIXED_SMALL);
    assert_int_equal(s->t[0], 199);
    assert_close(s->variance[0], 1 - s->alpha_bar[0], 1e-15);
    purify_schedule_free(s);
    for (int t_start = 1; t_start < 60; t_start++)
        for (int steps = 1; steps <= t_start; steps++) {
            s = schedule(PURIFY_BETA_LINEAR, t_start, steps, PURIFY_FIXED_LARGE);
            assert_int_equal(s->t[steps - 1], t_start - 1);
            for (int i = 1; i < steps; i++)
                assert_true(s->t[i] > s->t[i - 1]);
            purify_schedule_free(s);
        }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        int kind, total, t_start, steps, variance;
    } bad[] = {{0, 1000, 0, 1, 0},    {0, 1000, 20, 0, 0},  {0, 1000, 20, 21, 0},
               {0, 1000, 1001, 5, 0}, {0, 0, 1, 1, 0},      {0, 10001, 1, 1, 0},
               {2, 1000, 20, 5, 0},   {-1, 1000, 20, 5, 0}, {0, 1000, 20, 5, 2}};
    struct purify_schedule *s = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(purify_schedule_new((enum purify_beta)bad[i].kind, bad[i].total,
                                             bad[i].t_start, bad[i].steps,
                                             (enum purify_variance)bad[i].variance, &s),
                         STATUS_INVALID);
    fault_set(FAULT_MEM, 1, 0, 0);
    assert_int_equal(purify_schedule_new(PURIFY_BETA_LINEAR, 1000, 20, 5, PURIFY_FIXED_LARGE, &s),
                     STATUS_NOMEM);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),   cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_respaced),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("purify/schedule", tests, NULL, NULL);
}
