/* What building a graph and a plan refuses, survives and hands out. */
#include "ops/op_cases.h"
#include "plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_first_error_is_kept(void **state)
{
    (void)state;
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_plan *p = NULL;
    struct errmsg e = {0};
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(2, 8, 8, 3));
    struct nn_val w = nn_param(g, "w", nn_shape4(4, 5, 3, 3), NN_INIT_ZERO);
    struct nn_val y = nn_conv2d(g, x, w, NN_NONE, nn_conv_same(3, 1));
    assert_int_equal(y.id, 0);
    assert_int_equal(nn_add(g, y, x).id, 0);
    assert_int_equal(nn_plan_new(g, &(struct nn_plan_options){.threads = 1}, &p, &e),
                     STATUS_INVALID);
    assert_null(p);
    assert_string_equal(e.text, "conv2d: x 2x8x8x3 and w 4x5x3x3 with 1 groups do not fit");
    nn_graph_free(g);
    nn_params_free(params);
}

/* Each of these must leave an error and no value. */
static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    struct nn_params *params;
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    for (int i = 0; i < 21; i++) {
        struct nn_graph *g;
        assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
        struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(2, 4, 4, 6));
        struct nn_val v = nn_input(g, "v", NN_F32, nn_shape2(2, 6));
        struct nn_val c = nn_input(g, "c", NN_F32, nn_shape1(6));
        struct nn_val k = nn_input(g, "k", NN_I32, nn_shape1(2)), y = x;
        struct nn_val w = nn_param(g, "w", nn_shape4(2, 6, 5, 5), NN_INIT_ZERO);
        assert_int_equal(nn_graph_status(g, NULL), STATUS_OK);
        switch (i) {
        case 0:
            y = nn_conv2d(g, x, w, NN_NONE, (struct nn_conv){.stride = 1});
            break;
        case 1:
            y = nn_conv2d(g, x, w, NN_NONE, (struct nn_conv){.stride = 0, .groups = 1});
            break;
        case 2:
            y = nn_conv2d(g, x, w, c, nn_conv_same(5, 1));
            break;
        case 3:
            y = nn_linear(g, v, v, c);
            break;
        case 4:
            y = nn_group_norm(g, x, c, c, 4, 1e-5f);
            break;
        case 5:
            y = nn_batch_norm(g, x, c, c, c, c, 0.1f, 1e-5f, true);
            break;
        case 6:
            y = nn_add(g, x, v);
            break;
        case 7:
            y = nn_add_nc(g, x, c);
            break;
        case 8:
            y = nn_concat(g, x, v);
            break;
        case 9:
            y = nn_slice_c(g, x, 4, 3);
            break;
        case 10:
            y = nn_reshape(g, x, nn_shape2(5, 5));
            break;
        case 11:
            y = nn_max_pool(g, x, (struct nn_pool){9, 1, 0, false});
            break;
        case 12:
            y = nn_attention(g, x, x, x, 4);
            break;
        case 13:
            y = nn_softmax_xent(g, v, c);
            break;
        case 14:
            y = nn_mse(g, k, k);
            break;
        case 15:
            y = nn_layer_norm(g, x, v, c, 1e-5f);
            break;
        case 16:
            y = nn_concat_tokens(g, x, x);
            break;
        case 17:
            y = nn_slice_tokens(g, nn_input(g, "t", NN_F32, nn_shape3(2, 3, 4)), 2, 2);
            break;
        case 18:
            y = nn_add_each(g, x, v);
            break;
        case 19:
            y = nn_repeat(g, x, 2);
            break;
        default:
            y = nn_input(g, "huge", NN_F32, nn_shape4(1 << 20, 1 << 20, 1 << 20, 1 << 20));
            break;
        }
        if (y.id || !nn_graph_status(g, NULL))
            fail_msg("shape error %d was not noticed", i);
        nn_graph_free(g);
    }
    nn_params_free(params);
}

static void unknown_devices_are_refused(void **state)
{
    (void)state;
    struct op_case c;
    struct nn_plan *p = NULL;
    assert_int_equal(op_case_new(&c, &op_makers[0], 1), STATUS_OK);
    nn_output(c.graph, c.y, "y");
    assert_int_equal(nn_plan_new(c.graph, &(struct nn_plan_options){.device = "abacus"}, &p, NULL),
                     STATUS_UNSUPPORTED);
    assert_int_equal(
        nn_plan_new(c.graph,
                    &(struct nn_plan_options){.device = "reference", .precision = NN_PREC_BF16}, &p,
                    NULL),
        STATUS_UNSUPPORTED);
    op_case_done(&c);
}

