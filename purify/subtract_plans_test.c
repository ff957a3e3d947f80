/* A worker's plans: the one that was asked for, found again, and few of them. */
#include "subtract_plans.h"

#include "test_engines.h"

static struct subtract *network(void)
{
    char path[160];
    struct purify_restorer cfg = test_restorer_cfg(1);
    struct subtract *m = NULL;
    struct nn_file *f = NULL;
    const struct subtract_how how = {.gain = 1, .passes = 1};
    snprintf(path, sizeof path, "%s/r.safetensors", dir.path);
    test_restorer_save(test_restorer_params(&cfg), &cfg, path);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    assert_int_equal(subtract_new(&how, &(struct digest){{0}}, f, &m, NULL), STATUS_OK);
    nn_file_close(f);
    return m;
}

static const struct nn_plan *plan_of(struct subtract_plans *p, const struct subtract *m, int batch,
                                     int height, int width)
{
    struct subtract_plan *got;
    assert_int_equal(subtract_plans_get(p, m, batch, height, width, &got, NULL), STATUS_OK);
    assert_int_equal(got->batch, batch);
    assert_int_equal(got->height, height);
    assert_int_equal(got->width, width);
    return got->plan;
}

static bool has(const struct subtract_plans *p, int height, int width)
{
    for (int i = 0; i < SUBTRACT_PLANS_MAX; i++)
        if (p->at[i].batch && p->at[i].height == height && p->at[i].width == width)
            return true;
    return false;
}

static void least_recently_used_goes(void **state)
{
    (void)state;
    struct subtract *m = network();
    struct subtract_plans p = {.now = 0};
    const struct nn_plan *first = plan_of(&p, m, 1, 8, 8);
    for (int k = 2; k <= SUBTRACT_PLANS_MAX; k++)
        plan_of(&p, m, 1, 8 * k, 8);
    assert_ptr_equal(plan_of(&p, m, 1, 8, 8), first);
    plan_of(&p, m, 1, 8, 16); /* one more than are kept */
    assert_true(has(&p, 8, 8) && has(&p, 8, 16) && !has(&p, 16, 8));
    plan_of(&p, m, 2, 8, 8); /* another batch is another plan */
    assert_ptr_equal(plan_of(&p, m, 1, 8, 8), first);
    assert_false(has(&p, 24, 8));
    subtract_plans_done(&p);
    subtract_free(m);
}

static void two_large_ones_are_kept(void **state)
{
    (void)state;
    struct subtract *m = network();
    struct subtract_plans p = {.now = 0};
    plan_of(&p, m, 1, 760, 768);
    plan_of(&p, m, 1, 768, 768);
    assert_true(has(&p, 760, 768));
    plan_of(&p, m, 1, 8, 8); /* beside two of them there is no space, so the older one goes */
    plan_of(&p, m, 1, 768, 760);
    assert_true(has(&p, 768, 760) && has(&p, 8, 8));
    assert_false(has(&p, 760, 768));
    subtract_plans_done(&p);
    subtract_free(m);
}

/* A plan that cannot be made leaves its place free and the others as they are. */
static void failures_leave_the_others(void **state)
{
    (void)state;
    struct subtract *m = network();
    struct subtract_plans p = {.now = 0};
    const struct nn_plan *first = plan_of(&p, m, 1, 8, 8);
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        struct subtract_plan *got;
        fault_set(FAULT_MEM, n, 0, 0);
        st = subtract_plans_get(&p, m, 1, 16, 16, &got, NULL);
        fault_clear();
        assert_int_equal(has(&p, 16, 16), st == STATUS_OK);
        assert_true(n < 1000);
    }
    assert_int_equal(st, STATUS_OK);
    assert_ptr_equal(plan_of(&p, m, 1, 8, 8), first);
    subtract_plans_done(&p);
    subtract_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_recently_used_goes),
        cmocka_unit_test(two_large_ones_are_kept),
        cmocka_unit_test(failures_leave_the_others),
    };
    return cmocka_run_group_tests_name("purify/subtract_plans", tests, make_dir, remove_dir);
}
