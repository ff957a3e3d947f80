/* Fully connected layers as products: of which steps, with whose bits, and with new weights. That the
   results are right is tested with the ops. */
#include "nn/nn.h"
#include "plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TOKENS = 40, IN = 96, OUT = 160, SAMPLES = 4 };
/* Of the group of tests that runs. */
static const char *device;
static enum nn_precision precision;

/* y = linear(x) for x (N,TOKENS,IN), and all gradients where asked for. */
struct net {
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_val x, y;
};

static struct net new_net(struct nn_params *shared, int batch, int tokens, int out, bool gradients)
{
    struct net n = {.params = shared};
    if (!shared) {
        assert_int_equal(nn_params_new(&n.params), STATUS_OK);
    }
    assert_int_equal(nn_graph_new(n.params, &n.g), STATUS_OK);
    n.x = nn_input(n.g, "x", NN_F32, nn_shape3(batch, tokens, IN));
    struct nn_val w = nn_param(n.g, "weight", nn_shape2(out, IN), NN_INIT_XAVIER);
    struct nn_val b = nn_param(n.g, "bias", nn_shape1(out), NN_INIT_UNIFORM_FANIN);
    n.y = nn_linear(n.g, n.x, w, b);
    struct nn_val dx = NN_NONE;
    if (gradients) {
        nn_param_gradients(n.g, nn_sum(n.g, nn_mul(n.g, n.y, n.y)), &n.x, 1, &dx);
        nn_output(n.g, dx, "dx");
    }
    nn_output(n.g, n.y, "y");
    if (!shared)
        assert_int_equal(nn_params_init(n.params, 3), STATUS_OK);
    return n;
}

static void net_done(struct net *n, bool with_params)
{
    nn_graph_free(n->g);
    if (with_params)
        nn_params_free(n->params);
}

static struct nn_plan *new_plan(const struct net *n, int threads, bool shared)
{
    struct nn_plan *p = NULL;
    struct errmsg e = {""};
    const struct nn_plan_options o = {
        .device = device, .precision = precision, .threads = threads, .shared = shared};
    if (nn_plan_new(n->g, &o, &p, &e))
        fail_msg("%s", e.text);
    return p;
}

/* x holds samples first, first + 1, ... */
static void run(struct nn_plan *p, const struct net *n, int first)
{
    float *x = nn_plan_data(p, n->x);
    for (int i = 0; i < nn_val_shape(n->g, n->x).dim[0]; i++)
        nn_rng_normal(nn_rng(5, (uint64_t)(first + i)), 0, x + (size_t)i * TOKENS * IN,
                      TOKENS * IN);
    assert_int_equal(nn_plan_run(p), STATUS_OK);
}

static const char *kernel_of(const struct nn_plan *p, enum nn_op op)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == op && p->steps[i].kernel)
            return p->steps[i].kernel->name;
    return "";
}

static void assert_kernel(const struct nn_plan *p, enum nn_op op, const char *name)
{
    char want[64];
    snprintf(want, sizeof want, "%s.%s", device, name);
    assert_string_equal(kernel_of(p, op), want);
}

static void wide_layers_are_products(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        struct net n = new_net(NULL, SAMPLES, TOKENS, OUT, true);
        struct nn_plan *p = new_plan(&n, threads, false);
        assert_kernel(p, NN_OP_LINEAR, "linear");
        assert_kernel(p, NN_OP_LINEAR_DATA, "linear_data");
        assert_kernel(p, NN_OP_LINEAR_WEIGHTS, "linear_weights");
        nn_plan_free(p);
        net_done(&n, true);
    }
}

static void a_narrow_layer_is_not(void **state)
{
    (void)state;
    struct net n = new_net(NULL, SAMPLES, TOKENS, 10, true);
    struct nn_plan *p = new_plan(&n, 2, false);
    assert_string_equal(kernel_of(p, NN_OP_LINEAR), "common.linear");
    assert_string_equal(kernel_of(p, NN_OP_LINEAR_WEIGHTS), "common.linear_weights");
    nn_plan_free(p);
    net_done(&n, true);
}

static void a_sample_does_not_see_its_batch(void **state)
{
    (void)state;
    enum { EACH = TOKENS * OUT };
    static float want[SAMPLES * EACH];
    struct net one = new_net(NULL, 1, TOKENS, OUT, false);
    struct nn_plan *p = new_plan(&one, 1, true);
    for (int i = 0; i < SAMPLES; i++) {
        run(p, &one, i);
        memcpy(want + (size_t)i * EACH, nn_plan_data(p, one.y), EACH * sizeof *want);
    }
    for (int batch = 2; batch <= SAMPLES; batch++) {
        struct net n = new_net(one.params, batch, TOKENS, OUT, false);
        struct nn_plan *q = new_plan(&n, 1, true);
        for (int first = 0; first + batch <= SAMPLES; first++) {
            run(q, &n, first);
            assert_memory_equal(nn_plan_data(q, n.y), want + (size_t)first * EACH,
                                (size_t)batch * EACH * sizeof *want);
        }
        nn_plan_free(q);
        net_done(&n, false);
    }
    nn_plan_free(p);
    net_done(&one, true);
}

