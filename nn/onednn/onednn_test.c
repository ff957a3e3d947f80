/* Properties of device onednn beyond op_test.c, which compares every device with the reference. */
#include "nn/nn.h"
#include "onednn/onednn.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* One convolution with everything the planner fuses into it, and its gradients. */
struct shape {
    int size, c, o, kernel, stride, groups;
    bool bias, nc, res;
    int act; /* enum nn_act_kind; -1: none */
};
static const struct shape shapes[] = {
    {8, 3, 16, 3, 1, 1, true, false, false, NN_RELU},
    {8, 16, 3, 3, 1, 1, true, false, false, -1},
    {9, 16, 24, 3, 1, 1, true, true, true, NN_SILU},
    {16, 32, 32, 3, 1, 1, true, true, false, -1},
    {16, 32, 32, 3, 1, 1, false, false, true, NN_RELU},
    {8, 64, 32, 1, 1, 1, true, false, true, -1},
    {12, 16, 16, 3, 2, 1, true, true, false, NN_SIGMOID},
    {4, 64, 64, 3, 1, 1, true, false, false, NN_TANH},
    {7, 8, 16, 5, 1, 1, false, false, false, -1},
    {8, 16, 16, 3, 1, 4, true, false, true, -1},
    {1, 40, 24, 1, 1, 1, true, false, false, -1},
    {7, 24, 20, 5, 2, 1, true, false, false, -1}, /* blocks of channels that are not full */
    /* more than a megabyte an image: several groups where images are copied into blocks */
    {40, 48, 96, 3, 1, 1, true, true, true, NN_SILU},
};

struct net {
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_val x, nc, y, dx;
};

static void net_donep(struct net *n)
{
    nn_graph_free(n->g);
    nn_params_free(n->params);
}
#define NET __attribute__((cleanup(net_donep))) struct net

static struct net new_net(const struct shape *s, int batch, bool gradients)
{
    struct net n = {0};
    assert_int_equal(nn_params_new(&n.params), STATUS_OK);
    assert_int_equal(nn_graph_new(n.params, &n.g), STATUS_OK);
    struct nn_conv attr = nn_conv_same(s->kernel, s->stride);
    attr.groups = s->groups;
    n.x = nn_input(n.g, "x", NN_F32, nn_shape4(batch, s->size, s->size, s->c));
    struct nn_val w = nn_param(n.g, "w", nn_shape4(s->o, s->c / s->groups, s->kernel, s->kernel),
                               NN_INIT_KAIMING);
    struct nn_val b =
        s->bias ? nn_param(n.g, "b", nn_shape1(s->o), NN_INIT_UNIFORM_FANIN) : NN_NONE;
    struct nn_val y = nn_conv2d(n.g, n.x, w, b, attr);
    if (s->nc) {
        n.nc = nn_input(n.g, "nc", NN_F32, nn_shape2(batch, s->o));
        y = nn_add_nc(n.g, y, n.nc);
    }
    if (s->res) {
        /* made from the convolution's own input, so that its memory may become the result's */
        struct nn_val project = nn_param(n.g, "p", nn_shape4(s->o, s->c, 1, 1), NN_INIT_KAIMING);
        struct nn_val r =
            nn_conv2d(n.g, n.x, project, NN_NONE, (struct nn_conv){.stride = s->stride});
        y = nn_add(n.g, y, nn_affine(n.g, r, 0.5f, 0.1f));
    }
    n.y = s->act >= 0 ? nn_act(n.g, y, (enum nn_act_kind)s->act) : y;
    nn_output(n.g, n.y, "y");
    if (gradients) {
        struct nn_val loss = nn_mean(n.g, nn_mul(n.g, n.y, n.y));
        nn_param_gradients(n.g, loss, &n.x, 1, &n.dx);
        nn_output(n.g, n.dx, "dx");
    }
    assert_int_equal(nn_params_init(n.params, 5), STATUS_OK);
    return n;
}

static struct nn_plan *new_plan_in(const struct net *n, const char *device, int threads,
                                   enum nn_precision precision)
{
    struct nn_plan *plan = NULL;
    struct errmsg e = {""};
    struct nn_plan_options o = {.device = device, .threads = threads, .precision = precision};
    status st = nn_plan_new(n->g, &o, &plan, &e);
    if (st)
        fail_msg("%s: %s", status_text(st), e.text);
    return plan;
}

