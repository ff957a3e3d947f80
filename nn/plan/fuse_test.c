/*
 * Fusion moves the first of two nodes to where the second stands. Here are graphs in which a node in
 * between depends on the order: networks that share parameters, gradients taken half-way. Every
 * device must give what the plain reference gives without fusion; cases of the same kind at random are in
 * op_cases.h ("siamese", "shared_graph"), which are held against finite differences as well.
 */
#include "plan/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 2, SIDE = 4, CHANNELS = 16, ELEMENTS = N * SIDE * SIDE * CHANNELS, RESULTS_MAX = 4096 };

struct shared {
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_val x[2], gamma, beta, mean, var, w;
    int outputs;
};

static void output(struct shared *s, struct nn_val v)
{
    char name[16];
    snprintf(name, sizeof name, "out%d", s->outputs++);
    nn_output(s->g, nn_affine(s->g, v, 1, 0), name);
}

static struct nn_val batch_norm(struct shared *s, struct nn_val x, bool training)
{
    return nn_batch_norm(s->g, x, s->gamma, s->beta, s->mean, s->var, 0.3f, 1e-3f, training);
}
static struct nn_val group_norm(struct shared *s, struct nn_val x)
{
    return nn_group_norm(s->g, x, s->gamma, s->beta, 4, 1e-3f);
}

/* The sum of products of both branches, and all gradients. */
static void contrast(struct shared *s, struct nn_val a, struct nn_val b)
{
    struct nn_val grad[2], loss = nn_mse(s->g, a, nn_affine(s->g, b, -0.5f, 0.3f));
    nn_param_gradients(s->g, loss, s->x, 2, grad);
    output(s, loss);
    output(s, grad[0]);
    output(s, grad[1]);
}

/* Each branch reads its input twice, so that the gradients of the input are added, after those of
   gamma and beta. */
static struct nn_val residual(struct shared *s, struct nn_val x, bool batch)
{
    struct nn_val y = batch ? batch_norm(s, x, true) : group_norm(s, x);
    y = nn_conv2d(s->g, nn_act(s->g, y, NN_SILU), s->w, NN_NONE, nn_conv_same(3, 1));
    return nn_add(s->g, y, x);
}
static void group_norm_twice(struct shared *s)
{
    struct nn_val a = residual(s, s->x[0], false);
    contrast(s, residual(s, a, false), residual(s, s->x[1], false));
}
static void batch_norm_twice(struct shared *s)
{
    struct nn_val a = residual(s, s->x[0], true);
    contrast(s, residual(s, a, true), residual(s, s->x[1], true));
}
/* One norm after the other, then their activations: the running statistics follow in this order. */
static void statistics_in_order(struct shared *s)
{
    struct nn_val a = batch_norm(s, s->x[0], true), b = batch_norm(s, s->x[1], true);
    output(s, nn_act(s->g, a, NN_RELU));
    output(s, nn_act(s->g, b, NN_RELU));
}
static void statistics_read_between(struct shared *s)
{
    struct nn_val fixed = batch_norm(s, s->x[0], false), a = batch_norm(s, s->x[1], true);
    output(s, nn_add(s->g, fixed, s->x[1]));
    struct nn_val later = batch_norm(s, s->x[0], false);
    output(s, nn_act(s->g, a, NN_RELU));
    output(s, nn_act(s->g, later, NN_SILU));
}
/* The gradient of a norm's own result needs its statistics, before the result goes on. */
static void gradient_then_activation(struct shared *s)
{
    struct nn_val grad[2], y = group_norm(s, s->x[0]), z = batch_norm(s, s->x[1], true);
    nn_gradients(s->g, y, &s->x[0], 1, &grad[0]);
    nn_gradients(s->g, z, &s->x[1], 1, &grad[1]);
    output(s, grad[0]);
    output(s, grad[1]);
    output(s, nn_act(s->g, y, NN_SILU));
    output(s, nn_add(s->g, z, s->x[0]));
}
/* gamma's gradient is used before the gradient of the input is added to. */
static void gradient_of_gamma_between(struct shared *s)
{
    struct nn_val wrt[] = {s->gamma, s->x[0]}, grad[2];
    struct nn_val y = group_norm(s, s->x[0]), loss = nn_mse(s->g, y, s->x[1]);
    nn_gradients(s->g, loss, wrt, 2, grad);
    struct nn_val pixel = nn_linear(
        s->g, nn_reshape(s->g, grad[0], nn_shape2(1, CHANNELS)),
        nn_param(s->g, "square", nn_shape2(CHANNELS, CHANNELS), NN_INIT_KAIMING), NN_NONE);
    output(s, pixel);
    output(s, nn_add(s->g, grad[1], s->x[1]));
}
/* Of the norm itself nothing is read, of its statistics something. */
static void only_a_gradient_is_wanted(struct shared *s)
{
    struct nn_val grad[2];
    nn_gradients(s->g, group_norm(s, s->x[0]), &s->x[0], 1, &grad[0]);
    nn_gradients(s->g, batch_norm(s, s->x[1], false), &s->x[1], 1, &grad[1]);
    output(s, grad[0]);
    output(s, grad[1]);
}

