#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/ridge.h"
#include "base/seam.h"

#include <math.h>

enum { N = 120, CLASSES = 3, MOST = 40 };

struct made {
    float feature[N * MOST];
    int label[N];
    struct ridge_data d;
};

/* Normal noise; `shift` is added to the feature of the number of the class. */
static void make(struct made *m, size_t size, float shift, uint64_t seed)
{
    nn_rng_normal(nn_rng(seed, 1), 0, m->feature, N * size);
    for (int i = 0; i < N; i++) {
        m->label[i] = i % CLASSES;
        m->feature[(size_t)i * size + (size_t)m->label[i]] += shift;
    }
    m->d = (struct ridge_data){m->feature, N, size, m->label, CLASSES};
}

static struct ridge_result read_ok(struct made *m, uint64_t seed)
{
    struct ridge_result r;
    assert_int_equal(ridge_read(&m->d, nn_rng(seed, 2), 3, &r), STATUS_OK);
    return r;
}

static void what_says_the_class_is_read(void **state)
{
    (void)state;
    static struct made m;
    make(&m, 10, 8, 1);
    struct ridge_result r = read_ok(&m, 1);
    assert_true(r.accuracy > .99 && r.deviation < .01);
    assert_int_equal(r.held_out, N / 2);
}

/* Neither by heart, with more features than samples, nor by the order of the samples. */
static void noise_is_not(void **state)
{
    (void)state;
    static struct made m;
    double sum = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        make(&m, MOST, 0, seed);
        sum += read_ok(&m, seed).accuracy / 20;
    }
    if (fabs(sum - 1. / CLASSES) > .04)
        fail_msg("%g is read of noise, and chance is %g", sum, 1. / CLASSES);
}

/* As good as it can be: of three normal clouds the nearest centre is right with a known probability. */
static void a_weak_sign_is_read_as_well_as_it_can_be(void **state)
{
    (void)state;
    static struct made m;
    double sum = 0, best = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        make(&m, CLASSES, 2, seed);
        for (int i = 0; i < N; i++) {
            const float *f = m.feature + i * CLASSES;
            int most = f[1] > f[0] ? 1 : 0;
            most = f[2] > f[most] ? 2 : most;
            best += most == m.label[i] ? 1. / (20 * N) : 0;
        }
        sum += read_ok(&m, seed).accuracy / 20;
    }
    if (!(sum > best - .06 && sum <= best + .03))
        fail_msg("%g is read, and the best rule reads %g", sum, best);
}

static void units_and_constants_do_not_matter(void **state)
{
    (void)state;
    static struct made m;
    make(&m, 6, 2, 3);
    struct ridge_result plain = read_ok(&m, 5), scaled;
    make(&m, 6, 2, 3);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 6; k++)
            m.feature[i * 6 + k] = m.feature[i * 6 + k] * 1000 + 77;
    scaled = read_ok(&m, 5);
    assert_true(fabs(plain.accuracy - scaled.accuracy) < .02);
    make(&m, 6, 2, 3);
    for (int i = 0; i < N; i++)
        m.feature[i * 6 + 5] = 42; /* said nothing before, either */
    assert_true(fabs(read_ok(&m, 5).accuracy - plain.accuracy) < .1);
    make(&m, 6, 2, 3);
    struct ridge_result again = read_ok(&m, 5);
    assert_true(again.accuracy == plain.accuracy && again.deviation == plain.deviation);
}

static void no_memory_is_said(void **state)
{
    (void)state;
    static struct made m;
    struct ridge_result r;
    status st = STATUS_NOMEM;
    for (int n = 1; n < 20 && st == STATUS_NOMEM; n++) {
        make(&m, 4, 2, 3);
        fault_set(FAULT_MEM, (unsigned long)n, 0, 0);
        st = ridge_read(&m.d, nn_rng(1, 1), 1, &r);
        fault_clear();
    }
    assert_int_equal(st, STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_says_the_class_is_read),
        cmocka_unit_test(noise_is_not),
        cmocka_unit_test(a_weak_sign_is_read_as_well_as_it_can_be),
        cmocka_unit_test(units_and_constants_do_not_matter),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests_name("ridge", tests, NULL, NULL);
}
