#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "audit/battery.h"
#include "bench/fixture.h"

/* ---- what accuracies come to ---- */

static struct train_battery_result trials(double as_it_is, double clean, double one, double other)
{
    struct train_battery_result r = {.classes = 10, .best = -1};
    const struct train_battery_trial t[] = {
        {.way = TRAIN_BATTERY_AS_IT_IS, .accuracy = as_it_is, .purify_s = NAN, .tune_s = NAN},
        {.way = TRAIN_BATTERY_PURIFIED, .accuracy = one, .purify_s = 10, .tune_s = NAN},
        {.way = TRAIN_BATTERY_TUNED, .accuracy = other, .purify_s = 10, .tune_s = 90},
        {.way = TRAIN_BATTERY_CLEAN, .accuracy = clean, .purify_s = NAN, .tune_s = NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        if (!isnan(t[i].accuracy)) {
            r.trial[r.trials] = t[i];
            r.trial[r.trials++].error = .01;
        }
    battery_judge(&r);
    return r;
}

static void accuracies_make_a_verdict(void **state)
{
    (void)state;
    static const struct {
        double as_it_is, clean, one, other;
        enum train_battery_verdict verdict;
        int best;
    } row[] = {
        {.2, .7, .68, .69, TRAIN_BATTERY_REMOVED, 1}, /* the cheaper of two that do */
        {.2, .7, .60, .69, TRAIN_BATTERY_REMOVED, 2}, {.2, .7, .30, .50, TRAIN_BATTERY_PARTLY, 2},
        {.2, .7, .40, .30, TRAIN_BATTERY_HOLDS, 1},   {.66, .7, .30, .50, TRAIN_BATTERY_NOTHING, 2},
        {.7, .6, .30, .50, TRAIN_BATTERY_NOTHING, 2}, {.2, NAN, .30, .21, TRAIN_BATTERY_GAINS, 1},
        {.2, NAN, .22, .1, TRAIN_BATTERY_UNKNOWN, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct train_battery_result r =
            trials(row[i].as_it_is, row[i].clean, row[i].one, row[i].other);
        if (r.verdict != row[i].verdict || r.best != row[i].best)
            fail_msg("row %zu: %s, best %d", i, train_battery_verdicts[r.verdict], r.best);
    }
    struct train_battery_result r = trials(.2, .7, .60, .3);
    assert_true(fabs(r.taken - .5) < 1e-9 && fabs(r.trial[1].back - .8) < 1e-9);
    assert_true(fabs(r.strength - .5 / .6) < 1e-9);
    assert_true(isnan(r.trial[0].back) && isnan(r.trial[3].back));
    assert_true(isnan(trials(.2, NAN, .6, .3).trial[1].back));
}

/* ---- what is run ---- */

enum { EACH = 10, CLASSES = 2 };

static int make_trees(void **state)
{
    if (fixture_setup(state))
        return -1;
    toy_tree("clean", CLASSES, EACH, 8, 3, 1);
    toy_tree("protected", CLASSES, EACH, 8, 3, 2);
    toy_write("other.ini", "[purify]\nchain = jpeg\n", 22);
    return 0;
}

static struct train_battery_options battery(const char *out)
{
    static char profiles[1100];
    snprintf(profiles, sizeof profiles, "%s,%s", toy_path("own.ini"), toy_path("other.ini"));
    return (struct train_battery_options){.dir = toy_path("protected"),
                                          .clean_dir = toy_path("clean"),
                                          .out_dir = toy_path(out),
                                          .profiles = profiles,
                                          .arch = "resnet8",
                                          .program = toy_path("program"),
                                          .threads = 1,
                                          .quiet = true};
}

static struct train_battery_result battery_ok(struct train_battery_options o)
{
    struct train_battery_result r;
    struct errmsg e = {""};
    toy_good(train_battery(&o, &r, &e), &e);
    return r;
}

static int count(const char *pattern)
{
    char command[700], text[32] = "";
    snprintf(command, sizeof command, "cd '%s' && ls -d %s 2>/dev/null | wc -l", toy_root, pattern);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    assert_int_equal(pclose(f), 0);
    return (int)strtol(text, NULL, 10);
}

/* Nothing is both: of ten images of a class two are tested on, and eight are there to train on, both
   ways. */
static void what_is_held_out_is_not_trained_on(void **state)
{
    (void)state;
    fixture_calls(NULL);
    struct train_battery_result r = battery_ok(battery("held"));
    assert_true(r.held_out);
    assert_int_equal(r.images, CLASSES * 8);
    assert_int_equal(r.test_images, CLASSES * 2);
    assert_int_equal(count("held/images/test/*/*"), CLASSES * 2);
    assert_int_equal(count("held/images/clean/*/*"), CLASSES * 8);
    assert_int_equal(count("held/images/protected/*/*"), CLASSES * 8);
    for (int i = 0; i < EACH; i++) {
        char test[64], clean[64], protected[64];
        snprintf(test, sizeof test, "held/images/test/a/%03d.png", i);
        snprintf(clean, sizeof clean, "held/images/clean/a/%03d.png", i);
        snprintf(protected, sizeof protected, "held/images/protected/a/%03d.png", i);
        assert_true(count(test) != count(clean) && count(clean) == count(protected));
    }
    assert_int_equal(fixture_calls("train "), 4); /* as it is, clean, two profiles */
    assert_int_equal(fixture_calls("purify "), 2);
    battery_ok(battery("held"));
    assert_int_equal(fixture_calls("train "), 4); /* nothing is measured twice */
}

static void each_trial_has_its_figures(void **state)
{
    (void)state;
    struct train_battery_options o = battery("seeds");
    o.test_dir = toy_path("test");
    o.seeds = 3;
    fixture_calls(NULL);
    struct train_battery_result r = battery_ok(o);
    assert_false(r.held_out);
    assert_int_equal(r.images, CLASSES * EACH);
    assert_int_equal(r.trials, 4);
    assert_int_equal(fixture_calls("train "), 3 * r.trials);
    for (int i = 0; i < r.trials; i++) {
        const struct train_battery_trial *t = &r.trial[i];
        assert_int_equal(t->way, i < 2 ? i : TRAIN_BATTERY_PURIFIED);
        assert_int_equal(t->seeds, 3);
        assert_true(t->accuracy == .5); /* as the fixture says */
        assert_true(fabs(t->error - sqrt(.25 / r.test_images)) < 1e-9);
        assert_true(isnan(t->purify_s) == (i < 2) && isnan(t->tune_s));
    }
    assert_string_equal(r.trial[3].profile, toy_path("other.ini"));
    assert_int_equal(r.verdict, TRAIN_BATTERY_NOTHING);
    o = battery("alone");
    o.clean_dir = NULL;
    o.test_dir = toy_path("test");
    r = battery_ok(o);
    assert_int_equal(r.trials, 3);
    assert_true(isnan(r.taken));
    assert_int_equal(r.verdict, TRAIN_BATTERY_UNKNOWN);
}

static void battery_fails(struct train_battery_options o, const char *says)
{
    struct train_battery_result r;
    struct errmsg e = {""};
    toy_bad(train_battery(&o, &r, &e), &e, says);
}

static void what_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct train_battery_options o = battery("bad");
    o.pairs = 4;
    battery_fails(o, "none of these has a restorer");
    o.clean_dir = NULL;
    battery_fails(o, "needs clean images to test on");
    o.test_dir = toy_path("test");
    battery_fails(o, "--clean DIR");
    o = battery("bad");
    o.arch = "lenet";
    battery_fails(o, "no network is called \"lenet\"");
    o = battery("bad");
    o.profiles = "absent.ini";
    battery_fails(o, "there is no profile absent.ini");
    o.profiles = "a;b";
    battery_fails(o, "cannot be the name of a profile");
    o = battery("bad");
    o.clean_dir = toy_path("data"); /* three of each */
    o.dir = toy_path("data");
    battery_fails(o, "too few to hold some out");
    toy_tree("others", 3, 1, 8, 3, 3);
    o = battery("bad");
    o.test_dir = toy_path("others");
    battery_fails(o, "do not have the same classes");
}

/* Nothing is made in what is audited, and a failed part is said. */
/* A folder with something in it that no battery made is left as it is. */
static void a_folder_of_something_else_is_refused(void **state)
{
    (void)state;
    toy_mkdir("mine");
    toy_mkdir("mine/images");
    toy_write("mine/images/a", "x", 1);
    toy_write("mine/clean.ini", "x", 1);
    battery_fails(battery("mine"), "is not empty, and no battery was begun there");
    assert_true(toy_there("mine/images/a"));
    assert_int_equal(count("mine/*"), 2);
}

static void images_are_not_written_to(void **state)
{
    (void)state;
    battery_fails(battery("protected/out"), "which is never written");
    battery_fails(battery("clean/more/out"), "which is never written");
    assert_false(toy_there("protected/out") || toy_there("clean/more"));
    toy_write("fail", "purify*", 7);
    struct train_battery_options o = battery("unlucky");
    battery_fails(o, "2 of 3 trainings failed (the same command tries again): ");
    assert_int_equal(unlink(toy_path("fail")), 0);
    assert_int_equal(battery_ok(o).trials, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracies_make_a_verdict),
        cmocka_unit_test(what_is_held_out_is_not_trained_on),
        cmocka_unit_test(each_trial_has_its_figures),
        cmocka_unit_test(what_contradicts_itself_is_refused),
        cmocka_unit_test(a_folder_of_something_else_is_refused),
        cmocka_unit_test(images_are_not_written_to),
    };
    return cmocka_run_group_tests_name("audit battery", tests, make_trees, toy_teardown);
}