/* Only inputs and outputs can be reached, and the graph may be gone by then. */
static void data_is_of_inputs_and_outputs(void **state)
{
    (void)state;
    struct op_case c;
    int maker = 0;
    while (strcmp(op_makers[maker].name, "global_avg_pool"))
        maker++;
    assert_int_equal(op_case_new(&c, &op_makers[maker], 4), STATUS_OK);
    struct nn_val out = nn_affine(c.graph, c.y, 2, 1);
    nn_output(c.graph, out, "out");
    struct nn_plan *p = NULL;
    assert_int_equal(
        nn_plan_new(c.graph, &(struct nn_plan_options){.device = "openblas"}, &p, NULL), STATUS_OK);
    nn_graph_free(c.graph);
    c.graph = NULL;
    assert_non_null(nn_plan_data(p, c.leaf[0]));
    assert_non_null(nn_plan_data(p, out));
    assert_ptr_equal(nn_plan_data(p, out), nn_plan_data_named(p, "out"));
    assert_null(nn_plan_data(p, c.y));
    assert_null(nn_plan_data(p, NN_NONE));
    assert_null(nn_plan_data_named(p, "nothing"));
    struct buf text = BUF_INIT(1 << 16);
    assert_int_equal(nn_plan_profile(p, &text), STATUS_OK);
    assert_non_null(strstr(text.data, "common.affine"));
    buf_done(&text);
    nn_plan_free(p);
    op_case_done(&c);
}

/* Every builder, with operands of the right shapes; operand `wrong` holds integers instead. */
struct operands {
    struct nn_graph *g;
    int wrong, next;
};
static struct nn_val operand(struct operands *o, struct nn_shape s)
{
    char name[16];
    snprintf(name, sizeof name, "in%d", o->next);
    return nn_input(o->g, name, o->next++ == o->wrong ? NN_I32 : NN_F32, s);
}
static const struct nn_shape image_s = {4, {2, 4, 4, 6}}, rows_s = {2, {2, 6, 1, 1}},
                             each_s = {1, {6, 1, 1, 1}}, batch_s = {1, {2, 1, 1, 1}};
static struct nn_val image_in(struct operands *o)
{
    return operand(o, image_s);
}
static struct nn_val rows_in(struct operands *o)
{
    return operand(o, rows_s);
}
static struct nn_val each_in(struct operands *o)
{
    return operand(o, each_s);
}
static const struct nn_pool pool_2 = {2, 2, 0, false};
#define BUILDER(name, inputs, ...)                                                                 \
    static struct nn_val build_##name(struct operands *o)                                          \
    {                                                                                              \
        struct nn_graph *g = o->g;                                                                 \
        struct nn_val v[5] = inputs;                                                               \
        return __VA_ARGS__;                                                                        \
    }
#define LIST(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
BUILDER(conv2d, LIST(image_in(o), operand(o, nn_shape4(6, 6, 3, 3)), each_in(o)),
        nn_conv2d(g, v[0], v[1], v[2], nn_conv_same(3, 1)))
BUILDER(linear, LIST(rows_in(o), operand(o, nn_shape2(6, 6)), each_in(o)),
        nn_linear(g, v[0], v[1], v[2]))
BUILDER(group_norm, LIST(image_in(o), each_in(o), each_in(o)),
        nn_group_norm(g, v[0], v[1], v[2], 2, 1e-5f))
BUILDER(batch_norm, LIST(image_in(o), each_in(o), each_in(o), each_in(o), each_in(o)),
        nn_batch_norm(g, v[0], v[1], v[2], v[3], v[4], 0.1f, 1e-5f, false))
BUILDER(layer_norm, LIST(image_in(o), each_in(o), each_in(o)),
        nn_layer_norm(g, v[0], v[1], v[2], 1e-5f))
BUILDER(repeat, LIST(each_in(o)), nn_repeat(g, v[0], 3))
BUILDER(add_each, LIST(rows_in(o), each_in(o)), nn_add_each(g, v[0], v[1]))
BUILDER(concat_tokens, LIST(operand(o, nn_shape3(2, 3, 4)), operand(o, nn_shape3(2, 1, 4))),
        nn_concat_tokens(g, v[0], v[1]))
