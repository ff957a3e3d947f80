#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"
#include "set.h"

#include <math.h>

enum { SIDE = 12, CLASSES = 4, EACH = 15 };

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("src", CLASSES, EACH, SIDE, 3, 1);
    return 0;
}

static void it_has_the_budgeted_norm(void **state)
{
    (void)state;
    struct train_protect_options o = options("lsp", "src", "lsp5");
    set(&o, "patch", "5"); /* does not divide 12: the last blocks are smaller */
    struct train_protect_result r = protect_ok(o);
    struct nn_shape s;
    int patch;
    float *d = read_delta("lsp5.perturbation.safetensors", &s, &patch);
    assert_int_equal(patch, 5);
    assert_true(nn_shape_equal(s, nn_shape4(CLASSES * EACH, 3, 3, 3)));
    double budget = 6.0 / 255 * sqrt(SIDE * SIDE * 3);
    for (int i = 0; i < s.dim[0]; i++) {
        double sum = 0;
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                for (int c = 0; c < 3; c++) {
                    double v = d[((i * 3 + y / 5) * 3 + x / 5) * 3 + c];
                    sum += v * v;
                }
        if (fabs(sqrt(sum) / budget - 1) > 1e-5)
            fail_msg("image %d: %g, budget %g", i, sqrt(sum), budget);
    }
    assert_true(fabs(r.mean_l2 / budget - 1) < 1e-5);
    assert_int_equal(r.images, CLASSES * EACH);
    mem_free(d);
}

/* A perceptron (Rosenblatt 1958) finds hyperplanes if there are any. */
static void it_is_linearly_separable(void **state)
{
    (void)state;
    struct train_protect_options o = options("lsp", "src", "lsp4");
    set(&o, "patch", "4");
    protect_ok(o);
    struct nn_shape s;
    int patch, wrong = 1;
    float *d = read_delta("lsp4.perturbation.safetensors", &s, &patch);
    enum { F = 27 };
    assert_int_equal(s.dim[1] * s.dim[2] * s.dim[3], F);
    static double w[CLASSES][F];
    for (int pass = 0; pass < 500 && wrong; pass++) {
        wrong = 0;
        for (int i = 0; i < s.dim[0]; i++) {
            const float *x = d + i * F;
            int label = i / EACH, best = 0;
            double score[CLASSES];
            for (int k = 0; k < CLASSES; k++) {
                score[k] = 0;
                for (int f = 0; f < F; f++)
                    score[k] += w[k][f] * x[f];
                best = score[k] > score[best] ? k : best;
            }
            if (best == label && pass > 0)
                continue;
            wrong++;
            for (int f = 0; f < F; f++) {
                w[label][f] += x[f];
                w[best][f] -= x[f];
            }
        }
    }
    assert_int_equal(wrong, 0);
    mem_free(d);
}

static void too_few_or_too_many_blocks(void **state)
{
    (void)state;
    toy_tree("grey", 3, 2, SIDE, 1, 2);
    struct train_protect_options o = options("lsp", "grey", "none");
    set(&o, "patch", "12"); /* one block: two corners for three classes */
    protect_fails(o, "--patch");
    toy_tree("big", 2, 1, 64, 3, 2);
    o = options("lsp", "big", "none");
    set(&o, "patch", "1"); /* 12288 features, 2 mixing matrices of 151 M entries */
    assert_int_equal(protect_fails(o, "--patch"), STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_the_budgeted_norm),
        cmocka_unit_test(it_is_linearly_separable),
        cmocka_unit_test(too_few_or_too_many_blocks),
    };
    return cmocka_run_group_tests_name("lsp", tests, make_data, toy_teardown);
}