static void runs_repeat(void **state)
{
    (void)state;
    struct net n = new_net(NULL, SAMPLES, TOKENS, OUT, true);
    struct nn_plan *p = new_plan(&n, 2, false);
    const struct nn_param_entry *w = nn_params_find(n.params, "weight");
    static float y[SAMPLES * TOKENS * OUT], dw[OUT * IN];
    run(p, &n, 0);
    memcpy(y, nn_plan_data(p, n.y), sizeof y);
    memcpy(dw, w->grad, sizeof dw);
    for (int i = 0; i < 10; i++) {
        run(p, &n, 0);
        assert_memory_equal(nn_plan_data(p, n.y), y, sizeof y);
        assert_memory_equal(w->grad, dw, sizeof dw);
    }
    nn_plan_free(p);
    net_done(&n, true);
}

/* After a refresh with new weights a plan computes what a new one does. */
static void refresh_packs_again(void **state)
{
    (void)state;
    struct net n = new_net(NULL, SAMPLES, TOKENS, OUT, false);
    struct nn_plan *p = new_plan(&n, 2, false);
    static float old[SAMPLES * TOKENS * OUT];
    run(p, &n, 0);
    memcpy(old, nn_plan_data(p, n.y), sizeof old);
    assert_int_equal(nn_params_init(n.params, 4), STATUS_OK);
    assert_int_equal(nn_plan_refresh(p), STATUS_OK);
    struct nn_plan *fresh = new_plan(&n, 2, false);
    run(p, &n, 0);
    run(fresh, &n, 0);
    assert_memory_equal(nn_plan_data(p, n.y), nn_plan_data(fresh, n.y), sizeof old);
    assert_memory_not_equal(nn_plan_data(p, n.y), old, sizeof old);
    nn_plan_free(fresh);
    nn_plan_free(p);
    net_done(&n, true);
}

/* On one thread the number of samples does not matter to a pack, the rows of a sample may. */
static void packs_are_of_one_length_of_sequence(void **state)
{
    (void)state;
    struct nn_params *params = NULL;
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    struct net n[] = {new_net(params, 1, TOKENS, OUT, false),
                      new_net(params, 3, TOKENS, OUT, false),
                      new_net(params, 1, 2 * TOKENS, OUT, false)};
    assert_int_equal(nn_params_init(params, 3), STATUS_OK);
    struct nn_plan *p[ARRAY_LEN(n)];
    const void *packed[ARRAY_LEN(n)] = {NULL};
    for (size_t i = 0; i < ARRAY_LEN(n); i++) {
        p[i] = new_plan(&n[i], 1, true);
        for (int k = 0; k < p[i]->n_steps; k++)
            if (p[i]->steps[k].op == NN_OP_LINEAR)
                packed[i] = p[i]->steps[k].packed;
    }
    assert_ptr_equal(packed[0], packed[1]);
    assert_true(!packed[0] || packed[0] != packed[2]);
    assert_true((packed[0] != NULL) == (strcmp(device, "onednn") == 0));
    for (size_t i = 0; i < ARRAY_LEN(n); i++) {
        nn_plan_free(p[i]);
        net_done(&n[i], false);
    }
    nn_params_free(params);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct net n = new_net(NULL, 2, TOKENS, OUT, true);
    unsigned long k = 1;
    for (;; k++) {
        struct nn_plan *p = NULL;
        struct errmsg e = {""};
        const struct nn_plan_options o = {.device = device, .precision = precision};
        fault_set(FAULT_MEM, k, 0, 0);
        status st = nn_plan_new(n.g, &o, &p, &e);
        fault_clear();
        if (!st) {
            nn_plan_free(p);
            break;
        }
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(p);
    }
    assert_true(k > 5);
    net_done(&n, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_layers_are_products),
        cmocka_unit_test(a_narrow_layer_is_not),
        cmocka_unit_test(a_sample_does_not_see_its_batch),
        cmocka_unit_test(runs_repeat),
        cmocka_unit_test(refresh_packs_again),
        cmocka_unit_test(packs_are_of_one_length_of_sequence),
        cmocka_unit_test(every_allocation_may_fail),
    };
    int failed = 0;
    for (const char *const *d = nn_devices(); *d; d++)
        for (precision = NN_PREC_F32; precision < NN_PREC_COUNT; precision++) {
            device = *d;
            if (strcmp(device, "reference") != 0 && nn_precision_supported(device, precision))
                failed += cmocka_run_group_tests_name(device, tests, NULL, NULL);
        }
    return failed;
}