BUILDER(slice_tokens, LIST(operand(o, nn_shape3(2, 3, 4))), nn_slice_tokens(g, v[0], 1, 2))
BUILDER(act, LIST(image_in(o)), nn_act(g, v[0], NN_RELU))
BUILDER(add, LIST(image_in(o), image_in(o)), nn_add(g, v[0], v[1]))
BUILDER(sub, LIST(image_in(o), image_in(o)), nn_sub(g, v[0], v[1]))
BUILDER(mul, LIST(image_in(o), image_in(o)), nn_mul(g, v[0], v[1]))
BUILDER(affine, LIST(image_in(o)), nn_affine(g, v[0], 2, 1))
BUILDER(add_nc, LIST(image_in(o), rows_in(o)), nn_add_nc(g, v[0], v[1]))
BUILDER(mul_nc, LIST(image_in(o), rows_in(o)), nn_mul_nc(g, v[0], v[1]))
BUILDER(concat, LIST(image_in(o), image_in(o)), nn_concat(g, v[0], v[1]))
BUILDER(slice_c, LIST(image_in(o)), nn_slice_c(g, v[0], 1, 2))
BUILDER(reshape, LIST(image_in(o)), nn_reshape(g, v[0], nn_shape2(2, 96)))
BUILDER(upsample2, LIST(image_in(o)), nn_upsample2(g, v[0]))
BUILDER(max_pool, LIST(image_in(o)), nn_max_pool(g, v[0], pool_2))
BUILDER(avg_pool, LIST(image_in(o)), nn_avg_pool(g, v[0], pool_2))
BUILDER(global_avg_pool, LIST(image_in(o)), nn_global_avg_pool(g, v[0]))
BUILDER(attention, LIST(image_in(o), image_in(o), image_in(o)),
        nn_attention(g, v[0], v[1], v[2], 2))
BUILDER(dropout, LIST(image_in(o)), nn_dropout(g, v[0], 0.5f))
BUILDER(timestep, LIST(operand(o, batch_s)), nn_timestep_embedding(g, v[0], 8, 1))
BUILDER(unit_norm, LIST(image_in(o)), nn_unit_norm(g, v[0], 1e-5f))
BUILDER(wsq_diff, LIST(image_in(o), image_in(o), each_in(o)),
        nn_weighted_sq_diff(g, v[0], v[1], v[2]))
BUILDER(xent, LIST(rows_in(o)), nn_softmax_xent(g, v[0], nn_input(g, "labels", NN_I32, batch_s)))
BUILDER(soft_xent, LIST(rows_in(o), rows_in(o)), nn_soft_xent(g, v[0], v[1]))
BUILDER(mse, LIST(image_in(o), image_in(o)), nn_mse(g, v[0], v[1]))
BUILDER(mean, LIST(image_in(o)), nn_mean(g, v[0]))
BUILDER(sum, LIST(image_in(o)), nn_sum(g, v[0]))

static struct nn_val (*const builders[])(struct operands *o) = {
    build_conv2d,        build_linear,       build_group_norm,
    build_batch_norm,    build_act,          build_add,
    build_sub,           build_mul,          build_affine,
    build_add_nc,        build_mul_nc,       build_concat,
    build_slice_c,       build_reshape,      build_upsample2,
    build_max_pool,      build_avg_pool,     build_global_avg_pool,
    build_attention,     build_dropout,      build_timestep,
    build_unit_norm,     build_wsq_diff,     build_xent,
    build_mse,           build_mean,         build_sum,
    build_layer_norm,    build_repeat,       build_add_each,
    build_concat_tokens, build_slice_tokens, build_soft_xent};

/* Ops that a call of nn.h makes are those with a gradient, and the embedding of time; but these,
   which gradients alone append. */
static bool of_gradients_only(enum nn_op op)
{
    return op == NN_OP_COPY || op == NN_OP_DOT_HW || op == NN_OP_PAD_C || op == NN_OP_SPREAD ||
           (!nn_op_row(op)->gradient && op != NN_OP_TIMESTEP);
}

static void integers_are_no_operands(void **state)
{
    (void)state;
    bool seen[NN_OP_COUNT] = {0};
    for (size_t i = 0; i < ARRAY_LEN(builders); i++)
        for (int wrong = -1, n = 0; wrong < n; wrong++) {
            struct nn_params *params;
            struct nn_graph *g;
            struct errmsg e = {""};
            assert_int_equal(nn_params_new(&params), STATUS_OK);
            assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
            struct operands o = {.g = g, .wrong = wrong};
            struct nn_val y = builders[i](&o);
            if (wrong < 0) { /* all are floats */
                n = o.next;
                if (nn_graph_status(g, &e))
                    fail_msg("builder %zu: %s", i, e.text);
                for (int k = 0; k < g->n_nodes; k++)
                    seen[g->nodes[k].op] = true;
            } else {
                assert_int_equal(y.id, 0);
                if (nn_graph_status(g, &e) != STATUS_INVALID || !strstr(e.text, "not f32"))
                    fail_msg("builder %zu, operand %d: %s", i, wrong, e.text);
            }
            nn_graph_free(g);
            nn_params_free(params);
        }
    for (int op = 0; op < NN_OP_COUNT; op++)
        if (!seen[op] && !of_gradients_only((enum nn_op)op))
            fail_msg("no builder of the table makes %s", nn_op_row((enum nn_op)op)->name);
}

