#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"
#include "ud.h"

#include <math.h>

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want))))
        fail_msg("%.15g, not %.15g", got, want);
}

static double threshold(const double *v, int n)
{
    double sorted[16];
    memcpy(sorted, v, (size_t)n * sizeof *v);
    return train_ud_threshold(sorted, n);
}

static void the_threshold_lies_between_the_centres_of_two_clusters(void **state)
{
    (void)state;
    assert_near(threshold((double[]){5, 1}, 2), 3);
    assert_near(threshold((double[]){9, 1, 2, 11, 3}, 5), (2. + 10) / 2);
    /* Of the lone 20, not of the middle or of the widest gap but one. */
    assert_near(threshold((double[]){20, 0, 1, 2, 3, 7}, 6), (13. / 5 + 20) / 2);
    /* Negative values are values: {-4,-3}, {0,1}. */
    assert_near(threshold((double[]){1, -3, 0, -4}, 4), (-3.5 + .5) / 2);
    assert_near(threshold((double[]){.25, .25, .25}, 3), .25);
}

/* The same by trying every division into two, in order or not. */
static void no_other_division_is_better(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    for (uint64_t k = 0; k < 50; k++) {
        double v[COUNT], best = INFINITY, want = NAN;
        for (int i = 0; i < COUNT; i++)
            v[i] = nn_rng_uniform(nn_rng(3, k), (uint64_t)i) * (i % 3 ? 1 : 4);
        for (unsigned high = 1; high + 1 < 1u << COUNT; high++) {
            double n[2] = {0, 0}, sum[2] = {0, 0}, within = 0;
            for (int i = 0; i < COUNT; i++) {
                n[high >> i & 1]++;
                sum[high >> i & 1] += v[i];
            }
            for (int i = 0; i < COUNT; i++)
                within += pow(v[i] - sum[high >> i & 1] / n[high >> i & 1], 2);
            if (within < best) {
                best = within;
                want = (sum[0] / n[0] + sum[1] / n[1]) / 2;
            }
        }
        assert_near(threshold(v, COUNT), want);
    }
}

/* ---- two logs ---- */

static void write_log(const char *run, const char *text)
{
    char name[64];
    toy_mkdir(run);
    snprintf(name, sizeof name, "%s/log.jsonl", run);
    toy_write(name, text, strlen(text));
}

#define CLEAN                                                                                      \
    "{\"epoch\":0,\"acm\":[1]}\n"                                                                  \
    "{\"epoch\":1,\"sal\":{\"a\":1,\"b\":2,\"c\":9}}\n"                                            \
    "{\"epoch\":2,\"sal\":{\"a\":0.5,\"b\":8,\"c\":7.5}}\n"

static void the_distance_of_known_logs(void **state)
{
    (void)state;
    /* Centres 1.5 and 9, .5 and 7.75: thresholds 5.25 and 4.125, their mean 4.6875; above it are 1
       layer and 2. */
    write_log("clean", CLEAN);
    write_log("other", "{\"epoch\":1,\"sal\":{\"a\":4.6,\"b\":4.7,\"c\":0}}\n"
                       "{\"epoch\":2,\"sal\":{\"a\":0,\"b\":0,\"c\":-9}}");
    struct train_ud u;
    struct errmsg e = {""};
    toy_good(train_ud(toy_path("clean"), toy_path("other"), &u, &e), &e);
    assert_int_equal(u.layers, 3);
    assert_int_equal(u.epochs, 2);
    assert_near(u.threshold, 4.6875);
    assert_near(u.clean_count, 1.5);
    assert_near(u.count, .5);
    assert_near(u.distance, 1. / 3);
    toy_good(train_ud(toy_path("clean"), toy_path("clean"), &u, &e), &e);
    assert_near(u.distance, 1);
    /* All layers alike: none is above, and nothing can be said. */
    write_log("flat", "{\"sal\":{\"a\":2,\"b\":2,\"c\":2}}\n{\"sal\":{\"a\":2,\"b\":2,\"c\":2}}\n");
    toy_good(train_ud(toy_path("flat"), toy_path("clean"), &u, &e), &e);
    assert_true(isnan(u.distance));
}

static void what_cannot_be_compared_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *log;
        status st;
        const char *says;
    } bad[] = {
        {"", STATUS_NOT_FOUND, "no SAL in its log (relearn train --sal)"},
        {"{\"epoch\":1}\n", STATUS_NOT_FOUND, "no SAL in its log"},
        {"{\"epoch\":1,\n", STATUS_CORRUPT, "line 1"},
        {"{\"sal\":{\"a\":1,\"b\":2,\"c\":3}}\nnonsense\n", STATUS_CORRUPT, "line 2"},
        {"{\"sal\":{\"a\":1,\"b\":2,\"c\":null}}\n", STATUS_CORRUPT, "line 1"},
        {"{\"sal\":[1,2,3]}\n", STATUS_INVALID, "0 layer"},
        {"{\"sal\":{\"a\":1,\"b\":2,\"c\":3}}\n{\"sal\":{\"a\":1,\"b\":2}}\n", STATUS_CORRUPT,
         "line 2"},
        {"{\"sal\":{\"a\":1}}\n", STATUS_INVALID, "1 layer"},
        {"{\"sal\":{\"a\":1,\"b\":2,\"c\":3}}\n", STATUS_INVALID, "of 2 epochs, that of"},
        {"{\"sal\":{\"a\":1,\"b\":2,\"d\":3}}\n{\"sal\":{\"a\":1,\"b\":2,\"d\":3}}\n",
         STATUS_INVALID, "different networks"},
    };
    struct train_ud u = {.layers = 77};
    write_log("clean", CLEAN);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct errmsg e = {""};
        write_log("bad", bad[i].log);
        status st = train_ud(toy_path("clean"), toy_path("bad"), &u, &e);
        if (toy_bad(st, &e, bad[i].says) != bad[i].st)
            fail_msg("%s: %s", bad[i].log, status_text(st));
    }
    struct errmsg e = {""};
    assert_int_equal(train_ud(toy_path("nowhere"), toy_path("clean"), &u, &e), STATUS_NOT_FOUND);
    assert_int_equal(u.layers, 77);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct train_ud u;
    status st = STATUS_NOMEM;
    write_log("clean", CLEAN);
    for (unsigned long n = 1; st; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        st = train_ud(toy_path("clean"), toy_path("clean"), &u, NULL);
        fault_clear();
        assert_true(st == STATUS_NOMEM || st == STATUS_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_threshold_lies_between_the_centres_of_two_clusters),
        cmocka_unit_test(no_other_division_is_better),
        cmocka_unit_test(the_distance_of_known_logs),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("ud", tests, toy_setup, toy_teardown);
}
