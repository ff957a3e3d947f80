/* The example at the top of nn.h is this code, and it runs. */
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What the example leaves to its reader. */
struct example {
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_optim *optim;
    float loss;
};

/* clang-format off: as the header has it */
static status example(const float *batch, size_t batch_bytes, uint64_t seed, int steps,
                      struct example *out)
{
    /* example */
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    struct nn_plan *plan = NULL;
    struct nn_optim *opt = NULL;
    struct errmsg err = {0};
    status st = nn_params_new(&p);
    if (!st)
        st = nn_graph_new(p, &g);
    if (st)
        return st;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(8, 32, 32, 3));
    struct nn_val w = nn_param(g, "conv.weight", nn_shape4(16, 3, 3, 3), NN_INIT_KAIMING);
    struct nn_val y = nn_conv2d(g, x, w, NN_NONE, nn_conv_same(3, 1));
    struct nn_val loss = nn_mean(g, nn_mul(g, y, y));
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    st = nn_params_init(p, seed); // or nn_params_load
    if (!st)
        st = nn_plan_new(g, &(struct nn_plan_options){.threads = 2}, &plan, &err);
    if (!st)
        st = nn_optim_new(p, &(struct nn_optim_options){.kind = NN_SGD}, &opt);
    for (int i = 0; i < steps && !st; i++) {
        memcpy(nn_plan_data(plan, x), batch, batch_bytes);
        st = nn_plan_run(plan); // gradients are now in nn_params
        nn_optim_step(opt, 0.1f);
        if (!st)
            st = nn_plan_refresh(plan); // the weights changed
    }
    /* end of the example */
    *out = (struct example){p, g, plan, opt, st ? 0 : *(const float *)nn_plan_data(plan, loss)};
    return st;
}
/* clang-format on */

static float loss_after(int steps)
{
    enum { FLOATS = 8 * 32 * 32 * 3 };
    static float batch[FLOATS];
    struct example e = {0};
    nn_rng_normal(nn_rng(5, 0), 0, batch, FLOATS);
    assert_int_equal(example(batch, sizeof batch, 1, steps, &e), STATUS_OK);
    nn_optim_free(e.optim);
    nn_plan_free(e.plan);
    nn_graph_free(e.graph);
    nn_params_free(e.params);
    return e.loss;
}

static void it_learns(void **state)
{
    (void)state;
    float first = loss_after(1), later = loss_after(6);
    assert_true(first > 0 && later > 0 && later < first);
}

/* The code between the two markers as a comment has it. */
static void as_comment(struct buf *out)
{
    char line[256];
    bool inside = false;
    FILE *f = fopen(__FILE__, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && !strstr(line, "/* end of the example */")) {
        if (inside)
            assert_int_equal(buf_addf(out, " * %s", line), STATUS_OK);
        inside |= strcmp(line, "    /* example */\n") == 0;
    }
    fclose(f);
}

static void it_is_the_one_in_the_header(void **state)
{
    (void)state;
    enum { MOST = 1 << 20 };
    struct buf example_text = BUF_INIT(MOST);
    void *header = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file("nn/nn.h", MOST, &header, &len, NULL), STATUS_OK);
    as_comment(&example_text);
    assert_true(example_text.len > 1000);
    /* the whole of it, between two empty lines of the comment */
    assert_int_equal(buf_addf(&example_text, " *\n"), STATUS_OK);
    if (!memmem(header, len, example_text.data, example_text.len))
        fail_msg("nn.h does not have this example:\n%s", example_text.data);
    mem_free(header);
    buf_done(&example_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns),
        cmocka_unit_test(it_is_the_one_in_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
