#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop.h"
#include "toy.h"

#include <math.h>

enum { SIDE = 4, ROW = SIDE * SIDE, BATCH = 4, SAMPLES = 10, STEPS = 7 }; /* two batches an epoch */

/* y = mean((w - x)^2): the weights follow the batches. */
struct owner {
    struct train_loop loop;
    struct train_set *set;
    struct nn_graph *graph;
    float *x, *loss;
    int loads, afters, fail_load, fail_after; /* number of the call that fails */
    int first[STEPS];                         /* sample of each step's batch */
};

static status load(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct owner *o = arg;
    (void)e;
    assert_int_equal(b->n, BATCH);
    memcpy(o->x, b->x, BATCH * ROW * sizeof *o->x);
    o->first[o->loop.step % STEPS] = b->index[0];
    return ++o->loads == o->fail_load ? STATUS_LIMIT : STATUS_OK;
}

static float rate(const void *arg, int64_t step)
{
    const struct owner *o = arg;
    assert_int_equal(step, o->loop.step);
    return .1f;
}

static status after(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct owner *o = arg;
    (void)e;
    assert_int_equal(b->n, BATCH);
    assert_true(loss == (double)o->loss[0]);
    return ++o->afters == o->fail_after ? STATUS_LIMIT : STATUS_OK;
}

static void new_owner(struct owner *o)
{
    *o = (struct owner){
        .loop = {.threads = 1, .arg = o, .load = load, .rate = rate, .after = after}};
    struct train_loop *l = &o->loop;
    struct train_data_options d = {.dir = toy_path("set")};
    struct errmsg e = {""};
    toy_good(train_set_open(&d, &o->set, &e), &e);
    struct train_loader_options lo = {
        .batch = BATCH, .shuffle = true, .drop_last = true, .seed = 3, .threads = 1};
    toy_good(train_loader_new(o->set, &lo, &l->loader, &e), &e);
    assert_int_equal(nn_params_new(&l->params), STATUS_OK);
    assert_int_equal(nn_graph_new(l->params, &o->graph), STATUS_OK);
    struct nn_graph *g = o->graph;
    struct nn_val x = nn_input(g, "x", NN_F32, nn_shape2(BATCH, ROW));
    struct nn_val w = nn_param(g, "w", nn_shape2(BATCH, ROW), NN_INIT_ZERO);
    struct nn_val loss = nn_mean(g, nn_mse(g, w, x));
    nn_param_gradients(g, loss, NULL, 0, NULL);
    nn_output(g, loss, "loss");
    assert_int_equal(nn_params_init(l->params, 1), STATUS_OK);
    toy_good(nn_plan_new(g, &(struct nn_plan_options){.threads = 1}, &l->plan, &e), &e);
    o->x = nn_plan_data(l->plan, x);
    l->loss = o->loss = nn_plan_data(l->plan, loss);
    struct nn_optim_options oo = {.kind = NN_SGD, .momentum = .5f, .threads = 1};
    assert_int_equal(nn_optim_new(l->params, &oo, &l->optim), STATUS_OK);
}

static void free_owner(struct owner *o)
{
    nn_optim_free(o->loop.optim);
    nn_plan_free(o->loop.plan);
    nn_graph_free(o->graph);
    nn_params_free(o->loop.params);
    train_loader_free(o->loop.loader);
    train_set_free(o->set);
}

static int make_set(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("set", 2, SAMPLES / 2, SIDE, 1, 1);
    return 0;
}

static void it_may_be_left_between_any_two_steps(void **state)
{
    (void)state;
    struct owner whole, parts;
    new_owner(&whole);
    assert_int_equal(train_loop_run(&whole.loop, STEPS, NULL), STATUS_OK);
    assert_int_equal(whole.loop.step, STEPS);
    assert_int_equal(whole.afters, STEPS);
    const float *w = nn_params_at(whole.loop.params, 0)->value;
    assert_true(w[0] != 0);
    for (int at = 0; at <= STEPS; at++) {
        new_owner(&parts);
        assert_int_equal(train_loop_run(&parts.loop, at, NULL), STATUS_OK);
        assert_int_equal(train_loop_run(&parts.loop, STEPS, NULL), STATUS_OK);
        assert_memory_equal(parts.first, whole.first, sizeof whole.first);
        assert_memory_equal(nn_params_at(parts.loop.params, 0)->value, w, BATCH * ROW * sizeof *w);
        free_owner(&parts);
    }
    /* Epochs are shuffled anew: not the same batch at the same place of each. */
    assert_false(whole.first[0] == whole.first[2] && whole.first[2] == whole.first[4] &&
                 whole.first[1] == whole.first[3] && whole.first[3] == whole.first[5]);
    free_owner(&whole);
}

static status load_own(void *arg, const struct train_batch *b, struct errmsg *e)
{
    struct owner *o = arg;
    (void)e;
    assert_null(b);
    for (int i = 0; i < BATCH * ROW; i++)
        o->x[i] = (float)o->loop.step;
    o->loads++;
    return STATUS_OK;
}

static status count(void *arg, const struct train_batch *b, double loss, struct errmsg *e)
{
    struct owner *o = arg;
    (void)e;
    assert_null(b);
    assert_true(isfinite(loss));
    o->afters++;
    return STATUS_OK;
}

static void without_a_loader_images_are_found_by_load(void **state)
{
    (void)state;
    struct owner o;
    new_owner(&o);
    struct train_loader *loader = o.loop.loader;
    o.loop.loader = NULL;
    o.loop.load = load_own;
    o.loop.after = count;
    o.loop.step = 2;
    assert_int_equal(train_loop_run(&o.loop, STEPS, NULL), STATUS_OK);
    assert_int_equal(o.loop.step, STEPS);
    assert_int_equal(o.loads, STEPS - 2);
    assert_int_equal(o.afters, STEPS - 2);
    o.loop.loader = loader;
    free_owner(&o);
}

static void what_failed_was_not_done(void **state)
{
    (void)state;
    struct owner o;
    new_owner(&o);
    o.fail_load = 3;
    assert_int_equal(train_loop_run(&o.loop, STEPS, NULL), STATUS_LIMIT);
    assert_int_equal(o.loop.step, 2);
    assert_int_equal(o.afters, 2);
    free_owner(&o);
    new_owner(&o);
    o.fail_after = 3;
    assert_int_equal(train_loop_run(&o.loop, STEPS, NULL), STATUS_LIMIT);
    assert_int_equal(o.loop.step, 3);
    free_owner(&o);
    new_owner(&o);
    nn_params_at(o.loop.params, 0)->value[5] = NAN;
    assert_int_equal(nn_plan_refresh(o.loop.plan), STATUS_OK);
    struct errmsg e = {""};
    assert_int_equal(toy_bad(train_loop_run(&o.loop, STEPS, &e), &e, "step 0"), STATUS_CORRUPT);
    assert_int_equal(o.loop.step, 0);
    assert_int_equal(o.afters, 0);
    free_owner(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_may_be_left_between_any_two_steps),
        cmocka_unit_test(without_a_loader_images_are_found_by_load),
        cmocka_unit_test(what_failed_was_not_done),
    };
    return cmocka_run_group_tests_name("loop", tests, make_set, toy_teardown);
}
