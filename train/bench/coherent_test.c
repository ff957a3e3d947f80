#include "bench/coherent.h"

#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { VALUES = 300, EACH = 200, CLASSES = 3 };

/* Images of CLASSES classes: a class's own +-`own` in all, and +-8 by chance in each. */
static double of_classes(int own, size_t (*values)(int image), int each)
{
    struct coherent c = {.sum = NULL};
    uint8_t clean[VALUES], image[VALUES];
    for (int i = 0; i < CLASSES * each; i++) {
        int label = i / each;
        for (uint64_t p = 0; p < VALUES; p++) {
            struct nn_rng class = nn_rng(1, (uint64_t)label), one = nn_rng(2, (uint64_t)i);
            clean[p] = 128;
            image[p] = (uint8_t)(128 + (nn_rng_u32(class, p) & 1 ? own : -own) +
                                 (nn_rng_u32(one, p) & 1 ? 8 : -8));
        }
        assert_int_equal(coherent_add(&c, label, image, clean, values ? values(i) : VALUES),
                         STATUS_OK);
    }
    double got = coherent_end(&c);
    coherent_done(&c);
    return got;
}

static size_t growing(int image)
{
    return image < 5 ? VALUES : VALUES - 1;
}

static void what_a_class_has_in_common_is_told_from_noise(void **state)
{
    (void)state;
    assert_float_equal(of_classes(5, NULL, EACH), 5, .1);
    assert_float_equal(of_classes(1, NULL, EACH), 1, .3);
    assert_true(of_classes(0, NULL, EACH) < .3); /* the plain mean's is 8 / sqrt(EACH) = .57 */
}

static void what_cannot_be_said_is_not(void **state)
{
    (void)state;
    assert_true(isnan(of_classes(5, NULL, 1)));
    assert_true(isnan(of_classes(5, growing, EACH)));
    struct coherent none = {.sum = NULL};
    assert_true(isnan(coherent_end(&none)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_class_has_in_common_is_told_from_noise),
        cmocka_unit_test(what_cannot_be_said_is_not),
    };
    return cmocka_run_group_tests_name("bench coherent", tests, NULL, NULL);
}
