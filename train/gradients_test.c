#include "gradients.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* y = mean((w - t)^2), whose gradient is what t makes it. */
static void run(float target, struct nn_params *params, double *out_loss)
{
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    AUTO(nn_plan_free) struct nn_plan *p = NULL;
    struct errmsg e = {""};
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    struct nn_val t = nn_input(g, "t", NN_F32, nn_shape2(1, 4));
    struct nn_val w = nn_param(g, "w", nn_shape2(1, 4), NN_INIT_ZERO);
    struct nn_val loss = nn_mse(g, w, t);
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    assert_int_equal(nn_plan_new(g, &(struct nn_plan_options){.threads = 1}, &p, &e), STATUS_OK);
    float *in = nn_plan_data_named(p, "t");
    for (int i = 0; i < 4; i++)
        in[i] = target;
    assert_int_equal(nn_plan_run(p), STATUS_OK);
    *out_loss = *(const float *)nn_plan_data_named(p, "loss");
}

static void numbers_pass_and_are_clipped(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *params = NULL;
    struct errmsg e = {""};
    double loss;
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    run(10, params, &loss); /* the gradient is -5 four times: its norm is 10 */
    assert_int_equal(train_check_gradients(params, loss, 0, 1, 3, &e), STATUS_OK);
    assert_true(nn_params_at(params, 0)->grad[2] == -5);
    assert_int_equal(train_check_gradients(params, loss, 5, 1, 3, &e), STATUS_OK);
    assert_true(fabsf(nn_params_at(params, 0)->grad[2] + 2.5f) < 1e-6f);
}

static void what_is_no_number_ends_training(void **state)
{
    (void)state;
    for (int clip = 0; clip < 2; clip++) {
        AUTO(nn_params_free) struct nn_params *params = NULL;
        struct errmsg e = {""};
        double loss;
        assert_int_equal(nn_params_new(&params), STATUS_OK);
        run(1, params, &loss);
        nn_params_at(params, 0)->grad[1] = clip ? INFINITY : NAN; /* under a loss that is one */
        assert_int_equal(train_check_gradients(params, loss, (float)clip, 1, 1234, &e),
                         STATUS_CORRUPT);
        assert_non_null(strstr(e.text, "gradient"));
        assert_non_null(strstr(e.text, "step 1234"));
        run(NAN, params, &loss);
        assert_int_equal(train_check_gradients(params, loss, (float)clip, 1, 7, &e),
                         STATUS_CORRUPT);
        assert_non_null(strstr(e.text, "the loss"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_pass_and_are_clipped),
        cmocka_unit_test(what_is_no_number_ends_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
