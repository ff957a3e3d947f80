#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/emn.h"
#include "protect/fixture.h"
#include "protect/floats.h"

#include <dirent.h>
#include <math.h>

enum { SIDE = 8, CLASSES = 3, EACH = 8, VALUES = SIDE * SIDE };

static int make_data(void **state)
{
    return noise_setup(state, CLASSES, EACH, SIDE);
}

static struct train_protect_options emn(const char *dst)
{
    struct train_protect_options o = options("emn", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "10"); /* does not divide 24 */
    set(&o, "steps", "6");
    set(&o, "rounds", "12");
    o.threads = 1;
    return o;
}

/* ---- one step ---- */

static void a_step_is_the_published_one(void **state)
{
    (void)state;
    const float x[6] = {.5f, .5f, .5f, 0, 1, .5f}, grad[6] = {3, -1e-9f, 0, 2, -2, 1};
    float d[6] = {0, 0, .01f, 0, 0, -.03f};
    protect_emn_descend(x, grad, .008f, .03f, d, 6);
    const float first[6] = {-.008f, .008f, .01f, -.008f, .008f, -.03f};
    for (int i = 0; i < 6; i++)
        if (fabsf(d[i] - first[i]) > 1e-6f)
            fail_msg("value %d: %g, not %g", i, (double)d[i], (double)first[i]);
    /* black and white cannot go further: a step starts from the image, which was clipped */
    protect_emn_descend(x, grad, .008f, .03f, d, 6);
    const float second[6] = {-.016f, .016f, .01f, -.008f, .008f, -.03f};
    for (int i = 0; i < 6; i++)
        if (fabsf(d[i] - second[i]) > 1e-6f)
            fail_msg("then value %d: %g, not %g", i, (double)d[i], (double)second[i]);
}

/* ---- all of it ---- */

static void it_lowers_the_surrogates_error(void **state)
{
    (void)state;
    struct train_protect_result r = protect_ok(emn("emn"));
    if (!(r.surrogate_error <= .01))
        fail_msg("error %g after %d rounds", r.surrogate_error, r.rounds);
    assert_in_range(r.rounds, 1, 12);
    struct nn_shape s;
    int patch;
    float *d = read_delta("emn.perturbation.safetensors", &s, &patch);
    assert_int_equal(patch, 1);
    assert_true(nn_shape_equal(s, nn_shape4(CLASSES * EACH, SIDE, SIDE, 1)));
    for (int i = 0; i < CLASSES * EACH; i++) {
        float most = 0;
        for (int p = 0; p < VALUES; p++)
            most = fmaxf(most, fabsf(d[i * VALUES + p]));
        assert_true(most > 0 && most <= 8.0f / 255 + 1e-7f);
        for (int o = 0; o < i; o++) /* none stands for a whole class */
            assert_memory_not_equal(d + i * VALUES, d + o * VALUES, VALUES * sizeof *d);
    }
    json_t *record = read_record("emn");
    assert_int_equal(json_integer_value(json_object_get(record, "steps")), 6);
    assert_int_equal(json_integer_value(json_object_get(record, "rounds")), 12);
    assert_int_equal(json_integer_value(json_object_get(record, "rounds_run")), r.rounds);
    json_decref(record);
    mem_free(d);
}

/* After ten steps of training the surrogate knows little. That it is right about nearly all images
   is the noise's doing: steps up the loss would leave it wrong about nearly all. */
static void noise_makes_an_untrained_surrogate_right(void **state)
{
    (void)state;
    struct train_protect_options o = emn("one-round");
    set(&o, "rounds", "1");
    set(&o, "steps", "20");
    o.eps = 32;
    struct train_protect_result r = protect_ok(o);
    if (!(r.surrogate_error <= .3))
        fail_msg("error %g after one round", r.surrogate_error);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(emn("emn"), "emn");
    toy_assert_same_file(toy_path("emn/c/7.png"), toy_path("again/c/7.png"));
}

/* The same perturbation, of which only what is positive reaches the images. */
static void the_positive_half_is_the_released_data(void **state)
{
    (void)state;
    struct train_protect_options o = emn("half");
    o.quantise = TRAIN_POSITIVE_HALF;
    protect_ok(o);
    toy_assert_same_file(toy_path("emn.perturbation.safetensors"),
                         toy_path("half.perturbation.safetensors"));
    struct nn_shape s;
    int patch, negative = 0;
    float *d = read_delta("half.perturbation.safetensors", &s, &patch);
    struct train_set *a = open_set("src"), *b = open_set("half");
    for (int i = 0; i < CLASSES * EACH; i++) {
        uint8_t x[VALUES], y[VALUES];
        assert_int_equal(train_set_pixels(a, i, x, NULL), STATUS_OK);
        assert_int_equal(train_set_pixels(b, i, y, NULL), STATUS_OK);
        for (int p = 0; p < VALUES; p++) {
            float v = d[i * VALUES + p];
            negative += v < 0;
            int want = v > 0 ? (int)((float)x[p] + 255 * v) : x[p];
            assert_int_equal(y[p], want > 255 ? 255 : want);
        }
    }
    assert_true(negative > 0);
    train_set_free(a);
    train_set_free(b);
    mem_free(d);
}

/* ---- where it works ---- */

static int files_in(const char *folder)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void what_is_large_lies_in_a_nameless_file(void **state)
{
    (void)state;
    struct floats f;
    struct errmsg e = {""};
    toy_mkdir("room");
    for (size_t max = 0; max <= 4000; max += 4000) {
        toy_good(floats_init(&f, 1000, max, toy_path("room"), &e), &e);
        assert_int_equal(f.mapped, max == 0);
        for (int i = 0; i < 1000; i++)
            assert_true(f.v[i] == 0);
        f.v[999] = 1;
        assert_int_equal(files_in(toy_path("room")), 2); /* . and .. */
        floats_done(&f);
    }
    toy_bad(floats_init(&f, (size_t)1 << 57, 0, toy_path("room"), &e), &e, "no room for");
    toy_bad(floats_init(&f, SIZE_MAX / 2, 0, toy_path("room"), &e), &e, "too many");
    toy_bad(floats_init(&f, 1000, 0, toy_path("no-room"), &e), &e, "not found");
    fault_set(FAULT_MEM, 1, 0, 0);
    status st = floats_init(&f, 1000, 4000, toy_path("room"), &e);
    fault_clear();
    assert_int_equal(st, STATUS_NOMEM);
    floats_done(&f);
    assert_int_equal(files_in(toy_path("room")), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_the_published_one),
        cmocka_unit_test(it_lowers_the_surrogates_error),
        cmocka_unit_test(noise_makes_an_untrained_surrogate_right),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(the_positive_half_is_the_released_data),
        cmocka_unit_test(what_is_large_lies_in_a_nameless_file),
    };
    return cmocka_run_group_tests_name("emn", tests, make_data, toy_teardown);
}
