/* Plans of whole networks: memory, threads, determinism, errors, failing allocations. */
#include "net_cases.h"
#include "ops/op_cases.h"
#include "plan/plan.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIDE = 8, CH = 16, PIXELS = SIDE * SIDE * 3 };

struct fixture {
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_val y;
};

static void unet_new(struct fixture *f, struct nn_params *shared, int batch)
{
    f->params = shared;
    if (!shared)
        assert_int_equal(nn_params_new(&f->params), STATUS_OK);
    assert_int_equal(nn_graph_new(f->params, &f->g), STATUS_OK);
    f->y = net_unet(f->g, batch, SIDE, CH, 3);
    nn_output(f->g, f->y, "y");
    if (!shared)
        assert_int_equal(nn_params_init(f->params, 5), STATUS_OK);
}

static void resnet_new(struct fixture *f, int batch, bool training)
{
    struct nn_val logits;
    assert_int_equal(nn_params_new(&f->params), STATUS_OK);
    assert_int_equal(nn_graph_new(f->params, &f->g), STATUS_OK);
    struct nn_val loss = net_resnet18(f->g, batch, SIDE, 8, training, &logits);
    if (training)
        nn_param_gradients(f->g, loss, NULL, 0, NULL);
    f->y = nn_mean(f->g, loss);
    nn_output(f->g, f->y, "y");
    assert_int_equal(nn_params_init(f->params, 5), STATUS_OK);
}

static void fixture_done(struct fixture *f, bool params_too)
{
    nn_graph_free(f->g);
    if (params_too)
        nn_params_free(f->params);
}

static struct nn_plan *plan_with(struct fixture *f, struct nn_plan_options o)
{
    struct nn_plan *p = NULL;
    struct errmsg e = {0};
    status st = nn_plan_new(f->g, &o, &p, &e);
    if (st)
        fail_msg("%s", errmsg_text(&e, st));
    return p;
}

static void fill_sample(struct nn_plan *p, int at, int which)
{
    float *x = nn_plan_data_named(p, "x"), *t = nn_plan_data_named(p, "t");
    nn_rng_normal(nn_rng(9, (uint64_t)which), 0, x + at * PIXELS, PIXELS);
    if (t)
        t[at] = 10 * (float)which;
    int32_t *labels = nn_plan_data_named(p, "labels");
    if (labels)
        labels[at] = which % 10;
}

static void run(struct nn_plan *p)
{
    assert_int_equal(nn_plan_run(p), STATUS_OK);
}

/* ---- memory ---- */

static void check_pieces(const struct nn_plan *p)
{
    assert_true(p->n_allocs > 0);
    for (int i = 0; i < p->n_allocs; i++) {
        const struct nn_allocation *a = &p->allocs[i];
        assert_true(a->offset % 64 == 0 && a->offset + a->bytes <= p->info.arena_bytes);
        for (int k = 0; k < i; k++) {
            const struct nn_allocation *b = &p->allocs[k];
            bool together = a->first <= b->last && b->first <= a->last;
            bool overlap = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            if (together && overlap)
                fail_msg("allocations %d [%d,%d] and %d [%d,%d] share bytes", i, a->first, a->last,
                         k, b->first, b->last);
        }
    }
}

/* Every value a step touches must be alive then. */
static void check_lifetimes(const struct nn_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const struct nn_node *node = &p->program->nodes[i];
        for (int k = 0; k < node->n_in + node->n_out; k++) {
            int id = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
            if (!id || p->alloc_of[id] < 0)
                continue;
            const struct nn_allocation *alloc = &p->allocs[p->alloc_of[id]];
            assert_true(alloc->first <= i && i <= alloc->last);
        }
    }
}

static void live_values_never_overlap(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        struct fixture f;
        if (kind < 3)
            unet_new(&f, NULL, 2);
        else
            resnet_new(&f, 3, kind < 5);
        struct nn_plan *p = plan_with(
            &f, (struct nn_plan_options){.device = "openblas",
                                         .threads = 2,
                                         .no_fusion = kind % 2,
                                         .precision = kind % 3 ? NN_PREC_F32 : NN_PREC_BF16});
        check_pieces(p);
        check_lifetimes(p);
        nn_plan_free(p);
        fixture_done(&f, true);
    }
}

static void memory_is_reused(void **state)
{
    (void)state;
    struct fixture f;
    unet_new(&f, NULL, 4);
    struct nn_plan *p = plan_with(&f, (struct nn_plan_options){.device = "openblas", .threads = 1});
    size_t sum = 0;
    for (int i = 0; i < p->n_allocs; i++)
        sum += p->allocs[i].bytes;
    assert_true(nn_plan_info(p).arena_bytes < sum / 4);
    nn_plan_free(p);
    fixture_done(&f, true);
}

