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

static struct train_protect_options remn(const char *dst)
{
    struct train_protect_options o = options("remn", "src", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "8"); /* does not divide 27 */
    set(&o, "rounds", "80");
    set(&o, "steps", "8");
    set(&o, "draws", "1");
    set(&o, "ascent", "2");
    o.eps = 32;
    o.threads = 1;
    return o;
}

/* As sem_test: what makes the surrogate right is the perturbation. */
static void its_noise_leads_the_surrogate(void **state)
{
    (void)state;
    /* How many of the 27 are wrong depends a little on how a CPU's kernels round. */
    struct train_protect_result r = protect_leads(remn("remn"), .2, .25);
    assert_int_equal(r.rounds, 80);
    assert_true(record_number("remn", "ascent") == 2);
}

static void it_is_bounded_and_each_image_has_its_own(void **state)
{
    (void)state;
    assert_bounded("remn.perturbation.safetensors", N, SIDE, 32);
}

/* Bands say the class; the noise is brighter than they are. Where one seed's noise happens to say too
   little depends on how a CPU's kernels round, so that most of five have to. */
static void networks_learn_less_from_it_trained_either_way(void **state)
{
    (void)state;
    static const char *const recipes[] = {"standard", "adversarial"};
    static const char *const dst[] = {"loud1", "loud2", "loud3", "loud4", "loud5"};
    band_tree("bands", CLASSES, 30, SIDE);
    for (size_t k = 0; k < ARRAY_LEN(dst); k++) {
        struct train_protect_options o = remn(dst[k]);
        o.src_dir = toy_path("bands");
        o.eps = 96;
        o.seed = k + 1;
        protect_ok(o);
    }
    for (size_t i = 0; i < ARRAY_LEN(recipes); i++) {
        double clean = learned("resnet8", "bands", "bands", recipes[i]);
        size_t misled = 0;
        for (size_t k = 0; k < ARRAY_LEN(dst); k++)
            misled += learned("resnet8", dst[k], "bands", recipes[i]) <= clean - .2;
        if (!(clean >= .9 && misled > ARRAY_LEN(dst) / 2))
            fail_msg("%s: accuracy %g, and %zu of %zu protected sets lower it by .2", recipes[i],
                     clean, misled, ARRAY_LEN(dst));
    }
}

static void it_repeats_itself(void **state)
{
    (void)state;
    assert_repeats(remn("remn"), "remn");
}

static void what_it_cannot_do_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {{"surrogate", "lenet", "resnet8"},
                                           {"draws", "0", "from 1"},
                                           {"ascent", "no", "from 1"},
                                           {"radius", "256", "from 0 to 255"},
                                           {"stop_error", ".1", "there are surrogate"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct train_protect_options o = remn("none");
        set(&o, wrong[i][0], wrong[i][1]);
        protect_fails(o, wrong[i][2]);
        assert_false(toy_there("none"));
    }
}

static void short_memory_leaves_nothing(void **state)
{
    (void)state;
    struct train_protect_options o = remn("short/out");
    set(&o, "rounds", "1");
    set(&o, "steps", "1");
    assert_short_memory(o, "src", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_noise_leads_the_surrogate),
        cmocka_unit_test(it_is_bounded_and_each_image_has_its_own),
        cmocka_unit_test(networks_learn_less_from_it_trained_either_way),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(what_it_cannot_do_is_refused),
        cmocka_unit_test(short_memory_leaves_nothing),
    };
    return cmocka_run_group_tests_name("remn", tests, make_data, toy_teardown);
}