static struct nn_plan *new_plan(const struct net *n, const char *device, int threads)
{
    return new_plan_in(n, device, threads, NN_PREC_F32);
}

/* Image i of the inputs holds the numbers of sample first + i. */
static void feed(struct nn_plan *p, const struct net *n, struct nn_val v, int first)
{
    struct nn_shape s = nn_val_shape(n->g, v);
    size_t each = (size_t)nn_shape_count(s) / (size_t)s.dim[0];
    for (int i = 0; i < s.dim[0]; i++)
        nn_rng_normal(nn_rng(7, (uint64_t)(first + i)), (uint64_t)v.id << 32,
                      (float *)nn_plan_data(p, v) + (size_t)i * each, each);
}

static void run(struct nn_plan *p, const struct net *n, int first)
{
    feed(p, n, n->x, first);
    if (n->nc.id)
        feed(p, n, n->nc, first);
    assert_int_equal(nn_plan_run(p), STATUS_OK);
}

static size_t count(const struct net *n, struct nn_val v)
{
    return (size_t)nn_shape_count(nn_val_shape(n->g, v));
}

static void samples_of_any_batch(enum nn_precision precision)
{
    enum { SAMPLES = 8 };
    static const int batches[] = {1, 2, 3, 8};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        AUTO(mem_free) float *want = NULL;
        for (size_t k = 0; k < ARRAY_LEN(batches); k++) {
            NET n = new_net(&shapes[i], batches[k], false);
            AUTO(nn_plan_free) struct nn_plan *p = new_plan_in(&n, "onednn", 1, precision);
            size_t each = count(&n, n.y) / (size_t)batches[k];
            if (!want)
                want = mem_alloc(SAMPLES * each * sizeof *want);
            assert_non_null(want);
            for (int first = 0; first + batches[k] <= SAMPLES; first++) {
                run(p, &n, first);
                const float *y = nn_plan_data(p, n.y);
                if (k == 0)
                    memcpy(want + (size_t)first * each, y, each * sizeof *y);
                else if (memcmp(want + (size_t)first * each, y,
                                (size_t)batches[k] * each * sizeof *y) != 0)
                    fail_msg("shape %zu, batch %d, samples from %d", i, batches[k], first);
            }
        }
    }
}

static void a_sample_does_not_see_its_batch(void **state)
{
    (void)state;
    samples_of_any_batch(NN_PREC_F32);
}

static void nor_does_it_in_bf16(void **state)
{
    (void)state;
    if (!nn_precision_supported("onednn", NN_PREC_BF16))
        skip();
    samples_of_any_batch(NN_PREC_BF16);
}

/* One net per thread for what is written; the weights they read are the same numbers. */
struct worker {
    pthread_t thread;
    struct nn_plan *plan;
    const struct net *net;
    int first;
    uint64_t sum;
    bool failed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 20 && !w->failed; i++) {
        feed(w->plan, w->net, w->net->x, w->first + i % 3);
        if (w->net->nc.id)
            feed(w->plan, w->net, w->net->nc, w->first + i % 3);
        w->failed = nn_plan_run(w->plan) != STATUS_OK;
        w->sum = w->sum * 31 + checksum64(nn_plan_data(w->plan, w->net->y),
                                          count(w->net, w->net->y) * sizeof(float));
    }
    return NULL;
}

static void plans_run_side_by_side(void **state)
{
    (void)state;
    enum { WORKERS = 4 };
    for (size_t i = 2; i < 6; i++) {
        NET n = new_net(&shapes[i], 3, false);
        struct worker alone[WORKERS] = {0}, together[WORKERS] = {0};
        for (int k = 0; k < WORKERS; k++) {
            AUTO(nn_plan_free) struct nn_plan *p = new_plan(&n, "onednn", 1);
            alone[k] = (struct worker){.plan = p, .net = &n, .first = 10 * k};
            work(&alone[k]);
            together[k] =
                (struct worker){.plan = new_plan(&n, "onednn", 1), .net = &n, .first = 10 * k};
        }
        for (int k = 0; k < WORKERS; k++)
            assert_int_equal(pthread_create(&together[k].thread, NULL, work, &together[k]), 0);
        for (int k = 0; k < WORKERS; k++) {
            assert_int_equal(pthread_join(together[k].thread, NULL), 0);
            nn_plan_free(together[k].plan);
            assert_false(alone[k].failed || together[k].failed);
            assert_int_equal(alone[k].sum, together[k].sum);
        }
    }
}