/* Labels are integers, and nothing is differentiated by them. */
static void floats_are_no_labels(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct nn_params *params;
        struct nn_graph *g;
        struct errmsg e = {""};
        assert_int_equal(nn_params_new(&params), STATUS_OK);
        assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
        struct nn_val labels = nn_input(g, "labels", i ? NN_I32 : NN_F32, batch_s), grad;
        struct nn_val loss = nn_softmax_xent(g, nn_input(g, "x", NN_F32, rows_s), labels);
        if (i)
            nn_gradients(g, loss, &labels, 1, &grad);
        assert_int_equal(nn_graph_status(g, &e), STATUS_INVALID);
        assert_non_null(strstr(e.text, i ? "not f32" : "not i32"));
        nn_graph_free(g);
        nn_params_free(params);
    }
}

/* The n-th allocation fails, for every n until the whole life of a network passes. */
static status whole_life(const char *device)
{
    AUTO(nn_params_free) struct nn_params *params = NULL;
    AUTO(nn_graph_free) struct nn_graph *g = NULL;
    AUTO(nn_plan_free) struct nn_plan *p = NULL;
    status st = nn_params_new(&params);
    if (!st)
        st = nn_graph_new(params, &g);
    if (st)
        return st;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(1, 4, 4, 2));
    struct nn_val w = nn_param(g, "w", nn_shape4(4, 2, 3, 3), NN_INIT_KAIMING);
    struct nn_val gamma = nn_param(g, "g", nn_shape1(4), NN_INIT_ONE);
    struct nn_val beta = nn_param(g, "b", nn_shape1(4), NN_INIT_ZERO);
    struct nn_val y = nn_conv2d(g, x, w, NN_NONE, nn_conv_same(3, 1));
    y = nn_act(g, nn_group_norm(g, y, gamma, beta, 2, 1e-5f), NN_SILU);
    for (int i = 0; i < 30; i++)
        y = nn_affine(g, y, 0.5f, 0);
    struct nn_val dx;
    nn_param_gradients(g, nn_sum(g, y), &x, 1, &dx);
    nn_output(g, dx, "dx");
    st = nn_plan_new(g, &(struct nn_plan_options){.device = device, .threads = 1}, &p, NULL);
    return st ? st : nn_plan_run(p);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (const char *const *d = nn_devices(); *d; d++) {
        unsigned long n = 1;
        for (;; n++) {
            fault_set(FAULT_MEM, n, 0, 0);
            status st = whole_life(*d);
            fault_clear();
            if (!st)
                break;
            if (st != STATUS_NOMEM)
                fail_msg("%s, allocation %lu failed: %s", *d, n, status_text(st));
            assert_true(n < 10000);
        }
        assert_true(n > 30);
    }
}

/* Even if a builder forgot its own check, no kernel reads integers as floats. */
static void operands_are_what_the_row_says(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = NULL;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    for (int k = 0; k < 2; k++) {
        AUTO(nn_graph_free) struct nn_graph *g = NULL;
        struct errmsg e = {0};
        assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
        struct nn_val x = nn_input(g, "x", NN_F32, nn_shape2(3, 4));
        struct nn_val labels = nn_input(g, "labels", NN_I32, nn_shape1(3));
        struct nn_val in[] = {x, k ? labels : x};
        struct nn_val y =
            nn_emit1(g, k ? NN_OP_ADD : NN_OP_XENT, in, 2, (struct nn_attr){0}, nn_shape1(3));
        assert_int_equal(y.id, 0);
        assert_int_equal(nn_graph_status(g, &e), STATUS_INVALID);
        assert_non_null(strstr(e.text, k ? "operand 2 is not f32" : "operand 2 is not i32"));
    }
}

/* What fusion relies on without checking it. */
static void rows_agree_with_each_other(void **state)
{
    (void)state;
    for (int op = 0; op < NN_OP_COUNT; op++) {
        const struct nn_op_impl *row = nn_op_row(op);
        const int place[] = {row->stats, row->res, row->nc, row->addend};
        assert_int_equal(row->op, op);
        for (size_t i = 0; i < ARRAY_LEN(place); i++) {
            assert_in_range(place[i], 0, NN_IN_MAX - 1);
            for (size_t k = 0; k < i; k++)
                assert_true(!place[i] || place[i] != place[k]);
        }
        assert_int_equal(row->i32 & (row->in_place | row->products | row->weights), 0);
        if (row->back) {
            assert_int_equal(row->post, NN_POST_LAST);
            assert_int_equal(row->back->post, NN_POST_FIRST);
            assert_true(row->back->stats > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_are_what_the_row_says),
        cmocka_unit_test(rows_agree_with_each_other),
        cmocka_unit_test(the_first_error_is_kept),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(integers_are_no_operands),
        cmocka_unit_test(floats_are_no_labels),
        cmocka_unit_test(unknown_devices_are_refused),
        cmocka_unit_test(data_is_of_inputs_and_outputs),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