/* glibc's allocator, counted. A sanitizer brings its own; there only the seam is counted. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__) &&       \
    !defined(__clang__)
#define COUNT_MALLOC 1
static _Atomic unsigned long mallocs;
void *__libc_malloc(size_t n);
void *malloc(size_t n)
{
    mallocs++;
    return __libc_malloc(n);
}
#else
static unsigned long mallocs;
#endif

static void a_run_allocates_nothing(void **state)
{
    (void)state;
    static const char *const devices[] = {"openblas", "reference"};
    for (size_t d = 0; d < ARRAY_LEN(devices); d++) {
        struct fixture f;
        resnet_new(&f, 2, true);
        struct nn_plan *p =
            plan_with(&f, (struct nn_plan_options){.device = devices[d], .threads = 1});
        fill_sample(p, 0, 1);
        fill_sample(p, 1, 2);
        run(p);
        unsigned long seam = fault_calls(FAULT_MEM), all = mallocs;
        run(p);
        assert_int_equal(nn_plan_refresh(p), STATUS_OK);
        run(p);
        assert_int_equal(fault_calls(FAULT_MEM) - seam, 0);
        assert_int_equal(mallocs - all, 0);
        nn_plan_free(p);
        fixture_done(&f, true);
    }
}

/* ---- bits ---- */

static void a_sample_is_its_own(void **state)
{
    (void)state;
    for (const char *const *d = nn_devices(); *d; d++) {
        struct fixture one, many;
        unet_new(&one, NULL, 1);
        unet_new(&many, one.params, 5);
        struct nn_plan_options o = {.device = *d, .threads = 1};
        struct nn_plan *a = plan_with(&one, o), *b = plan_with(&many, o);
        for (int at = 0; at < 5; at++)
            fill_sample(b, at, (at + 2) % 5);
        run(b);
        for (int at = 0; at < 5; at++) {
            fill_sample(a, 0, (at + 2) % 5);
            run(a);
            assert_memory_equal(nn_plan_data(a, one.y),
                                (float *)nn_plan_data(b, many.y) + at * PIXELS,
                                PIXELS * sizeof(float));
        }
        nn_plan_free(a);
        nn_plan_free(b);
        fixture_done(&many, false);
        fixture_done(&one, true);
    }
}

static void a_run_repeats_bit_for_bit(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        float loss[2], weight[2];
        for (int k = 0; k < 2; k++) {
            struct fixture f;
            resnet_new(&f, 6, true);
            struct nn_plan *p =
                plan_with(&f, (struct nn_plan_options){.device = "openblas", .threads = threads});
            for (int at = 0; at < 6; at++)
                fill_sample(p, at, at);
            run(p);
            run(p);
            loss[k] = *(float *)nn_plan_data(p, f.y);
            weight[k] = nn_params_at(f.params, 0)->grad[3];
            nn_plan_free(p);
            fixture_done(&f, true);
        }
        assert_memory_equal(&loss[0], &loss[1], sizeof loss[0]);
        assert_memory_equal(&weight[0], &weight[1], sizeof weight[0]);
        assert_true(isfinite(loss[0]) && loss[0] > 0);
    }
}

struct worker {
    struct nn_params *params;
    float y[PIXELS];
};

static void *run_alone(void *arg)
{
    struct worker *w = arg;
    struct nn_graph *g = NULL;
    struct nn_plan *p = NULL;
    if (nn_graph_new(w->params, &g))
        return NULL;
    struct nn_val y = net_unet(g, 1, SIDE, CH, 3);
    nn_output(g, y, "y");
    const struct nn_plan_options o = {.device = "openblas", .threads = 1, .shared = true};
    if (!nn_plan_new(g, &o, &p, NULL)) {
        fill_sample(p, 0, 3);
        for (int i = 0; i < 3; i++)
            if (!nn_plan_run(p))
                memcpy(w->y, nn_plan_data(p, y), sizeof w->y);
    }
    nn_plan_free(p);
    nn_graph_free(g);
    return NULL;
}

