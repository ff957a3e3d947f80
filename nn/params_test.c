#include "params.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct nn_params *new_params(void)
{
    struct nn_params *p = NULL;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    return p;
}

static struct nn_param_entry *get(struct nn_params *p, const char *name, struct nn_shape s,
                                  enum nn_init init)
{
    struct nn_param_entry *e = NULL;
    struct errmsg err = {""};
    assert_int_equal(nn_params_get(p, name, s, init, true, &e, &err), STATUS_OK);
    return e;
}

static void finds_or_creates(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    struct nn_param_entry *first = get(p, "a", nn_shape2(2, 3), NN_INIT_ONE), *e = NULL;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        get(p, name, nn_shape1(1 + i % 5), NN_INIT_ZERO);
    }
    assert_int_equal(nn_params_count(p), 1001);
    assert_ptr_equal(nn_params_at(p, 0), first);
    assert_ptr_equal(get(p, "a", nn_shape2(2, 3), NN_INIT_ZERO), first);
    assert_ptr_equal(nn_params_find(p, "a"), first);
    assert_string_equal(nn_params_find(p, "p777")->name, "p777");
    assert_null(nn_params_find(p, "p1000"));
    assert_null(nn_params_at(p, 1001));
    assert_null(nn_params_at(p, -1));
    assert_int_equal(nn_params_elements(p, true), 6 + 3000);
    struct errmsg err = {""};
    assert_int_equal(nn_params_get(p, "run", nn_shape1(7), NN_INIT_ONE, false, &e, &err), 0);
    assert_int_equal(nn_params_elements(p, true), 6 + 3000);
    assert_int_equal(nn_params_elements(p, false), 6 + 3000 + 7);
    assert_true(e->lr_scale == 1 && e->decay && !e->trainable && !e->grad);
    assert_int_equal((uintptr_t)e->value % 64, 0);
}

static void refuses(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    struct nn_param_entry *e = NULL;
    struct errmsg err = {""};
    char name[NN_NAME_MAX + 1];
    memset(name, 'x', sizeof name);
    name[NN_NAME_MAX] = 0;
    get(p, "a", nn_shape2(2, 3), NN_INIT_ONE);
    const struct {
        const char *name;
        struct nn_shape s;
        bool trainable;
    } row[] = {
        {"a", nn_shape2(3, 2), true},
        {"a", nn_shape1(6), true},
        {"a", nn_shape2(2, 3), false},
        {"", nn_shape1(1), true},
        {name, nn_shape1(1), true},
        {"zero", nn_shape2(0, 4), true},
        {"huge", nn_shape4(65536, 65536, 65536, 65536), true},
        {"none", {0, {0}}, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        err.text[0] = 0;
        assert_int_equal(
            nn_params_get(p, row[i].name, row[i].s, NN_INIT_ONE, row[i].trainable, &e, &err),
            STATUS_INVALID);
        assert_true(err.text[0] != 0);
    }
    assert_null(e);
    assert_int_equal(nn_params_count(p), 1);
}

static double mean_square(const struct nn_param_entry *e)
{
    int64_t n = nn_shape_count(e->shape);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)e->value[i] * e->value[i];
    return sum / (double)n;
}

static float largest(const struct nn_param_entry *e)
{
    float m = 0;
    for (int64_t i = 0; i < nn_shape_count(e->shape); i++)
        m = fmaxf(m, fabsf(e->value[i]));
    return m;
}

static void init_rules(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    struct nn_shape s = nn_shape4(64, 32, 3, 3); /* fan in 288, fan out 576 */
    struct nn_param_entry *kaiming = get(p, "k", s, NN_INIT_KAIMING);
    struct nn_param_entry *uniform = get(p, "u.weight", s, NN_INIT_UNIFORM_FANIN);
    struct nn_param_entry *bias = get(p, "u.bias", nn_shape1(64), NN_INIT_UNIFORM_FANIN);
    struct nn_param_entry *xavier = get(p, "x", nn_shape2(100, 50), NN_INIT_XAVIER);
    struct nn_param_entry *one = get(p, "one", nn_shape1(9), NN_INIT_ONE);
    one->value[3] = 5;
    assert_int_equal(nn_params_init(p, 1), STATUS_OK);
    assert_true(fabs(mean_square(kaiming) * 576 / 2 - 1) < 0.05);
    assert_true(largest(kaiming) > 3 * sqrt(2.0 / 576));
    assert_true(fabs(mean_square(uniform) * 3 * 288 - 1) < 0.05);
    assert_true(largest(uniform) <= 1 / sqrtf(288) && largest(uniform) > 0.99f / sqrtf(288));
    assert_true(largest(bias) <= 1 / sqrtf(288) && largest(bias) > 0.8f / sqrtf(288));
    assert_true(fabs(mean_square(xavier) * 3 * 150 / 6 - 1) < 0.05);
    for (int i = 0; i < 9; i++)
        assert_true(one->value[i] == 1);
}

