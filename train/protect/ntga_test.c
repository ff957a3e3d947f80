#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>

enum { SIDE = 8, CLASSES = 3, EACH = 30, VALUES = SIDE * SIDE, N = CLASSES * EACH, EPS = 24 };

static struct train_protect_options ntga(const char *dst)
{
    struct train_protect_options o = options("ntga", "src", dst);
    set(&o, "block", "40"); /* does not divide 90 */
    set(&o, "held_out", "30");
    o.eps = EPS;
    o.threads = 1;
    return o;
}

static int make_data(void **state)
{
    if (band_setup(state, CLASSES, EACH, SIDE))
        return -1;
    protect_ok(ntga("ntga"));
    return 0;
}

/* At most EPS anywhere; returns how many values are less. */
static int assert_within(const char *name)
{
    struct nn_shape s;
    int patch, less = 0;
    float *d = read_delta(name, &s, &patch);
    assert_true(nn_shape_equal(s, nn_shape4(N, SIDE, SIDE, 1)));
    for (int i = 0; i < N * VALUES; i++) {
        assert_true(fabsf(d[i]) <= EPS / 255.0f + 1e-7f);
        less += fabsf(d[i]) < EPS / 255.0f - 1e-7f;
    }
    mem_free(d);
    return less;
}

/* One signed step of eps: nothing less is added, but where nothing changes the loss. */
static void it_adds_all_that_it_may(void **state)
{
    (void)state;
    assert_in_range(assert_within("ntga.perturbation.safetensors"), 0, N * VALUES / 100);
}

static void the_loss_of_what_is_held_out_rises(void **state)
{
    (void)state;
    double clean = record_number("ntga", "held_out_loss_clean"),
           now = record_number("ntga", "held_out_loss");
    if (!(now >= 1.1 * clean && now <= log(CLASSES)))
        fail_msg("loss %g, and %g of the protected", clean, now);
    assert_true(record_number("ntga", "held_out_error_clean") <= .1);
    assert_true(record_number("ntga", "block") == 40 && record_number("ntga", "steps") == 1);
}

/* The paper's ten steps reach at least as far as the one that its code takes. */
static void the_published_steps_are_within_the_same(void **state)
{
    (void)state;
    struct train_protect_options o = ntga("ten");
    set(&o, "steps", "10");
    protect_ok(o);
    assert_in_range(assert_within("ten.perturbation.safetensors"), 0, N * VALUES / 2);
    double one = record_number("ntga", "held_out_loss"),
           ten = record_number("ten", "held_out_loss");
    if (!(ten >= one))
        fail_msg("loss %g after one step, %g after ten", one, ten);
}

static void a_network_learns_less_from_it(void **state)
{
    (void)state;
    double clean = learned("resnet8", "src", "src", "standard"),
           from = learned("resnet8", "ntga", "src", "standard");
    if (!(clean >= .95 && from <= clean - .3))
        fail_msg("accuracy %g, and %g behind the protection", clean, from);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(ntga("ntga"), "ntga");
    assert_seed_matters(ntga("ntga"), "ntga");
}

static void what_it_cannot_do_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {{"layers", "33", "from 1 to 32"},
                                           {"block", "0", "from 1"},
                                           {"time", "-1", "from 0"},
                                           {"surrogate", "resnet8", "there are block"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct train_protect_options o = ntga("none");
        set(&o, wrong[i][0], wrong[i][1]);
        assert_int_equal(protect_fails(o, wrong[i][2]), STATUS_INVALID);
    }
    assert_false(toy_there("none"));
}

static void short_memory_leaves_nothing(void **state)
{
    (void)state;
    struct train_protect_options o = ntga("short/out");
    assert_short_memory(o, "src", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_adds_all_that_it_may),
        cmocka_unit_test(the_loss_of_what_is_held_out_rises),
        cmocka_unit_test(the_published_steps_are_within_the_same),
        cmocka_unit_test(a_network_learns_less_from_it),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(what_it_cannot_do_is_refused),
        cmocka_unit_test(short_memory_leaves_nothing),
    };
    return cmocka_run_group_tests_name("ntga", tests, make_data, toy_teardown);
}
