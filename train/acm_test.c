#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "recipes/staged.h"
#include "stream.h"

#include <math.h>
#include <string.h>

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

/* ---- a network that PyTorch trained: tests/torch/acm.py ---- */

enum { STAGES = 3 };
static const char *const kinds[] = {"clean", "protected"};

static struct nn_file *open_golden(void)
{
    struct nn_file *f = NULL;
    struct errmsg e = {""};
    if (nn_file_open("tests/golden/acm.safetensors", &f, &e))
        fail_msg("%s", e.text);
    return f;
}

/* A tensor of the file, for mem_free. */
static float *golden(const struct nn_file *f, const char *kind, const char *what, int *rows,
                     int *columns)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", kind, *kind ? "." : "", what);
    const struct nn_file_tensor *t = nn_file_find(f, name);
    assert_non_null(t);
    *rows = t->shape.dim[0];
    *columns = t->shape.rank > 1 ? t->shape.dim[1] : 1;
    size_t n = (size_t)*rows * (size_t)*columns;
    float *out = mem_alloc(n * sizeof *out);
    assert_int_equal(nn_file_read_f32(t, out, n), STATUS_OK);
    return out;
}

static double golden_number(const struct nn_file *f, const char *key)
{
    assert_non_null(nn_file_meta(f, key));
    return strtod(nn_file_meta(f, key), NULL);
}

/* There the scatter is counted from the distances of all pairs: no mean of a class enters. */
static void agrees_on_activations_of_a_trained_network(void **state)
{
    (void)state;
    struct nn_file *f = open_golden();
    int n, one;
    float *class = golden(f, "", "label", &n, &one);
    int32_t *label = mem_alloc((size_t)n * sizeof *label);
    for (int i = 0; i < n; i++)
        label[i] = (int32_t) class[i];
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (int s = 0; s < STAGES; s++) {
            char stage[8], key[32];
            int rows, columns;
            snprintf(stage, sizeof stage, "%d", s);
            snprintf(key, sizeof key, "%s.%d", kinds[k], s);
            float *feature = golden(f, kinds[k], stage, &rows, &columns);
            assert_int_equal(rows, n);
            double want = golden_number(f, key), got = acm(feature, label, n, columns, 4);
            if (!(fabs(got / want - 1) < 1e-9))
                fail_msg("%s: %.15g, not %.15g", key, got, want);
            mem_free(feature);
        }
    mem_free(label);
    mem_free(class);
    nn_file_close(f);
}

static void controls_a_trained_networks_course_as_written(void **state)
{
    (void)state;
    struct nn_file *f = open_golden();
    struct train_staged_options o = {.rise = golden_number(f, "rise"),
                                     .slow = golden_number(f, "slow"),
                                     .floor = golden_number(f, "floor")};
    int signals = 0, quiet = 0;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        int lines, epochs, stages;
        float *course = golden(f, kinds[k], "acm", &lines, &stages);
        float *scale = golden(f, kinds[k], "scale", &epochs, &stages);
        float *signal = golden(f, kinds[k], "signal", &epochs, &stages);
        assert_int_equal(lines, epochs + 1);
        assert_int_equal(stages, STAGES);
        struct train_staged s;
        double now[STAGES];
        for (int e = 0; e < lines; e++) {
            for (int i = 0; i < STAGES; i++)
                now[i] = course[e * STAGES + i];
            if (e == 0) {
                train_staged_init(&s, &o, STAGES, now);
                continue;
            }
            struct train_staged_verdict v = train_staged_step(&s, now);
            for (int i = 0; i < STAGES; i++) {
                int at = (e - 1) * STAGES + i;
                if (v.signal[i] != (signal[at] != 0) || fabs(s.scale[i] / scale[at] - 1) > 1e-6)
                    fail_msg("%s, epoch %d, stage %d: signal %d, factor %g, not %g", kinds[k], e, i,
                             v.signal[i], s.scale[i], (double)scale[at]);
                signals += v.signal[i];
                quiet += i < STAGES - 1 && !v.signal[i];
            }
        }
        mem_free(course);
        mem_free(scale);
        mem_free(signal);
    }
    assert_true(signals >= 4 && quiet >= 4); /* both are there to be told apart */
    nn_file_close(f);
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
    .rise = 2, .slow = .1, .floor = .01, .rollbacks = 1};

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
        cmocka_unit_test(agrees_on_activations_of_a_trained_network),
        cmocka_unit_test(controls_a_trained_networks_course_as_written),
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