/* For any thread count the same run gives the same bits, and near those of one thread. */
static void run_thrice(enum nn_precision precision)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int threads = 1; threads <= 3; threads++) {
            NET n = new_net(&shapes[i], 5, true);
            AUTO(nn_plan_free) struct nn_plan *p = new_plan_in(&n, "onednn", threads, precision);
            const struct nn_param_entry *w = nn_params_find(n.params, "w");
            size_t bytes = (size_t)nn_shape_count(w->shape) * sizeof(float);
            uint64_t first[3] = {0};
            for (int turn = 0; turn < 3; turn++) {
                run(p, &n, 0);
                uint64_t sums[3] = {
                    checksum64(nn_plan_data(p, n.y), count(&n, n.y) * sizeof(float)),
                    checksum64(nn_plan_data(p, n.dx), count(&n, n.dx) * sizeof(float)),
                    checksum64(w->grad, bytes)};
                if (turn == 0)
                    memcpy(first, sums, sizeof sums);
                assert_memory_equal(first, sums, sizeof sums);
            }
        }
}

static void runs_repeat(void **state)
{
    (void)state;
    run_thrice(NN_PREC_F32);
}

static void runs_repeat_in_bf16(void **state)
{
    (void)state;
    if (!nn_precision_supported("onednn", NN_PREC_BF16))
        skip();
    run_thrice(NN_PREC_BF16);
}

