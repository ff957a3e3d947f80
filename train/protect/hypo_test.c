#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

enum { SIDE = 9, CLASSES = 3, EACH = 12, VALUES = SIDE * SIDE, N = CLASSES * EACH };

static struct train_protect_options hypo(const char *dst, const char *steps)
{
    struct train_protect_options o = options("hypo", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "12");
    set(&o, "epochs", "4"); /* so few that something is left to make clearer */
    set(&o, "steps", steps);
    o.eps = 24;
    o.threads = 1;
    return o;
}

static int make_data(void **state)
{
    if (band_setup(state, CLASSES, EACH, SIDE))
        return -1;
    protect_ok(hypo("hypo", "20"));
    return 0;
}

static void it_is_bounded_and_each_image_has_its_own(void **state)
{
    (void)state;
    assert_bounded("hypo.perturbation.safetensors", N, SIDE, 24);
}

/* Steps go down the loss of the images' own labels: one of them some way, many much further. */
static void the_surrogate_is_surer_of_its_own_class(void **state)
{
    (void)state;
    protect_ok(hypo("one", "1"));
    double one = record_number("one", "target_loss"), many = record_number("hypo", "target_loss");
    if (!(many < one / 2))
        fail_msg("loss %g after one step, %g after twenty", one, many);
    assert_true(record_number("hypo", "target_error") <= record_number("hypo", "surrogate_error"));
}

/* In the mean over a class what is added is brighter where the class is bright than elsewhere. */
static void what_is_added_looks_like_the_class(void **state)
{
    (void)state;
    struct nn_shape s;
    int patch;
    float *d = read_delta("hypo.perturbation.safetensors", &s, &patch);
    for (int k = 0; k < CLASSES; k++) {
        double own = 0, all = 0;
        for (int p = 0; p < EACH * VALUES; p++) {
            double v = (double)d[k * EACH * VALUES + p];
            own += in_band(p % VALUES / SIDE, SIDE, CLASSES, k) ? v : 0;
            all += v;
        }
        if (!(own > all / CLASSES))
            fail_msg("class %d: %g where it is bright, %g in the mean", k, own, all / CLASSES);
    }
    mem_free(d);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(hypo("hypo", "20"), "hypo");
    assert_seed_matters(hypo("hypo", "20"), "hypo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_bounded_and_each_image_has_its_own),
        cmocka_unit_test(the_surrogate_is_surer_of_its_own_class),
        cmocka_unit_test(what_is_added_looks_like_the_class),
        cmocka_unit_test(it_repeats_itself),
    };
    return cmocka_run_group_tests_name("hypo", tests, make_data, toy_teardown);
}
