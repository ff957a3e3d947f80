#include "file/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The definition, slowly. */
static double f16_value(unsigned bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double m = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31)
        m = fraction ? NAN : INFINITY;
    return bits & 0x8000 ? -m : m;
}

static void every_f16_survives(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 0x10000; b++) {
        float v = nn_from_f16((uint16_t)b);
        double want = f16_value(b);
        if (isnan(want)) {
            assert_true(isnan(v));
            assert_true(isnan(nn_from_f16(nn_to_f16(v))));
            continue;
        }
        assert_true((double)v == want && !signbit(v) == !signbit(want));
        assert_int_equal(nn_to_f16(v), b);
    }
}

/* Between two neighbours: below the middle goes down, above goes up, the middle goes to the even
 * one. */
static void rounds_to_nearest_even(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 0x7bff; b++) {
        float low = nn_from_f16((uint16_t)b), high = nn_from_f16((uint16_t)(b + 1));
        float middle = low / 2 + high / 2;
        assert_int_equal(nn_to_f16(nextafterf(middle, 0)), b);
        assert_int_equal(nn_to_f16(nextafterf(middle, 1e9f)), b + 1);
        assert_int_equal(nn_to_f16(middle), b & 1 ? b + 1 : b);
        assert_int_equal(nn_to_f16(-middle), 0x8000 | (b & 1 ? b + 1 : b));
    }
}

static void the_ends(void **state)
{
    (void)state;
    assert_int_equal(nn_to_f16(65504), 0x7bff);
    assert_int_equal(nn_to_f16(65519.996f), 0x7bff);
    assert_int_equal(nn_to_f16(65520), 0x7c00);
    assert_int_equal(nn_to_f16(1e30f), 0x7c00);
    assert_int_equal(nn_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(nn_to_f16(0x1p-25f), 0);
    assert_int_equal(nn_to_f16(0x1.000002p-25f), 1);
    assert_int_equal(nn_to_f16(-0.0f), 0x8000);
    assert_int_equal(nn_to_f16(1e-40f), 0);
}

static void bf16_is_the_upper_half(void **state)
{
    (void)state;
    assert_true(nn_from_bf16(0x3f80) == 1.0f);
    assert_true(nn_from_bf16(0xc2f7) == -123.5f);
    assert_true(isinf(nn_from_bf16(0x7f80)));
    assert_true(isnan(nn_from_bf16(0x7fc0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_survives),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(the_ends),
        cmocka_unit_test(bf16_is_the_upper_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
