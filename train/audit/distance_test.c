#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

#include <glob.h>
#include <math.h>

enum { CLASSES = 2, EACH = 8 };

static int make_trees(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("clean", CLASSES, EACH, 8, 3, 1);
    toy_tree("other", CLASSES, EACH, 8, 3, 2);
    return 0;
}

static struct train_distance_options options(const char *dir, const char *out)
{
    return (struct train_distance_options){.dir = toy_path(dir),
                                           .clean_dir = toy_path("clean"),
                                           .out_dir = toy_path(out),
                                           .epochs = 2,
                                           .threads = 1,
                                           .quiet = true};
}

static struct train_distance measure(struct train_distance_options o)
{
    struct train_distance d;
    struct errmsg e = {""};
    toy_good(train_distance(&o, &d, &e), &e);
    return d;
}

static void refuses(struct train_distance_options o, const char *says)
{
    struct train_distance d;
    struct errmsg e = {""};
    assert_int_equal(toy_bad(train_distance(&o, &d, &e), &e, says), STATUS_INVALID);
}

/* The paths of what is in the scratch directory, in order; globfree. */
static glob_t found(const char *pattern, size_t count)
{
    glob_t g;
    assert_int_equal(glob(toy_path(pattern), 0, NULL, &g), 0);
    assert_int_equal(g.gl_pathc, count);
    return g;
}

static void clean_images_are_at_distance_1_of_themselves(void **state)
{
    (void)state;
    struct train_distance d = measure(options("clean", "same"));
    assert_int_equal(d.images, CLASSES * EACH);
    assert_int_equal(d.ud.layers, 10);
    assert_int_equal(d.ud.epochs, 2);
    assert_true(d.ud.threshold > 0 && d.ud.clean_count > 0);
    assert_true(d.ud.count == d.ud.clean_count && d.ud.distance == 1);
}

static void it_is_that_of_the_two_runs_which_are_kept(void **state)
{
    (void)state;
    struct train_distance d = measure(options("other", "out"));
    glob_t g = found("out/*-*", 2); /* audited, clean */
    struct train_ud u;
    struct errmsg e = {""};
    toy_good(train_ud(g.gl_pathv[1], g.gl_pathv[0], &u, &e), &e);
    assert_true(u.distance == d.ud.distance && u.threshold == d.ud.threshold);
    /* A run that was stopped goes on, one that is whole is not trained again, and nothing else changes. */
    char log[512];
    size_t n, m;
    snprintf(log, sizeof log, "%s/log.jsonl", g.gl_pathv[1]);
    void *before = toy_read(log, &n);
    struct train_distance again = measure(options("other", "out"));
    void *after = toy_read(log, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    assert_true(again.ud.distance == d.ud.distance && again.ud.count == d.ud.count);
    mem_free(before);
    mem_free(after);
    globfree(&g);
    /* Other images, and other trainings, are other runs. */
    toy_class_image("other/a/000.png", 8, 3, 1, 99);
    measure(options("other", "out"));
    g = found("out/*-*", 3);
    globfree(&g);
    struct train_distance_options o = options("other", "out");
    o.epochs = 1;
    assert_int_equal(measure(o).ud.epochs, 1);
    g = found("out/*-*", 5);
    globfree(&g);
}

static void what_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct train_distance_options o = options("other", "bad");
    o.clean_dir = NULL;
    refuses(o, "--clean DIR");
    o = options("other", "bad");
    o.epochs = -1;
    refuses(o, "below 0");
    o = options("other", "bad");
    o.arch = "lenet";
    refuses(o, "no network is called \"lenet\"");
    refuses(options("other", "other/out"), "which is never written");
    refuses(options("other", "clean/out"), "which is never written");
    assert_false(toy_there("bad") || toy_there("other/out") || toy_there("clean/out"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_images_are_at_distance_1_of_themselves),
        cmocka_unit_test(it_is_that_of_the_two_runs_which_are_kept),
        cmocka_unit_test(what_contradicts_itself_is_refused),
    };
    return cmocka_run_group_tests_name("audit distance", tests, make_trees, toy_teardown);
}
