#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"
#include "train.h"

#include <math.h>

static double acm(const float *f, const int32_t *label, int n, int c, int classes)
{
    double v = -1;
    assert_int_equal(train_acm(f, label, n, c, classes, &v), STATUS_OK);
    return v;
}

static void assert_close(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9 * fmax(1, fabs(b))))
        fail_msg("%.12g is not %.12g", a, b);
}

static void has_known_answers(void **state)
{
    (void)state;
    /* Classes {0,2} and {10,12}: means 1, 11, all 6; between 4*25, within 4*1. */
    static const float f[] = {0, 2, 10, 12};
    static const int32_t label[] = {0, 0, 1, 1};
    assert_close(acm(f, label, 4, 1, 2), 25);
    /* In two dimensions: class 0 at (0,0),(0,2), class 1 at (4,0),(4,2), class 2 empty. */
    static const float g[] = {0, 0, 0, 2, 4, 0, 4, 2};
    assert_close(acm(g, label, 4, 2, 3), 16.0 / 4);
    /* Unequal classes: {0,0,3}, {7}: means 1, 7, all 2.5; between 3*2.25+20.25, within 1+1+4. */
    static const float h[] = {0, 0, 3, 7};
    static const int32_t uneven[] = {0, 0, 0, 1};
    assert_close(acm(h, uneven, 4, 1, 2), 27.0 / 6);
}

static void extremes(void **state)
{
    (void)state;
    static const float same[] = {3, 3, 3, 3}, points[] = {1, 1, 5, 5};
    static const int32_t label[] = {0, 0, 1, 1};
    assert_close(acm(same, label, 4, 1, 2), 0);
    assert_true(isinf(acm(points, label, 4, 1, 2)));
    /* Rows without a class are not there. */
    static const float f[] = {0, 2, 10, 12, 1000};
    static const int32_t odd[] = {0, 0, 1, 1, -1};
    assert_close(acm(f, odd, 5, 1, 2), 25);
}

static void does_not_see_scale_shift_or_order(void **state)
{
    (void)state;
    enum { N = 60, C = 5, K = 4 };
    float f[N * C], moved[N * C];
    int32_t label[N], moved_label[N];
    nn_rng_normal(nn_rng(1, 1), 0, f, N * C);
    for (int i = 0; i < N; i++)
        label[i] = i % K;
    for (int i = 0; i < N; i++) {
        int to = (i * 7) % N;
        moved_label[to] = (label[i] + 1) % K;
        for (int j = 0; j < C; j++)
            moved[to * C + j] = 4 * f[i * C + (j + 2) % C] - 8;
    }
    double a = acm(f, label, N, C, K), b = acm(moved, moved_label, N, C, K);
    assert_true(fabs(a - b) < 1e-5 * a);
    /* Noise: about (K-1)/(N-K). */
    assert_true(a > .01 && a < .2);
}

/* ---- control ---- */

static const struct train_staged_options options = {
    .rise = 2, .slow = .1, .floor = .01, .rollbacks = 1, .probe = 10};

static struct train_staged start(int rollbacks)
{
    struct train_staged s;
    struct train_staged_options o = options;
    o.rollbacks = rollbacks;
    train_staged_init(&s, &o, 3, (const double[]){1, 1, 1});
    return s;
}

static void quiet_courses_change_nothing(void **state)
{
    (void)state;
    struct train_staged s = start(1);
    for (int e = 0; e < 10; e++) {
        struct train_staged_verdict v =
            train_staged_step(&s, (const double[]){1.1 + .08 * e, 1.9, 50 + e});
        assert_false(v.any);
        assert_false(v.rollback);
        for (int i = 0; i < 3; i++)
            assert_close(s.scale[i], 1);
    }
}

static void a_trap_slows_shallow_stages(void **state)
{
    (void)state;
    struct train_staged s = start(0);
    struct train_staged_verdict v = train_staged_step(&s, (const double[]){2.5, 1.5, 9});
    assert_true(v.signal[0] && !v.signal[1] && !v.signal[2]);
    assert_close(s.scale[0], .1);
    assert_close(s.scale[1], 1);
    assert_close(s.scale[2], 1);
    train_staged_step(&s, (const double[]){2.5, 1.5, 9});
    train_staged_step(&s, (const double[]){2.5, 1.5, 9});
    assert_close(s.scale[0], .01); /* not below the floor */
    train_staged_step(&s, (const double[]){1.9, 1.5, 9});
    assert_close(s.scale[0], .1);
    train_staged_step(&s, (const double[]){1.9, 1.5, 9});
    train_staged_step(&s, (const double[]){1.9, 1.5, 9});
    assert_close(s.scale[0], 1); /* not above 1 */
}

static void shallow_is_never_faster_than_deep(void **state)
{
    (void)state;
    struct train_staged s = start(0);
    struct train_staged_verdict v = train_staged_step(&s, (const double[]){1, 3, 9});
    assert_true(!v.signal[0] && v.signal[1]);
    assert_close(s.scale[0], .1);
    assert_close(s.scale[1], .1);
    assert_close(s.scale[2], 1);
}

static void a_new_signal_is_undone_while_it_may(void **state)
{
    (void)state;
    struct train_staged s = start(2);
    assert_true(train_staged_step(&s, (const double[]){3, 1, 1}).rollback);
    assert_int_equal(s.rollbacks_left, 1);
    /* The epoch was undone, so the next signal is new again. */
    assert_true(train_staged_step(&s, (const double[]){3, 1, 1}).rollback);
    struct train_staged_verdict v = train_staged_step(&s, (const double[]){3, 1, 1});
    assert_true(v.any && !v.rollback);
    assert_int_equal(s.rollbacks_left, 0);
}

static void no_number_is_a_signal(void **state)
{
    (void)state;
    struct train_staged s = start(0);
    assert_true(train_staged_step(&s, (const double[]){NAN, 1, 1}).signal[0]);
    assert_true(train_staged_step(&s, (const double[]){INFINITY, 1, 1}).signal[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_known_answers),
        cmocka_unit_test(extremes),
        cmocka_unit_test(does_not_see_scale_shift_or_order),
        cmocka_unit_test(quiet_courses_change_nothing),
        cmocka_unit_test(a_trap_slows_shallow_stages),
        cmocka_unit_test(shallow_is_never_faster_than_deep),
        cmocka_unit_test(a_new_signal_is_undone_while_it_may),
        cmocka_unit_test(no_number_is_a_signal),
    };
    return cmocka_run_group_tests_name("acm", tests, NULL, NULL);
}
