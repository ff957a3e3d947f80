#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

enum { SIDE = 8, CLASSES = 3, EACH = 9, N = CLASSES * EACH };

/* Images that say nothing about their class: only the perturbation can lower the error. */
static int make_data(void **state)
{
    return noise_setup(state, CLASSES, EACH, SIDE);
}

static struct train_protect_options sem(const char *dst)
{
    struct train_protect_options o = options("sem", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "8"); /* does not divide 27 */
    set(&o, "rounds", "80");
    set(&o, "steps", "10");
    set(&o, "draws", "2");
    o.eps = 32;
    o.threads = 1;
    return o;
}

/* Eighty steps on images that are cropped, mirrored and made adversarial are not enough to learn noise
   by heart, as next to no perturbation shows: that the surrogate is right is the perturbation's doing. */
static void its_noise_leads_the_surrogate(void **state)
{
    (void)state;
    /* How many of the 27 are wrong depends a little on how a CPU's kernels round. */
    struct train_protect_result r = protect_leads(sem("sem"), .2, .25);
    assert_int_equal(r.rounds, 80);
    json_t *record = read_record("sem");
    assert_int_equal(json_integer_value(json_object_get(record, "draws")), 2);
    assert_true(json_number_value(json_object_get(record, "radius")) == 4);
    json_decref(record);
}

static void it_is_bounded_and_each_image_has_its_own(void **state)
{
    (void)state;
    assert_bounded("sem.perturbation.safetensors", N, SIDE, 32);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(sem("sem"), "sem");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_noise_leads_the_surrogate),
        cmocka_unit_test(it_is_bounded_and_each_image_has_its_own),
        cmocka_unit_test(it_repeats_itself),
    };
    return cmocka_run_group_tests_name("sem", tests, make_data, toy_teardown);
}
