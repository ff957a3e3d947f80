#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "class_step.h"
#include "toy.h"

#include <math.h>

enum { SIDE = 8, CLASSES = 3, BATCH = 4, ROW = SIDE * SIDE };
static const struct nn_plan_options plan = {.threads = 1};

static struct train_model *new_model(void)
{
    struct train_model *m = NULL;
    struct errmsg e = {""};
    const struct train_net_shape shape = {SIDE, SIDE, 1, CLASSES};
    assert_int_equal(model_alloc(train_net_find("resnet8"), shape, &m), STATUS_OK);
    toy_good(model_create_params(m, &e), &e);
    assert_int_equal(nn_params_init(m->params, 5), STATUS_OK);
    return m;
}

static struct class_step new_step(const struct train_model *m)
{
    static const int32_t label[BATCH] = {2, 0, -1, 1};
    struct class_step s;
    struct errmsg e = {""};
    toy_good(train_class_step_new(m, BATCH, &plan, &s, &e), &e);
    for (uint64_t i = 0; i < (uint64_t)BATCH * ROW; i++)
        s.x[i] = nn_rng_uniform(nn_rng(3, 3), i);
    memcpy(s.label, label, sizeof label);
    return s;
}

static double loss_of(const struct class_step *s)
{
    assert_int_equal(nn_plan_refresh(s->plan), STATUS_OK);
    assert_int_equal(nn_plan_run(s->plan), STATUS_OK);
    return (double)s->loss[0];
}

/* A short way against the gradient the loss is less, by the way times the gradient's square; and the
   running statistics have moved. */
static void gradients_are_the_loss_s(void **state)
{
    (void)state;
    struct train_model *m = new_model();
    struct class_step s = new_step(m);
    const float step = 1e-3f;
    double before = loss_of(&s), square = 0;
    bool moved = false;
    for (int i = 0; i < nn_params_count(m->params); i++) {
        struct nn_param_entry *p = nn_params_at(m->params, i);
        for (int64_t k = 0; k < nn_shape_count(p->shape); k++) {
            moved = moved || (!p->trainable && strstr(p->name, "mean") && p->value[k] != 0);
            if (!p->trainable)
                continue;
            square += (double)p->grad[k] * (double)p->grad[k];
            p->value[k] -= step * p->grad[k];
        }
    }
    double less = before - loss_of(&s), want = (double)step * square;
    assert_true(moved);
    if (!(want > 0 && fabs(less - want) < .15 * want))
        fail_msg("the loss is less by %g, not by %g", less, want);
    train_class_step_done(&s);
    train_model_free(m);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct train_model *m = new_model();
    for (unsigned long n = 1;; n++) {
        struct class_step s = {.graph = NULL};
        unsigned long before = fault_calls(FAULT_MEM);
        fault_set(FAULT_MEM, n, 0, 0);
        status st = train_class_step_new(m, BATCH, &plan, &s, NULL);
        fault_clear();
        bool reached = fault_calls(FAULT_MEM) - before >= n;
        assert_true(st == STATUS_OK || st == STATUS_NOMEM);
        assert_true((st == STATUS_OK) == (s.plan != NULL));
        train_class_step_done(&s);
        if (!reached)
            break;
    }
    train_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_loss_s),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("class_step", tests, NULL, NULL);
}