/* Rows of one image that go to several threads are the rows that one thread computes. */
static void attention_may_share_an_image(void **state)
{
    (void)state;
    static const struct {
        int n, h, w, c;
    } sizes[] = {{1, 16, 16, 48}, {1, 15, 18, 40}, {2, 8, 16, 32}, {3, 24, 16, 64}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (enum nn_precision precision = 0; precision < NN_PREC_COUNT; precision++) {
            if (!nn_precision_supported("onednn", precision))
                continue;
            struct nn_shape shape = nn_shape4(sizes[i].n, sizes[i].h, sizes[i].w, sizes[i].c);
            size_t elements = (size_t)nn_shape_count(shape);
            AUTO(mem_free) float *want = mem_alloc(elements * sizeof *want);
            struct nn_graph *g;
            struct nn_params *params;
            assert_int_equal(nn_params_new(&params), STATUS_OK);
            assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
            static const char *const names[] = {"q", "k", "v"};
            struct nn_val in[3];
            for (int k = 0; k < 3; k++)
                in[k] = nn_input(g, names[k], NN_F32, shape);
            struct nn_val y = nn_affine(g, nn_attention(g, in[0], in[1], in[2], 1), 1, 0);
            nn_output(g, y, "y");
            for (int threads = 1; threads <= 5; threads++) {
                struct nn_plan_options o = {
                    .threads = threads, .device = "onednn", .precision = precision};
                AUTO(nn_plan_free) struct nn_plan *p = NULL;
                assert_int_equal(nn_plan_new(g, &o, &p, NULL), STATUS_OK);
                for (uint64_t k = 0; k < 3; k++)
                    nn_rng_normal(nn_rng(7, k), 0, nn_plan_data(p, in[k]), elements);
                assert_int_equal(nn_plan_run(p), STATUS_OK);
                if (threads == 1)
                    memcpy(want, nn_plan_data(p, y), elements * sizeof *want);
                assert_memory_equal(want, nn_plan_data(p, y), elements * sizeof *want);
            }
            nn_graph_free(g);
            nn_params_free(params);
        }
}

/* The planner skips a kernel that cannot be prepared without a word, and the next one is slow: so here
   the kernel itself is prepared. */
static void bf16_is_in_the_library(void **state)
{
    (void)state;
    if (!nn_precision_supported("onednn", NN_PREC_BF16))
        skip();
    struct nn_tensor x = {.shape = nn_shape4(2, 8, 8, 16), .store = NN_STORE_BF16};
    struct nn_tensor y = {.shape = nn_shape4(2, 8, 8, 24), .store = NN_STORE_BF16};
    struct nn_tensor w = {.shape = nn_shape4(24, 16, 3, 3)}, b = {.shape = nn_shape1(24)};
    struct nn_step of[] = {
        {.op = NN_OP_CONV2D, .in = {x, w, b}, .out = {y}},
        {.op = NN_OP_CONV2D_DATA, .in = {y, w}, .out = {x}},
        {.op = NN_OP_CONV2D_WEIGHTS, .in = {x, y}, .out = {w, b}},
    };
    static const struct nn_kernel *const kernel[] = {&nn_onednn_conv2d, &nn_onednn_conv2d_data,
                                                     &nn_onednn_conv2d_weights};
    struct errmsg e = {""};
    void *ctx = NULL;
    assert_int_equal(nn_device_onednn.open(1, NN_PREC_BF16, &ctx, &e), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(of); i++) {
        struct nn_step *s = &of[i];
        s->attr.conv = nn_conv_same(3, 1);
        s->attr.post = NN_POST_NONE;
        s->device_ctx = ctx, s->threads = 1, s->precision = NN_PREC_BF16;
        assert_true(kernel[i]->supports(s));
        status st = kernel[i]->prepare(s, &e);
        kernel[i]->drop(s);
        if (st)
            fail_msg("%s: %s", kernel[i]->name, e.text);
    }
    nn_device_onednn.close(ctx);
}

static double farthest(const float *a, const float *b, size_t n)
{
    double top = 0, far = 0;
    for (size_t i = 0; i < n; i++) {
        top = fmax(top, fabs((double)a[i]));
        far = fmax(far, fabs((double)a[i] - b[i]));
    }
    return far / (top > 0 ? top : 1);
}

/* After new weights and a refresh a plan is as one newly made; without it, the old weights hold. */
static void refresh_takes_new_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        NET n = new_net(&shapes[i], 2, true);
        AUTO(nn_plan_free) struct nn_plan *p = new_plan(&n, "onednn", 2);
        AUTO(nn_plan_free) struct nn_plan *reference = new_plan(&n, "reference", 1);
        uint64_t seeds = shapes[i].size < 32 ? 3 : 1; /* the reference takes its time */
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            assert_int_equal(nn_params_init(n.params, seed), STATUS_OK);
            assert_int_equal(nn_plan_refresh(p), STATUS_OK);
            assert_int_equal(nn_plan_refresh(reference), STATUS_OK);
            const struct nn_param_entry *w = nn_params_find(n.params, "w");
            size_t w_count = (size_t)nn_shape_count(w->shape);
            AUTO(mem_free) float *dw = mem_alloc(w_count * sizeof *dw);
            assert_non_null(dw);
            run(p, &n, 0);
            memcpy(dw, w->grad, w_count * sizeof *dw);
            run(reference, &n, 0);
            double far_dw = farthest(dw, w->grad, w_count);
            double y = farthest(nn_plan_data(p, n.y), nn_plan_data(reference, n.y), count(&n, n.y));
            double dx =
                farthest(nn_plan_data(p, n.dx), nn_plan_data(reference, n.dx), count(&n, n.dx));
            if (y > 1e-5 || dx > 1e-5 || far_dw > 1e-5)
                fail_msg("shape %zu, seed %d: y %g, dx %g, dw %g", i, (int)seed, y, dx, far_dw);
        }
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    NET n = new_net(&shapes[2], 2, true);
    for (unsigned long k = 1;; k++) {
        AUTO(nn_plan_free) struct nn_plan *p = NULL;
        struct errmsg e = {""};
        fault_set(FAULT_MEM, k, 0, 0);
        status st = nn_plan_new(n.g, &(struct nn_plan_options){.device = "onednn"}, &p, &e);
        fault_clear();
        if (!st)
            break;
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(p);
    }
}

static void bf16_is_refused_where_the_cpu_has_none(void **state)
{
    (void)state;
    if (nn_precision_supported("onednn", NN_PREC_BF16))
        skip();
    NET n = new_net(&shapes[3], 2, false);
    struct nn_plan *p = NULL;
    struct errmsg e = {""};
    struct nn_plan_options o = {.device = "onednn", .precision = NN_PREC_BF16};
    assert_int_equal(nn_plan_new(n.g, &o, &p, &e), STATUS_UNSUPPORTED);
    assert_non_null(strstr(e.text, "bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_does_not_see_its_batch),
        cmocka_unit_test(nor_does_it_in_bf16),
        cmocka_unit_test(plans_run_side_by_side),
        cmocka_unit_test(runs_repeat),
        cmocka_unit_test(runs_repeat_in_bf16),
        cmocka_unit_test(attention_may_share_an_image),
        cmocka_unit_test(bf16_is_in_the_library),
        cmocka_unit_test(refresh_takes_new_weights),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(bf16_is_refused_where_the_cpu_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
