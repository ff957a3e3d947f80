/* softmax against its definition, and its builds against each other. */
#include "file/half.h"
#include "kernels/kernels.h"
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROWS = 3, N_MAX = 300 };
static const int widths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 48, 63, 64, 100, 256, N_MAX};

struct rows {
    float p[ROWS * N_MAX];
    uint16_t half[ROWS * N_MAX];
};

static void fill(struct rows *r, int n, float size)
{
    nn_rng_normal(nn_rng(3, (uint64_t)n), 0, r->p, (size_t)(ROWS * n));
    for (int i = 0; i < ROWS * n; i++)
        r->p[i] *= size;
}

/* The largest relative error, where a result is not negligible. */
static double error_of(const struct rows *given, const struct rows *got, int n, float scale,
                       bool bf16)
{
    double worst = 0;
    for (int r = 0; r < ROWS; r++) {
        const float *p = given->p + r * n;
        double max = -INFINITY, total = 0;
        for (int i = 0; i < n; i++)
            max = fmax(max, (double)p[i]);
        for (int i = 0; i < n; i++)
            total += exp((double)scale * (p[i] - max));
        for (int i = 0; i < n; i++) {
            double want = exp((double)scale * (p[i] - max)) / total;
            double have = bf16 ? nn_from_bf16(got->half[r * n + i]) : got->p[r * n + i];
            assert_true(have >= 0 && have <= 1);
            if (want > 1e-20)
                worst = fmax(worst, fabs(have - want) / want);
        }
    }
    return worst;
}

/* What this CPU can run; the first is for any. */
enum { BUILDS_MAX = 3 };
static int builds(const struct nn_kernel_set *out[BUILDS_MAX])
{
    static const char *const cpus[] = {"avx2", "avx512", "any"};
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
        assert_int_equal(setenv("RELEARN_CPU", cpus[i], 1), 0);
        const struct nn_kernel_set *set = nn_kernels_here();
        if (n == 0 || out[n - 1] != set)
            out[n++] = set;
    }
    assert_int_equal(unsetenv("RELEARN_CPU"), 0);
    return n;
}

static void near_the_definition(void **state)
{
    (void)state;
    static const float sizes[] = {0, 1e-3f, 1, 40};
    static struct rows given, got;
    const struct nn_kernel_set *set[BUILDS_MAX];
    int sets = builds(set);
    for (size_t w = 0; w < ARRAY_LEN(widths); w++)
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
            for (int k = 0; k < sets; k++) {
                int n = widths[w];
                fill(&given, n, sizes[s]);
                got = given;
                set[k]->softmax(got.p, ROWS, n, 0.3f, NULL);
                assert_true(error_of(&given, &got, n, 0.3f, false) <
                            8e-6); /* an argument of 46 has an error of 3e-6 */
                got = given;
                set[k]->softmax(got.p, ROWS, n, 0.3f, got.half);
                assert_true(error_of(&given, &got, n, 0.3f, true) < 1.2 * 0x1p-8);
            }
}

static void the_same_bits_in_all_builds(void **state)
{
    (void)state;
    static struct rows given, a, b;
    const struct nn_kernel_set *set[BUILDS_MAX];
    int sets = builds(set);
    if (sets < 2)
        skip();
    for (size_t w = 0; w < ARRAY_LEN(widths); w++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            fill(&given, widths[w], 9);
            a = given;
            set[0]->softmax(a.p, ROWS, widths[w], 0.25f, bf16 ? a.half : NULL);
            for (int k = 1; k < sets; k++) {
                b = given;
                set[k]->softmax(b.p, ROWS, widths[w], 0.25f, bf16 ? b.half : NULL);
                assert_memory_equal(&a, &b, sizeof a);
            }
        }
}

static void a_nan_reaches_its_row_only(void **state)
{
    (void)state;
    static struct rows r;
    const struct nn_kernel_set *set[BUILDS_MAX];
    int sets = builds(set);
    for (int k = 0; k < sets; k++)
        for (int at = 0; at < N_MAX; at += 7) {
            fill(&r, N_MAX, 1);
            r.p[N_MAX + at] = NAN;
            set[k]->softmax(r.p, ROWS, N_MAX, 1, NULL);
            for (int i = 0; i < ROWS * N_MAX; i++)
                assert_true(isnan(r.p[i]) == (i / N_MAX == 1));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_the_definition),
        cmocka_unit_test(the_same_bits_in_all_builds),
        cmocka_unit_test(a_nan_reaches_its_row_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