static void plans_run_side_by_side(void **state)
{
    (void)state;
    struct fixture f;
    unet_new(&f, NULL, 1);
    static struct worker w[4];
    pthread_t id[3];
    for (int i = 0; i < 4; i++)
        w[i] = (struct worker){.params = f.params};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&id[i], NULL, run_alone, &w[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(id[i], NULL);
    run_alone(&w[3]);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(w[i].y, w[3].y, sizeof w[3].y);
    assert_true(w[3].y[0] != 0);
    fixture_done(&f, true);
}

/* ---- shared weights ---- */

static const struct nn_plan_options shared = {.threads = 1, .shared = true}, apart = {.threads = 1};

static void run_sample(struct nn_plan *p, struct fixture *f, float y[PIXELS])
{
    fill_sample(p, 0, 3);
    run(p);
    memcpy(y, nn_plan_data(p, f->y), PIXELS * sizeof *y);
}

static void shared_weights_are_packed_once(void **state)
{
    (void)state;
    struct fixture f;
    float y[3][PIXELS];
    int packs = 0;
    unet_new(&f, NULL, 1);
    struct nn_plan *a = plan_with(&f, shared), *b = plan_with(&f, shared),
                   *c = plan_with(&f, apart);
    for (int i = 0; i < a->n_steps; i++) {
        if (!a->steps[i].packed)
            continue;
        packs++;
        assert_ptr_equal(a->steps[i].packed, b->steps[i].packed);
        assert_ptr_not_equal(a->steps[i].packed, c->steps[i].packed);
    }
    assert_true(packs > 10);
    run_sample(a, &f, y[0]);
    nn_plan_free(a);
    run_sample(b, &f, y[1]);
    run_sample(c, &f, y[2]);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_memory_equal(y[0], y[2], sizeof y[0]);
    nn_plan_free(b);
    nn_plan_free(c);
    fixture_done(&f, true); /* which asserts that no pack is left */
}

static void plans_that_cannot_be_made_leave_no_weights(void **state)
{
    (void)state;
    struct fixture f;
    status st = STATUS_NOMEM;
    unet_new(&f, NULL, 1);
    for (unsigned long n = 1; st; n++) {
        struct nn_plan *p = NULL, *other = n % 2 ? plan_with(&f, shared) : NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        st = nn_plan_new(f.g, &shared, &p, NULL);
        fault_clear();
        assert_true(st == STATUS_OK || st == STATUS_NOMEM);
        nn_plan_free(other);
        nn_plan_free(p);
    }
    fixture_done(&f, true);
}

/* ---- fusion ---- */

static int count_steps(const struct nn_plan *p, enum nn_op op)
{
    int n = 0;
    for (int i = 0; i < p->n_steps; i++)
        n += p->steps[i].op == op;
    return n;
}

static void a_unet_fuses_what_it_can(void **state)
{
    (void)state;
    struct fixture f;
    unet_new(&f, NULL, 1);
    struct nn_plan *p = plan_with(&f, (struct nn_plan_options){.device = "openblas", .threads = 1});
    assert_int_equal(count_steps(p, NN_OP_ADD), 0);
    assert_int_equal(count_steps(p, NN_OP_ADD_NC), 0);
    assert_int_equal(count_steps(p, NN_OP_ACT), 2); /* of the time embedding */
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 1; k < p->steps[i].n_out; k++)
            assert_false(nn_has(&p->steps[i].out[k])); /* no statistics kept without gradients */
    nn_plan_free(p);
    p = plan_with(&f,
                  (struct nn_plan_options){.device = "openblas", .threads = 1, .no_fusion = true});
    assert_int_equal(nn_plan_info(p).fused, 0);
    assert_true(count_steps(p, NN_OP_ADD_NC) > 10);
    nn_plan_free(p);
    fixture_done(&f, true);
}

static void training_fuses_backward_pairs(void **state)
{
    (void)state;
    struct fixture f;
    resnet_new(&f, 2, true);
    struct nn_plan *p = plan_with(&f, (struct nn_plan_options){.device = "openblas", .threads = 1});
    assert_int_equal(count_steps(p, NN_OP_ACT), 0);
    assert_int_equal(count_steps(p, NN_OP_ADD), 0);
    assert_int_equal(count_steps(p, NN_OP_ACT_BACK), 8); /* behind the 8 residual sums */
    nn_plan_free(p);
    fixture_done(&f, true);
}

static void training_lowers_the_loss(void **state)
{
    (void)state;
    struct fixture f;
    resnet_new(&f, 8, true);
    struct nn_plan *p = plan_with(&f, (struct nn_plan_options){.device = "openblas", .threads = 2});
    for (int at = 0; at < 8; at++)
        fill_sample(p, at, at);
    run(p);
    float first = *(float *)nn_plan_data(p, f.y);
    for (int step = 0; step < 10; step++) {
        for (int i = 0; i < nn_params_count(f.params); i++) {
            struct nn_param_entry *e = nn_params_at(f.params, i);
            for (int64_t k = 0; e->trainable && k < nn_shape_count(e->shape); k++)
                e->value[k] -= 0.01f * e->grad[k];
        }
        assert_int_equal(nn_plan_refresh(p), STATUS_OK);
        run(p);
    }
    float last = *(float *)nn_plan_data(p, f.y);
    if (!(last < 0.5f * first))
        fail_msg("loss went from %g to %g", (double)first, (double)last);
    nn_plan_free(p);
    fixture_done(&f, true);
}

