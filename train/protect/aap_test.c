#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

enum { SIDE = 12, CLASSES = 3, EACH = 12, N = CLASSES * EACH };

static struct train_protect_options aap(const char *dst)
{
    struct train_protect_options o = options("aap", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "10"); /* does not divide 36 */
    set(&o, "epochs", "30");
    set(&o, "steps", "60");
    set(&o, "step", ".05");
    o.eps = 48;
    o.threads = 1;
    return o;
}

static int make_data(void **state)
{
    if (band_setup(state, CLASSES, EACH, SIDE))
        return -1;
    protect_ok(aap("aap"));
    return 0;
}

static void it_is_bounded_and_each_image_has_its_own(void **state)
{
    (void)state;
    assert_bounded("aap.perturbation.safetensors", N, SIDE, 48);
}

/* A surrogate that knows every class, under the augmentation, takes every image for one of the next. */
static void images_pass_for_the_next_class(void **state)
{
    (void)state;
    double learned = record_number("aap", "surrogate_error"),
           missed = record_number("aap", "target_error");
    if (!(learned <= .05 && missed <= .05))
        fail_msg("surrogate error %g, %g not taken for the next class", learned, missed);
}

static void it_repeats_itself_and_minds_its_strength(void **state)
{
    (void)state;
    assert_repeats(aap("aap"), "aap");
    struct train_protect_options o = aap("stronger");
    set(&o, "strength", ".8");
    protect_ok(o);
    assert_true(record_number("aap", "strength") == .4);
    assert_true(record_number("stronger", "strength") == .8);
    assert_true(record_number("aap", "target_loss") != record_number("stronger", "target_loss"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_bounded_and_each_image_has_its_own),
        cmocka_unit_test(images_pass_for_the_next_class),
        cmocka_unit_test(it_repeats_itself_and_minds_its_strength),
    };
    return cmocka_run_group_tests_name("aap", tests, make_data, toy_teardown);
}
