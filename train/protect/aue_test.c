#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

enum { SIDE = 8, CLASSES = 3, EACH = 30, N = CLASSES * EACH };

/* Images that say nothing about their class: only the perturbation can lower the error. */
static int make_data(void **state)
{
    return noise_setup(state, CLASSES, EACH, SIDE);
}

static struct train_protect_options aue(const char *dst)
{
    struct train_protect_options o = options("aue", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "8"); /* does not divide 90 */
    set(&o, "rounds", "5");
    set(&o, "steps", "10");
    o.eps = 32;
    o.threads = 1;
    return o;
}

/* Five epochs of images that are cut, mirrored, brighter and darker are not enough to learn noise by
   heart, as next to no perturbation shows: that the surrogate is right is the perturbation's doing. */
static void its_noise_leads_the_surrogate(void **state)
{
    (void)state;
    struct train_protect_result r = protect_leads(aue("aue"), .15, .3);
    assert_int_equal(r.rounds, 5);
    assert_true(record_number("aue", "strength") == .6);
}

static void it_is_bounded_and_each_image_has_its_own(void **state)
{
    (void)state;
    assert_bounded("aue.perturbation.safetensors", N, SIDE, 32);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(aue("aue"), "aue");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_noise_leads_the_surrogate),
        cmocka_unit_test(it_is_bounded_and_each_image_has_its_own),
        cmocka_unit_test(it_repeats_itself),
    };
    return cmocka_run_group_tests_name("aue", tests, make_data, toy_teardown);
}
