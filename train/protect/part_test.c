#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

enum { SIDE = 8, CLASSES = 3, EACH = 10, N = CLASSES * EACH, BYTES = SIDE * SIDE * 3 };

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("src", CLASSES, EACH, SIDE, 3, 1);
    return 0;
}

static struct train_protect_options part(const char *dst, double fraction, const char *classes)
{
    struct train_protect_options o = options("lsp", "src", dst);
    set(&o, "patch", "4");
    o.fraction = fraction;
    o.classes = classes;
    return o;
}

/* Which images of a tree differ from their source; what differs is as in `whole`, where all do. */
static void read_changed(const char *dir, bool changed[N])
{
    struct train_set *a = open_set("src"), *b = open_set(dir), *whole = open_set("whole");
    assert_int_equal(train_set_info(b).samples, N);
    for (int i = 0; i < N; i++) {
        uint8_t x[BYTES], y[BYTES], all[BYTES];
        assert_int_equal(train_set_pixels(a, i, x, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(b, i, y, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(whole, i, all, NULL), STATUS_OK);
        changed[i] = memcmp(x, y, BYTES) != 0;
        assert_memory_equal(y, changed[i] ? all : x, BYTES);
    }
    train_set_free(a);
    train_set_free(b);
    train_set_free(whole);
}

static void assert_recorded(const char *dir, const bool changed[N])
{
    json_t *r = read_record(dir), *part = json_object_get(r, "part");
    json_t *paths = json_object_get(part, "paths");
    struct train_set *s = open_set(dir);
    size_t at = 0;
    for (int i = 0; i < N; i++)
        if (changed[i])
            assert_string_equal(json_string_value(json_array_get(paths, at++)),
                                train_set_path(s, i));
    assert_int_equal(json_array_size(paths), at);
    assert_int_equal(json_integer_value(json_object_get(part, "images")), at);
    assert_int_equal(json_integer_value(json_object_get(r, "images")), N);
    train_set_free(s);
    json_decref(r);
}

static void a_fraction_of_each_class_is_protected(void **state)
{
    (void)state;
    static const double fraction[] = {.04, .3, .7};
    static const int want[] = {1, 3, 7}; /* of ten; one at least */
    bool before[N] = {false};
    struct train_protect_result all = protect_ok(part("whole", 0, NULL));
    assert_int_equal(all.protected_images, N);
    for (size_t f = 0; f < ARRAY_LEN(fraction); f++) {
        char dir[16];
        bool changed[N];
        snprintf(dir, sizeof dir, "part%zu", f);
        struct train_protect_result r = protect_ok(part(dir, fraction[f], NULL));
        assert_int_equal(r.images, N);
        assert_int_equal(r.protected_images, CLASSES * want[f]);
        read_changed(dir, changed);
        assert_recorded(dir, changed);
        for (int k = 0; k < CLASSES; k++) {
            int n = 0;
            for (int i = 0; i < EACH; i++)
                n += changed[k * EACH + i];
            assert_int_equal(n, want[f]);
        }
        for (int i = 0; i < N; i++) /* a larger fraction holds the smaller */
            assert_true(changed[i] || !before[i]);
        memcpy(before, changed, sizeof before);
        /* the strength is that of what is protected */
        assert_true(r.mean_l2 > all.mean_l2 * .99 && r.mean_l2 < all.mean_l2 * 1.01);
    }
}

static void only_the_classes_that_are_named(void **state)
{
    (void)state;
    bool changed[N];
    protect_ok(part("ac", 0, "c,a"));
    read_changed("ac", changed);
    assert_recorded("ac", changed);
    for (int i = 0; i < N; i++)
        assert_int_equal(changed[i], i / EACH != 1);
    protect_ok(part("half-b", .5, "b"));
    read_changed("half-b", changed);
    int n = 0;
    for (int i = 0; i < N; i++)
        n += changed[i];
    assert_int_equal(n, EACH / 2);
    assert_int_equal(protect_fails(part("none", 0, "a,d"), "has no class \"d\""), STATUS_INVALID);
    assert_int_equal(protect_fails(part("none", 0, ""), "it has a, b, c"), STATUS_INVALID);
    assert_int_equal(protect_fails(part("none", 1.5, NULL), "at most 1"), STATUS_INVALID);
    assert_int_equal(protect_fails(part("none", -1, NULL), "above 0"), STATUS_INVALID);
    assert_false(toy_there("none"));
}

/* The parts of a mixture: each image is in one of them. */
static void parts_that_follow_each_other_share_no_image(void **state)
{
    (void)state;
    static const struct {
        double after, fraction;
        int each;
    } parts[] = {{0, .34, 3}, {.34, .31, 4}, {.65, 1, 3}}; /* .34 + .31 is a little less than .65 */
    int count[N] = {0};
    for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
        char dir[16];
        bool changed[N];
        snprintf(dir, sizeof dir, "follow%zu", p);
        struct train_protect_options o = part(dir, parts[p].fraction, NULL);
        o.after = parts[p].after;
        assert_int_equal(protect_ok(o).protected_images, CLASSES * parts[p].each);
        read_changed(dir, changed);
        assert_recorded(dir, changed);
        for (int i = 0; i < N; i++)
            count[i] += changed[i];
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(count[i], 1);
    struct train_protect_options o = part("none", .5, NULL);
    o.after = 1;
    assert_int_equal(protect_fails(o, "--after must be 0 or more"), STATUS_INVALID);
    o.after = .96;
    assert_int_equal(protect_fails(o, "no image is left"), STATUS_INVALID);
    assert_false(toy_there("none"));
}

/* A perturbation by samples is zero for the others, so that applying it does the same again. */
static void the_perturbation_is_of_that_part(void **state)
{
    (void)state;
    struct train_protect_options o = options("apply", "src", "applied");
    o.delta_file = toy_path("half-b.perturbation.safetensors");
    o.quantise = TRAIN_TRUNCATE;
    protect_ok(o);
    toy_assert_same_file(toy_path("half-b/b/003.png"), toy_path("applied/b/003.png"));
    bool changed[N], again[N];
    read_changed("half-b", changed);
    read_changed("applied", again);
    assert_memory_equal(changed, again, sizeof changed);
}

/* Of a method that makes new pixels, and of all images, for which nothing is recorded. */
static void any_method_can_do_it(void **state)
{
    (void)state;
    struct train_protect_options o = options("ops", "src", "ops");
    o.fraction = .5;
    assert_int_equal(protect_ok(o).protected_images, N / 2);
    struct train_set *a = open_set("src"), *b = open_set("ops");
    int same = 0;
    for (int i = 0; i < N; i++) {
        uint8_t x[BYTES], y[BYTES];
        assert_int_equal(train_set_pixels(a, i, x, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(b, i, y, NULL), STATUS_OK);
        same += memcmp(x, y, BYTES) == 0;
    }
    assert_int_equal(same, N / 2);
    train_set_free(a);
    train_set_free(b);
    json_t *r = read_record("whole");
    assert_null(json_object_get(r, "part"));
    json_decref(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fraction_of_each_class_is_protected),
        cmocka_unit_test(only_the_classes_that_are_named),
        cmocka_unit_test(parts_that_follow_each_other_share_no_image),
        cmocka_unit_test(the_perturbation_is_of_that_part),
        cmocka_unit_test(any_method_can_do_it),
    };
    return cmocka_run_group_tests_name("part", tests, make_data, toy_teardown);
}