static const struct {
    const char *name;
    void (*make)(struct shared *s);
} graphs[] = {
    {"group_norm_twice", group_norm_twice},
    {"batch_norm_twice", batch_norm_twice},
    {"statistics_in_order", statistics_in_order},
    {"statistics_read_between", statistics_read_between},
    {"gradient_then_activation", gradient_then_activation},
    {"gradient_of_gamma_between", gradient_of_gamma_between},
    {"only_a_gradient_is_wanted", only_a_gradient_is_wanted},
};

static void make(struct shared *s, void (*fn)(struct shared *))
{
    struct errmsg e = {0};
    struct nn_shape image = nn_shape4(N, SIDE, SIDE, CHANNELS), c = nn_shape1(CHANNELS);
    *s = (struct shared){0};
    assert_int_equal(nn_params_new(&s->params), STATUS_OK);
    assert_int_equal(nn_graph_new(s->params, &s->g), STATUS_OK);
    s->x[0] = nn_input(s->g, "x0", NN_F32, image);
    s->x[1] = nn_input(s->g, "x1", NN_F32, image);
    s->gamma = nn_param(s->g, "gamma", c, NN_INIT_ONE);
    s->beta = nn_param(s->g, "beta", c, NN_INIT_ZERO);
    s->mean = nn_buffer(s->g, "mean", c, NN_INIT_ZERO);
    s->var = nn_buffer(s->g, "var", c, NN_INIT_ONE);
    s->w = nn_param(s->g, "w", nn_shape4(CHANNELS, CHANNELS, 3, 3), NN_INIT_KAIMING);
    fn(s);
    if (nn_graph_status(s->g, &e))
        fail_msg("%s", e.text);
}

/* Outputs, then gradients and running statistics. */
static int run(struct shared *s, const char *device, bool no_fusion, float out[RESULTS_MAX],
               int *out_fused)
{
    struct nn_plan *p = NULL;
    struct errmsg e = {0};
    int n = 0;
    assert_int_equal(nn_params_init(s->params, 3), STATUS_OK);
    if (nn_plan_new(
            s->g, &(struct nn_plan_options){.device = device, .threads = 1, .no_fusion = no_fusion},
            &p, &e))
        fail_msg("%s", e.text);
    p->poison = true;
    nn_rng_normal(nn_rng(1, 0), 0, nn_plan_data_named(p, "x0"), ELEMENTS);
    nn_rng_normal(nn_rng(1, 1), 0, nn_plan_data_named(p, "x1"), ELEMENTS);
    assert_int_equal(nn_plan_run(p), STATUS_OK);
    for (int v = 1; v < s->g->n_values; v++) {
        const struct nn_value *value = &s->g->values[v];
        size_t count = (size_t)nn_shape_count(value->shape);
        const float *from = value->is_output                 ? nn_plan_data(p, (struct nn_val){v})
                            : value->source != NN_FROM_PARAM ? NULL
                            : value->param->trainable        ? value->param->grad
                                                             : value->param->value;
        if (!from)
            continue;
        assert_true((size_t)n + count <= RESULTS_MAX);
        memcpy(out + n, from, count * sizeof *out);
        n += (int)count;
    }
    *out_fused = nn_plan_info(p).fused;
    nn_plan_free(p);
    return n;
}

static void fusion_is_not_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(graphs); i++)
        for (const char *const *d = nn_devices(); *d; d++) {
            static float expected[RESULTS_MAX], got[RESULTS_MAX];
            struct shared s;
            int fused;
            make(&s, graphs[i].make);
            int n = run(&s, "reference", true, expected, &fused);
            assert_int_equal(run(&s, *d, false, got, &fused), n);
            for (int k = 0; k < n; k++)
                if (!(fabs((double)got[k] - expected[k]) <= 1e-4 * (1 + fabs((double)expected[k]))))
                    fail_msg("%s on %s, number %d of %d: %g, reference %g", graphs[i].name, *d, k,
                             n, (double)got[k], (double)expected[k]);
            nn_graph_free(s.g);
            nn_params_free(s.params);
        }
}

/* What may be fused still is: the same block twice, with parameters of its own. */
static void no_sharing(struct shared *s)
{
    struct nn_val a = residual(s, s->x[0], false);
    s->gamma = nn_param(s->g, "gamma2", nn_shape1(CHANNELS), NN_INIT_ONE);
    s->beta = nn_param(s->g, "beta2", nn_shape1(CHANNELS), NN_INIT_ZERO);
    contrast(s, a, residual(s, s->x[1], false));
}
static void blocks_are_fused(void **state)
{
    (void)state;
    static float got[RESULTS_MAX];
    struct shared s;
    int fused;
    make(&s, no_sharing);
    run(&s, "openblas", false, got, &fused);
    /* per block: norm+act, conv+add, act_back+norm_back, norm_back+add */
    assert_int_equal(fused, 8);
    nn_graph_free(s.g);
    nn_params_free(s.params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fusion_is_not_noticed),
        cmocka_unit_test(blocks_are_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