static void dropout_draws_anew_each_run(void **state)
{
    (void)state;
    struct nn_params *params;
    struct nn_graph *g;
    struct nn_plan *p = NULL;
    enum { N = 50000 };
    assert_int_equal(nn_params_new(&params), STATUS_OK);
    assert_int_equal(nn_graph_new(params, &g), STATUS_OK);
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape1(N));
    struct nn_val a = nn_dropout(g, x, 0.25f), b = nn_dropout(g, x, 0.25f);
    nn_output(g, a, "a");
    nn_output(g, b, "b");
    assert_int_equal(nn_plan_new(g, &(struct nn_plan_options){.threads = 2}, &p, NULL), STATUS_OK);
    float *in = nn_plan_data(p, x), *out = nn_plan_data(p, a), *other = nn_plan_data(p, b);
    static float first[N], second[N];
    for (int i = 0; i < N; i++)
        in[i] = 3;
    nn_plan_seed(p, 1, 0);
    run(p);
    memcpy(first, out, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    run(p);
    memcpy(second, out, sizeof second);
    assert_memory_not_equal(first, second, sizeof first);
    nn_plan_seed(p, 1, 1);
    run(p);
    assert_memory_equal(out, second, sizeof second);
    int kept = 0;
    for (int i = 0; i < N; i++) {
        assert_true(first[i] == 0 || fabsf(first[i] - 4) < 1e-5f);
        kept += first[i] != 0;
    }
    assert_in_range(kept, (int)(0.74 * N), (int)(0.76 * N)); /* 5 standard deviations */
    nn_plan_free(p);
    nn_graph_free(g);
    nn_params_free(params);
}

/* openblas stores in bf16 where it is named; the default device offers bf16 only to compute in it. */
static void bf16_by_default_is_computed(void **state)
{
    (void)state;
    assert_true(nn_precision_supported("openblas", NN_PREC_BF16));
    assert_true(nn_precision_supported(NULL, NN_PREC_F32));
    bool first = strcmp(nn_devices()[0], "openblas") == 0;
    assert_int_equal(nn_precision_supported(NULL, NN_PREC_BF16),
                     !first && nn_precision_supported(nn_devices()[0], NN_PREC_BF16));
}

/* A step that a kernel does not support goes to the next of the chain; the last is the reference. */
static void kernels_are_asked_in_order(void **state)
{
    (void)state;
    struct nn_step s = {.op = NN_OP_CONV2D, .n_in = 3, .n_out = 1, .threads = 1};
    s.in[0].shape = s.out[0].shape = nn_shape4(1, 4, 4, 8);
    s.in[1] = (struct nn_tensor){.shape = nn_shape4(8, 8, 3, 3), .constant = true};
    s.attr.conv = nn_conv_same(3, 1);
    const struct nn_device *d = nn_device_find("openblas");
    int depth;
    const struct nn_kernel *k = nn_kernel_pick(d, &s, NULL, &depth);
    assert_string_equal(k->name, "openblas.conv2d");
    assert_int_equal(depth, 0);
    k = nn_kernel_pick(d, &s, k, &depth);
    assert_string_equal(k->name, "reference.conv2d");
    assert_int_equal(depth, 2); /* behind openblas and common */
    assert_null(nn_kernel_pick(d, &s, k, &depth));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_values_never_overlap),
        cmocka_unit_test(memory_is_reused),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(a_sample_is_its_own),
        cmocka_unit_test(a_run_repeats_bit_for_bit),
        cmocka_unit_test(plans_run_side_by_side),
        cmocka_unit_test(shared_weights_are_packed_once),
        cmocka_unit_test(plans_that_cannot_be_made_leave_no_weights),
        cmocka_unit_test(a_unet_fuses_what_it_can),
        cmocka_unit_test(training_fuses_backward_pairs),
        cmocka_unit_test(training_lowers_the_loss),
        cmocka_unit_test(dropout_draws_anew_each_run),
        cmocka_unit_test(bf16_by_default_is_computed),
        cmocka_unit_test(kernels_are_asked_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