/* The same numbers whatever else the network holds and in whatever order it was built. */
static void init_depends_on_seed_and_name(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    AUTO(nn_params_free) struct nn_params *q = new_params();
    struct nn_shape s = nn_shape2(8, 8);
    struct nn_param_entry *pa = get(p, "a", s, NN_INIT_KAIMING);
    struct nn_param_entry *pb = get(p, "b", s, NN_INIT_KAIMING);
    get(q, "c", s, NN_INIT_KAIMING);
    struct nn_param_entry *qb = get(q, "b", s, NN_INIT_KAIMING);
    struct nn_param_entry *qa = get(q, "a", s, NN_INIT_KAIMING);
    assert_int_equal(nn_params_init(p, 7), STATUS_OK);
    assert_int_equal(nn_params_init(q, 7), STATUS_OK);
    assert_memory_equal(pa->value, qa->value, sizeof(float) * 64);
    assert_memory_equal(pb->value, qb->value, sizeof(float) * 64);
    assert_memory_not_equal(pa->value, pb->value, sizeof(float) * 64);
    assert_int_equal(nn_params_init(q, 8), STATUS_OK);
    assert_memory_not_equal(pa->value, qa->value, sizeof(float) * 64);
}

static void copies_when_the_same(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    AUTO(nn_params_free) struct nn_params *q = new_params();
    get(p, "a", nn_shape2(2, 3), NN_INIT_KAIMING);
    get(p, "b", nn_shape1(3), NN_INIT_ONE);
    struct nn_param_entry *b = get(q, "b", nn_shape1(3), NN_INIT_ZERO);
    assert_int_equal(nn_params_init(p, 1), STATUS_OK);
    assert_int_equal(nn_params_copy(q, p), STATUS_INVALID);
    assert_true(b->value[0] == 0);
    get(q, "a", nn_shape2(2, 3), NN_INIT_ZERO);
    assert_int_equal(nn_params_copy(q, p), STATUS_OK);
    assert_true(b->value[0] == 1);
    assert_memory_equal(nn_params_find(q, "a")->value, nn_params_find(p, "a")->value, 24);
}

static status build(struct nn_params **out)
{
    AUTO(nn_params_free) struct nn_params *p = NULL;
    struct nn_param_entry *e = NULL;
    status st = nn_params_new(&p);
    for (int i = 0; !st && i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        st = nn_params_get(p, name, nn_shape1(4), NN_INIT_ONE, true, &e, NULL);
        if (!st)
            st = nn_params_need_grad(e);
    }
    if (!st)
        *out = TAKE(p);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (unsigned long n = 1;; n++) {
        struct nn_params *p = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        status st = build(&p);
        fault_clear();
        if (!st) {
            assert_int_equal(nn_params_count(p), 100);
            nn_params_free(p);
            assert_true(n > 300);
            return;
        }
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(p);
    }
}

/* An entry whose growth failed half way is still found and can be tried again. */
static void survives_a_failed_get(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    struct nn_param_entry *e = NULL;
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        for (unsigned long n = 4; n > 0; n--) {
            fault_set(FAULT_MEM, n, 0, 0);
            status_ignore(nn_params_get(p, name, nn_shape1(4), NN_INIT_ONE, true, &e, NULL),
                          "failing is what is tested");
            fault_clear();
        }
        get(p, name, nn_shape1(4), NN_INIT_ONE);
        assert_int_equal(nn_params_count(p), i + 1);
    }
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        assert_non_null(nn_params_find(p, name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_or_creates),
        cmocka_unit_test(refuses),
        cmocka_unit_test(init_rules),
        cmocka_unit_test(init_depends_on_seed_and_name),
        cmocka_unit_test(copies_when_the_same),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(survives_a_failed_get),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
