#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>

enum { SIDE = 6, CLASSES = 4, EACH = 5, CHANNELS = 3, PIXELS = SIDE * SIDE * CHANNELS };
static const int one_size[1][2] = {{SIDE, SIDE}};

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    noise_tree("src", CLASSES, EACH, one_size, 1, CHANNELS);
    return 0;
}

/* The criterion as it is published: mean over std of |colour - pixel|, in two passes. */
static double criterion(uint8_t image[EACH][PIXELS], int position, int colour)
{
    double mean = 0, var = 0;
    const int n = EACH * CHANNELS;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < EACH; i++)
            for (int c = 0; c < CHANNELS; c++) {
                double want = colour >> c & 1, x = image[i][position * CHANNELS + c] / 255.0;
                double d = fabs(want - x);
                if (pass == 0)
                    mean += d / n;
                else
                    var += (d - mean) * (d - mean) / n;
            }
    return var > 0 ? mean / sqrt(var) : mean > 0 ? INFINITY : 0;
}

/* Position * 8 + colour of the one pixel in which two images differ; a failure if it is not one. */
static int the_pixel(const uint8_t *x, const uint8_t *y)
{
    int at = -1;
    for (int p = 0; p < SIDE * SIDE; p++) {
        if (memcmp(x + p * CHANNELS, y + p * CHANNELS, CHANNELS) == 0)
            continue;
        assert_int_equal(at, -1);
        at = p * 8;
        for (int c = 0; c < CHANNELS; c++) {
            assert_true(y[p * CHANNELS + c] == 0 || y[p * CHANNELS + c] == 255);
            at += (y[p * CHANNELS + c] == 255) << c;
        }
    }
    assert_int_not_equal(at, -1);
    return at;
}

static void read_class(struct train_set *s, int k, uint8_t image[EACH][PIXELS])
{
    for (int i = 0; i < EACH; i++)
        assert_int_equal(train_set_pixels(s, k * EACH + i, image[i], NULL), STATUS_OK);
}

static void the_pixel_that_tells_most_is_overwritten(void **state)
{
    (void)state;
    struct train_protect_result r = protect_ok(options("ops", "src", "ops"));
    assert_int_equal(r.images, CLASSES * EACH);
    struct train_set *a = open_set("src"), *b = open_set("ops");
    bool used[SIDE * SIDE * 8] = {false};
    for (int k = 0; k < CLASSES; k++) {
        uint8_t clean[EACH][PIXELS], made[EACH][PIXELS];
        read_class(a, k, clean);
        read_class(b, k, made);
        int chosen = the_pixel(clean[0], made[0]);
        for (int i = 1; i < EACH; i++)
            assert_int_equal(the_pixel(clean[i], made[i]), chosen);
        double score = criterion(clean, chosen / 8, chosen % 8);
        for (int other = 0; other < SIDE * SIDE * 8; other++)
            if (!used[other] && criterion(clean, other / 8, other % 8) > score * (1 + 1e-9))
                fail_msg("class %d has %d of %g, %d has more", k, chosen, score, other);
        assert_false(used[chosen]);
        used[chosen] = true;
    }
    train_set_free(a);
    train_set_free(b);
}

static void the_record_says_which(void **state)
{
    (void)state;
    json_t *r = read_record("ops"), *list = json_object_get(r, "pixels");
    assert_int_equal(json_array_size(list), CLASSES);
    assert_null(json_object_get(r, "eps"));
    struct train_set *a = open_set("src"), *b = open_set("ops");
    for (int k = 0; k < CLASSES; k++) {
        uint8_t x[PIXELS], y[PIXELS];
        assert_int_equal(train_set_pixels(a, k * EACH, x, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(b, k * EACH, y, NULL), STATUS_OK);
        int chosen = the_pixel(x, y) / 8;
        json_t *p = json_array_get(list, (size_t)k);
        assert_int_equal(json_integer_value(json_object_get(p, "x")), chosen % SIDE);
        assert_int_equal(json_integer_value(json_object_get(p, "y")), chosen / SIDE);
        assert_int_equal(json_integer_value(json_array_get(json_object_get(p, "colour"), 1)),
                         y[chosen * CHANNELS + 1]);
    }
    train_set_free(a);
    train_set_free(b);
    json_decref(r);
    assert_false(toy_there("ops.perturbation.safetensors"));
}

/* Two classes of the same images want the same pixel; the second takes another. */
static void no_two_classes_share_a_pixel_and_colour(void **state)
{
    (void)state;
    static const char *const files[] = {"twins/a/0.png", "twins/b/0.png"};
    uint8_t pixels[PIXELS];
    for (int p = 0; p < PIXELS; p++)
        pixels[p] = (uint8_t)(100 + p % 7);
    toy_mkdir("twins/a");
    toy_mkdir("twins/b");
    for (int k = 0; k < 2; k++)
        toy_image(files[k], SIDE, SIDE, CHANNELS, pixels);
    protect_ok(options("ops", "twins", "twins-out"));
    struct train_set *s = open_set("twins-out");
    uint8_t a[PIXELS], b[PIXELS];
    assert_int_equal(train_set_pixels(s, 0, a, NULL), STATUS_OK);
    assert_int_equal(train_set_pixels(s, 1, b, NULL), STATUS_OK);
    assert_int_not_equal(the_pixel(pixels, a), the_pixel(pixels, b));
    train_set_free(s);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct train_protect_options o = options("ops", "src", "none");
    o.eps = 8;
    protect_fails(o, "--eps");
    o = options("ops", "src", "none");
    o.quantise = TRAIN_POSITIVE_HALF;
    protect_fails(o, "positive half");
    toy_tree("one", 3, 1, 2, 1, 1);
    o = options("ops", "one", "none");
    o.size = 1; /* one place, two colours, three classes */
    protect_fails(o, "too few places");
    static const int two[2][2] = {{6, 6}, {6, 7}};
    noise_tree("uneven", 2, 2, two, 2, 3);
    protect_fails(options("ops", "uneven", "none"), "--size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pixel_that_tells_most_is_overwritten),
        cmocka_unit_test(the_record_says_which),
        cmocka_unit_test(no_two_classes_share_a_pixel_and_colour),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("ops", tests, make_data, toy_teardown);
}
