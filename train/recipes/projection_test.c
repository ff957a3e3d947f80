#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "recipes/projection.h"
#include "toy.h"

enum { SIDE = 12, ROW = SIDE * SIDE, CLASSES = 4, EACH = 200 };

/* What is added to all images of a class: -1 or 1 times some grey levels. */
static void delta_of(int k, float out[ROW])
{
    struct nn_rng r = nn_rng(5, (uint64_t)k);
    for (int p = 0; p < ROW; p++)
        out[p] = nn_rng_u32(r, (uint64_t)p) & 1 ? 1 : -1;
}

/* Noise that says nothing of the class, and a perturbation of `levels` that says all. */
static void write_tree(const char *name, int levels)
{
    for (int k = 0; k < CLASSES; k++) {
        char path[64];
        float delta[ROW];
        delta_of(k, delta);
        snprintf(path, sizeof path, "%s/%c", name, 'a' + k);
        toy_mkdir(path);
        for (int i = 0; i < EACH; i++) {
            uint8_t pixels[ROW];
            struct nn_rng r = nn_rng(6, (uint64_t)(k * EACH + i));
            for (int p = 0; p < ROW; p++)
                pixels[p] = (uint8_t)(80 + stream_below(nn_rng_u32(r, (uint64_t)p), 80) +
                                      levels * (int)delta[p]);
            snprintf(path, sizeof path, "%s/%c/%03d.png", name, 'a' + k, i);
            toy_image(path, SIDE, SIDE, 1, pixels);
        }
    }
}

static double length(const float *x)
{
    double sum = 0;
    for (int p = 0; p < ROW; p++)
        sum += (double)x[p] * (double)x[p];
    return sqrt(sum);
}

static const struct projection_options standard = {.epochs = 20, .batch = 16, .lr = .1f};

/* The part of the differences between classes' perturbations that stays. */
static double left_of_deltas(const struct projection *p)
{
    double left = 0, all = 0;
    for (int k = 1; k < CLASSES; k++) {
        float a[ROW], b[ROW];
        delta_of(0, a);
        delta_of(k, b);
        for (int i = 0; i < ROW; i++)
            a[i] -= b[i];
        all += pow(length(a), 2);
        projection_remove(p, a);
        left += pow(length(a), 2);
    }
    return left / all;
}

static void what_is_the_same_for_a_class_is_removed(void **state)
{
    (void)state;
    write_tree("protected", 12);
    struct train_set *s = toy_set("protected");
    struct projection p = {.n = 0}, again = {.n = 0};
    struct errmsg e = {""};
    toy_good(projection_find(s, &standard, 1, 2, &p, &e), &e);
    assert_int_equal(p.size, ROW);
    assert_in_range(p.n, CLASSES - 1, CLASSES);
    double left = left_of_deltas(&p);
    float other[ROW];
    delta_of(CLASSES, other); /* of no class */
    double before = length(other);
    projection_remove(&p, other);
    double kept = length(other) / before;
    print_message("# of the perturbation %.3f stays, of another %.3f\n", left, kept);
    if (!(left < .1 && kept > .95))
        fail_msg("%g of the perturbation stays, %g of another pattern", left, kept);
    toy_good(projection_find(s, &standard, 1, 2, &again, &e), &e);
    assert_memory_equal(p.q, again.q, (size_t)p.n * ROW * sizeof *p.q);
    projection_done(&p);
    projection_done(&again);
    train_set_free(s);
}

/* Against the definition by linear equations: of x stays what a least-squares fit by the rows
   leaves. Rows 0 to 2 are any, row 3 is a sum of them. */
static void the_rows_span_is_what_is_removed(void **state)
{
    (void)state;
    enum { ROWS = 4 };
    float row[ROWS * ROW], was[ROWS * ROW], x[ROW], removed[ROW];
    for (int i = 0; i < 3 * ROW; i++)
        row[i] = nn_rng_uniform(nn_rng(7, 0), (uint64_t)i) - .5f +
                 (i >= 2 * ROW ? 100 * row[i - ROW] : 0);
    for (int p = 0; p < ROW; p++) {
        row[3 * ROW + p] = row[p] + 2 * row[ROW + p];
        x[p] = removed[p] = nn_rng_uniform(nn_rng(7, 1), (uint64_t)p) - .5f;
    }
    memcpy(was, row, sizeof was);
    struct projection q = {row, projection_orthonormalise(row, ROWS, ROW), ROW};
    assert_int_equal(q.n, 3);
    projection_remove(&q, x);
    for (int k = 0; k < ROWS; k++) { /* what stays is orthogonal to each row */
        double sum = 0;
        for (int p = 0; p < ROW; p++)
            sum += (double)x[p] * (double)was[k * ROW + p];
        assert_true(fabs(sum) < 1e-4 * length(x) * length(was + k * ROW));
    }
    for (int p = 0; p < ROW; p++)
        removed[p] -= x[p];
    double before = length(removed);
    for (int k = 0; k < ROWS; k++) { /* and what was removed is made of them */
        float again[ROW];
        memcpy(again, was + k * ROW, sizeof again);
        projection_remove(&q, again);
        assert_true(length(again) < 1e-4 * length(was + k * ROW));
    }
    projection_remove(&q, removed);
    assert_true(length(removed) < 1e-5 * before && before > .01);
}

/* A network that read the perturbation alone reads nothing once it is out. */
static void a_run_learns_nothing_of_it(void **state)
{
    (void)state;
    struct train_options o = train_options_default();
    struct train_result with, without;
    struct errmsg e = {""};
    static const struct param_arg arg[] = {{"batch", "16"}};
    o.data_dir = o.test_dir = toy_path("protected");
    o.out_dir = toy_path("standard");
    o.arch = "resnet8";
    o.epochs = 3;
    o.batch = 16;
    o.pad = 0;
    o.flip = false;
    o.threads = 1;
    o.quiet = true;
    toy_good(train_run(&o, &without, &e), &e);
    o.out_dir = toy_path("projected");
    o.recipe = "projection";
    o.recipe_arg = arg;
    o.n_recipe_args = ARRAY_LEN(arg);
    toy_good(train_run(&o, &with, &e), &e);
    print_message("# test accuracy %.2f, with projection %.2f\n", without.test_accuracy,
                  with.test_accuracy);
    assert_true(without.test_accuracy > .9);
    assert_true(with.test_accuracy < .6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_for_a_class_is_removed),
        cmocka_unit_test(the_rows_span_is_what_is_removed),
        cmocka_unit_test(a_run_learns_nothing_of_it),
    };
    return cmocka_run_group_tests_name("projection", tests, toy_setup, toy_teardown);
}
