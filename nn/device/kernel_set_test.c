/* bf16 in every build of kernels/ that this CPU can run. */
#include "kernels/kernels.h"
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The nearest bf16, the even one of two; too small for a normal number: a zero. */
static uint32_t rounded(uint32_t bits)
{
    if ((bits & 0x7f800000) == 0)
        return bits & 0x80000000;
    uint32_t below = bits & 0xffff0000, rest = bits & 0xffff;
    bool up = rest > 0x8000 || (rest == 0x8000 && (below & 0x10000));
    return (bits & 0x7f800000) == 0x7f800000 ? below : below + (up ? 0x10000 : 0);
}

enum { EXPONENTS = 256, FRACTIONS = 12, N = 2 * EXPONENTS * FRACTIONS };
static const uint32_t fractions[FRACTIONS] = {
    0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x10000, 0x17fff, 0x18000, 0x18001, 0x7f7fff, 0x7fffff};

static void every_exponent_rounds_alike(void **state)
{
    (void)state;
    static const char *const cpus[] = {NULL, "avx512", "avx2"};
    struct nn_graph *g;
    struct nn_params *params;
    struct nn_plan *p;
    struct errmsg e = {0};
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    struct nn_val x = nn_input(g, "x", NN_F32, (struct nn_shape){4, {1, 2, EXPONENTS, FRACTIONS}});
    struct nn_val in_bf16 = nn_affine(g, x, 1, 0);
    nn_output(g, nn_affine(g, in_bf16, 1, 0), "y");
    for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
        if (cpus[i])
            assert_int_equal(setenv("RELEARN_CPU", cpus[i], 1), 0);
        assert_int_equal(nn_plan_new(g,
                                     &(struct nn_plan_options){.threads = 1,
                                                               .device = "openblas",
                                                               .precision = NN_PREC_BF16},
                                     &p, &e),
                         STATUS_OK);
        float *in = nn_plan_data_named(p, "x");
        for (uint32_t k = 0; k < N; k++)
            in[k] = of_bits(k / (EXPONENTS * FRACTIONS) << 31 | k / FRACTIONS % EXPONENTS << 23 |
                            fractions[k % FRACTIONS]);
        assert_int_equal(nn_plan_run(p), STATUS_OK);
        const float *out = nn_plan_data_named(p, "y");
        for (int k = 0; k < N; k++) {
            uint32_t bits;
            memcpy(&bits, in + k, sizeof bits);
            float want = of_bits(rounded(bits));
            if (isnan(in[k]) ? !isnan(out[k]) : out[k] != want)
                fail_msg("%s: %a becomes %a, not %a", cpus[i] ? cpus[i] : "this CPU", (double)in[k],
                         (double)out[k], (double)want);
        }
        nn_plan_free(p);
        assert_int_equal(unsetenv("RELEARN_CPU"), 0);
    }
    nn_graph_free(g);
    nn_params_free(params);
}

/* Every NaN a shift by 23 or a cut to 16 bits may tell apart, through every activation and back. */
static void activations_keep_nan(void **state)
{
    (void)state;
    enum { PAYLOADS = 1 << 12 };
    static const char *const cpus[] = {NULL, "avx512", "avx2"};
    for (size_t i = 0; i < ARRAY_LEN(cpus); i++)
        for (int variant = 0; variant < 2 * NN_ACT_COUNT; variant++) {
            enum nn_act_kind kind = variant / 2;
            struct nn_graph *g;
            struct nn_params *params;
            struct nn_plan *p;
            struct errmsg e = {0};
            assert_int_equal(nn_params_new(&params), STATUS_OK);
            assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
            struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, 4, PAYLOADS / 32, 8));
            struct nn_val grad, y = nn_act(g, nn_affine(g, x, 1, 0), kind);
            nn_gradients(g, y, &x, 1, &grad);
            nn_output(g, nn_affine(g, y, 1, 0), "y");
            nn_output(g, nn_affine(g, grad, 1, 0), "grad");
            if (cpus[i])
                assert_int_equal(setenv("RELEARN_CPU", cpus[i], 1), 0);
            const struct nn_plan_options o = {.threads = 1,
                                              .device = "openblas",
                                              .precision =
                                                  variant % 2 ? NN_PREC_BF16 : NN_PREC_F32};
            assert_int_equal(nn_plan_new(g, &o, &p, &e), STATUS_OK);
            float *in = nn_plan_data_named(p, "x");
            for (uint32_t k = 0; k < PAYLOADS; k++)
                in[k] = of_bits((k & 1) << 31 | 0x7f800000 | (k & 2) << 21 |
                                (k >> 2 ? k >> 2 : 0x400000));
            assert_int_equal(nn_plan_run(p), STATUS_OK);
            const float *out = nn_plan_data_named(p, "y"), *dx = nn_plan_data_named(p, "grad");
            for (int k = 0; k < PAYLOADS; k++) {
                assert_true(isnan(in[k]));
                /* the gradients of ReLU and ReLU6 pass, as torch's do */
                bool passes = kind == NN_RELU || kind == NN_RELU6;
                bool right = passes ? dx[k] == 1 : isnan(dx[k]);
                if (!isnan(out[k]) || !right)
                    fail_msg("%s, activation %d, variant %d: NaN %d becomes %a, gradient %a",
                             cpus[i] ? cpus[i] : "this CPU", (int)kind, variant, k, (double)out[k],
                             (double)dx[k]);
            }
            nn_plan_free(p);
            nn_graph_free(g);
            nn_params_free(params);
            assert_int_equal(unsetenv("RELEARN_CPU"), 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_exponent_rounds_alike),
                                       cmocka_unit_test(activations_keep_nan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
