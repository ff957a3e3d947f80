#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>

enum { SIDE = 9, CLASSES = 3, EACH = 12, VALUES = SIDE * SIDE, N = CLASSES * EACH };

static struct train_protect_options tap(const char *dst, const char *restarts)
{
    struct train_protect_options o = options("tap", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "10"); /* does not divide 36 */
    set(&o, "epochs", "20");
    set(&o, "steps", "60");
    set(&o, "restarts", restarts);
    o.eps = 48;
    o.threads = 1;
    return o;
}

static int make_data(void **state)
{
    if (band_setup(state, CLASSES, EACH, SIDE))
        return -1;
    protect_ok(tap("tap", "1"));
    return 0;
}

static void it_is_bounded_and_stays_an_image(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch;
    float *d = read_delta("tap.perturbation.safetensors", &s, &patch);
    struct train_set *set = open_set("src");
    assert_true(nn_shape_equal(s, nn_shape4(N, SIDE, SIDE, 1)));
    for (int i = 0; i < N; i++) {
        uint8_t x[VALUES];
        float most = 0;
        assert_int_equal(train_set_pixels(set, i, x, NULL), STATUS_OK);
        for (int p = 0; p < VALUES; p++) {
            float v = d[i * VALUES + p], to = (float)x[p] / 255 + v;
            most = fmaxf(most, fabsf(v));
            assert_true(to >= -1e-6f && to <= 1 + 1e-6f);
        }
        assert_true(most > 0 && most <= 48.0f / 255 + 1e-6f);
    }
    train_set_free(set);
    mem_free(d);
}

/* A surrogate that knows every class takes every image for one of the next. */
static void images_pass_for_the_next_class(void **state)
{
    (void)state;
    double learned = record_number("tap", "surrogate_error"),
           missed = record_number("tap", "target_error");
    if (!(learned <= .05 && missed <= .05))
        fail_msg("surrogate error %g, %g not taken for the next class", learned, missed);
}

/* The same without the surrogate's word for it: in the mean over a class what is added is brighter
   where the next class is bright than where its own is. */
static void what_is_added_looks_like_the_next_class(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch;
    float *d = read_delta("tap.perturbation.safetensors", &s, &patch);
    for (int k = 0; k < CLASSES; k++) {
        double mean[CLASSES] = {0};
        for (int p = 0; p < EACH * VALUES; p++)
            for (int c = 0; c < CLASSES; c++)
                if (in_band(p % VALUES / SIDE, SIDE, CLASSES, c))
                    mean[c] += (double)d[k * EACH * VALUES + p] / (EACH * VALUES / CLASSES);
        if (!(mean[(k + 1) % CLASSES] > mean[k]))
            fail_msg("class %d: %g where the next is, %g where it is itself", k,
                     mean[(k + 1) % CLASSES], mean[k]);
    }
    mem_free(d);
}

/* The first of several restarts is the only one of one. */
static void of_several_restarts_the_best_counts(void **state)
{
    (void)state;
    protect_ok(tap("three", "3"));
    double one = record_number("tap", "target_loss"), three = record_number("three", "target_loss");
    if (!(three <= one))
        fail_msg("loss %g, and %g of one restart", three, one);
    assert_int_equal((int)record_number("three", "restarts"), 3);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(tap("tap", "1"), "tap");
}

static void an_unknown_surrogate_is_refused(void **state)
{
    (void)state;
    struct train_protect_options o = tap("none", "1");
    set(&o, "surrogate", "lenet");
    protect_fails(o, "resnet8");
}

static void short_memory_leaves_nothing(void **state)
{
    (void)state;
    struct train_protect_options o = tap("short/out", "2");
    set(&o, "epochs", "1");
    set(&o, "steps", "1");
    assert_short_memory(o, "src", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_bounded_and_stays_an_image),
        cmocka_unit_test(images_pass_for_the_next_class),
        cmocka_unit_test(what_is_added_looks_like_the_next_class),
        cmocka_unit_test(of_several_restarts_the_best_counts),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(an_unknown_surrogate_is_refused),
        cmocka_unit_test(short_memory_leaves_nothing),
    };
    return cmocka_run_group_tests_name("tap", tests, make_data, toy_teardown);
}
