/* Optimisers against their definitions in doubles; averages; checkpoints of both. */
#include "optim/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 37 };

/* w, trained; s, trained at half the rate without decay; r, a buffer; u, without a gradient. */
static struct nn_params *new_params(void)
{
    struct nn_params *p = NULL;
    struct nn_param_entry *e = NULL;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    static const char *const names[] = {"w", "s", "r", "u"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(
            nn_params_get(p, names[i], nn_shape1(N), NN_INIT_KAIMING, i != 2, &e, NULL), STATUS_OK);
        if (i != 3)
            assert_int_equal(nn_params_need_grad(e), STATUS_OK);
    }
    nn_params_find(p, "s")->lr_scale = 0.5f;
    nn_params_find(p, "s")->decay = false;
    assert_int_equal(nn_params_init(p, 3), STATUS_OK);
    return p;
}

static void set_grads(struct nn_params *p, int step)
{
    for (int i = 0; i < nn_params_count(p); i++)
        if (nn_params_at(p, i)->grad)
            nn_rng_normal(nn_rng(40, (uint64_t)(100 * step + i)), 0, nn_params_at(p, i)->grad, N);
}

struct model {
    double p[N], m[N], v[N];
};

static void model_step(struct model *w, const struct nn_optim_options *o, const float *g, double lr,
                       double decay, int t)
{
    for (int i = 0; i < N; i++) {
        bool decoupled = o->kind == NN_ADAMW;
        double d = g[i] + (decoupled ? 0 : decay * w->p[i]);
        w->p[i] *= decoupled ? 1 - lr * decay : 1;
        if (o->kind != NN_SGD) {
            double b1 = o->beta1 > 0 ? o->beta1 : 0.9, b2 = o->beta2 > 0 ? o->beta2 : 0.999;
            w->m[i] = b1 * w->m[i] + (1 - b1) * d;
            w->v[i] = b2 * w->v[i] + (1 - b2) * d * d;
            double eps = o->eps > 0 ? o->eps : 1e-8;
            double root = sqrt(w->v[i]) / sqrt(1 - pow(b2, t)) + eps;
            w->p[i] -= lr / (1 - pow(b1, t)) * w->m[i] / root;
        } else {
            w->m[i] = o->momentum * w->m[i] + d;
            w->p[i] -= lr * (o->nesterov ? d + o->momentum * w->m[i] : w->m[i]);
        }
    }
}

static void near(const struct model *w, const struct nn_param_entry *e)
{
    for (int i = 0; i < N; i++)
        if (!(fabs(w->p[i] - e->value[i]) <= 2e-5 * (1 + fabs(w->p[i]))))
            fail_msg("%s[%d]: %.9g, not %.9g", e->name, i, e->value[i], w->p[i]);
}

static void load_model(struct model *w, const struct nn_param_entry *e)
{
    memset(w, 0, sizeof *w);
    for (int i = 0; i < N; i++)
        w->p[i] = e->value[i];
}

static void follows_the_definition(void **state)
{
    (void)state;
    static const struct nn_optim_options row[] = {
        {.kind = NN_SGD},
        {.kind = NN_SGD, .weight_decay = 0.1f},
        {.kind = NN_SGD, .momentum = 0.9f, .weight_decay = 0.01f},
        {.kind = NN_SGD, .momentum = 0.9f, .nesterov = true, .weight_decay = 0.01f},
        {.kind = NN_ADAM},
        {.kind = NN_ADAM, .beta1 = 0.5f, .beta2 = 0.9f, .eps = 1e-3f, .weight_decay = 0.1f},
        {.kind = NN_ADAMW},
        {.kind = NN_ADAMW, .beta1 = 0.5f, .beta2 = 0.9f, .eps = 1e-3f, .weight_decay = 0.4f},
    };
    for (size_t k = 0; k < ARRAY_LEN(row); k++) {
        AUTO(nn_params_free) struct nn_params *p = new_params();
        AUTO(nn_optim_free) struct nn_optim *o = NULL;
        struct nn_param_entry *w = nn_params_find(p, "w"), *s = nn_params_find(p, "s");
        struct nn_param_entry *r = nn_params_find(p, "r"), *u = nn_params_find(p, "u");
        struct model mw, ms, mr, mu;
        load_model(&mw, w), load_model(&ms, s), load_model(&mr, r), load_model(&mu, u);
        assert_int_equal(nn_optim_new(p, &row[k], &o), STATUS_OK);
        for (int t = 1; t <= 20; t++) {
            float lr = 0.1f / (float)t;
            set_grads(p, t);
            nn_optim_step(o, lr);
            model_step(&mw, &row[k], w->grad, lr, row[k].weight_decay, t);
            model_step(&ms, &row[k], s->grad, 0.5 * lr, 0, t);
        }
        near(&mw, w), near(&ms, s), near(&mr, r), near(&mu, u);
    }
}

/* Large enough for every thread: as one element at a time. */
static void threads_change_nothing(void **state)
{
    (void)state;
    enum { BIG = 100003 };
    AUTO(nn_params_free) struct nn_params *p = NULL;
    AUTO(nn_optim_free) struct nn_optim *o = NULL;
    struct nn_param_entry *big = NULL, *one = NULL;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_params_get(p, "big", nn_shape1(BIG), NN_INIT_ONE, true, &big, NULL), 0);
    assert_int_equal(nn_params_get(p, "one", nn_shape1(1), NN_INIT_ONE, true, &one, NULL), 0);
    assert_int_equal(nn_params_need_grad(big), STATUS_OK);
    assert_int_equal(nn_params_need_grad(one), STATUS_OK);
    assert_int_equal(nn_params_init(p, 0), STATUS_OK);
    assert_int_equal(nn_optim_new(p, &(struct nn_optim_options){.kind = NN_ADAM}, &o), STATUS_OK);
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < BIG; i++)
            big->grad[i] = 0.25f * (float)(t + 1);
        one->grad[0] = big->grad[0];
        nn_optim_step(o, 0.01f);
    }
    for (int i = 0; i < BIG; i++)
        assert_true(big->value[i] == big->value[0]);
    assert_true(fabsf(big->value[0] - one->value[0]) < 1e-6f);
}

static void clips_the_joint_norm(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    set_grads(p, 1);
    double sum = 0, first = nn_params_find(p, "w")->grad[0];
    for (int i = 0; i < N; i++)
        sum += pow(nn_params_find(p, "w")->grad[i], 2) + pow(nn_params_find(p, "s")->grad[i], 2);
    float buffer = nn_params_find(p, "r")->grad[0];
    assert_true(fabs(nn_clip_grad_norm(p, 1e9f, 1) - sqrt(sum)) < 1e-5);
    assert_true(nn_params_find(p, "w")->grad[0] == (float)first);
    assert_true(fabs(nn_clip_grad_norm(p, 2, 3) - sqrt(sum)) < 1e-5);
    assert_true(fabs(nn_clip_grad_norm(p, 2, 0) - 2) < 1e-5);
    assert_true(fabs(nn_params_find(p, "w")->grad[0] - first * 2 / sqrt(sum)) < 1e-6);
    assert_true(nn_params_find(p, "r")->grad[0] == buffer);
}

static void average_follows(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    AUTO(nn_ema_free) struct nn_ema *ema = NULL;
    struct nn_param_entry *w = nn_params_find(p, "w"), *r = nn_params_find(p, "r");
    struct nn_ema *none = NULL;
    assert_int_equal(nn_ema_new(p, 1, 0, &none), STATUS_INVALID);
    assert_int_equal(nn_ema_new(p, 0.3f, 0, &ema), STATUS_OK);
    double want = w->value[5];
    for (int t = 0; t < 30; t++) {
        w->value[5] = (float)t;
        r->value[5] = (float)-t;
        nn_ema_update(ema);
        double keep = fmin(0.3f, (1.0 + t) / (10 + t));
        want = keep * want + (1 - keep) * t;
    }
    nn_ema_swap(ema);
    assert_true(fabs(w->value[5] - want) < 1e-5);
    assert_true(r->value[5] == -29);
    nn_ema_swap(ema);
    assert_true(w->value[5] == 29);
}

static void out_of_memory(void **state)
{
    (void)state;
    AUTO(nn_params_free) struct nn_params *p = new_params();
    for (unsigned long n = 1; n <= 8; n++) {
        AUTO(nn_optim_free) struct nn_optim *o = NULL;
        AUTO(nn_ema_free) struct nn_ema *ema = NULL;
        fault_set(FAULT_MEM, n, 0, 0);
        status st = nn_optim_new(p, &(struct nn_optim_options){.kind = NN_ADAM}, &o);
        fault_set(FAULT_MEM, n, 0, 0);
        status st2 = nn_ema_new(p, 0.9f, 0, &ema);
        fault_clear();
        assert_int_equal(st, STATUS_NOMEM);
        assert_int_equal(st2, n <= 6 ? STATUS_NOMEM : STATUS_OK);
        assert_true(!o && !ema == (n <= 6));
    }
}

/* The plan's number of threads is the optimiser's and the average's; it changes no bits. */
static void threads_are_as_asked_and_change_nothing(void **state)
{
    (void)state;
    enum { MANY = 100003 };
    assert_int_equal(nn_optim_threads(1, MANY), 1);
    assert_int_equal(nn_optim_threads(3, MANY), 3);
    assert_int_equal(nn_optim_threads(0, MANY), cpu_count());
    assert_int_equal(nn_optim_threads(3, 100), 1);
    static float value[2][MANY], average[2][MANY], clipped[2][MANY];
    for (int k = 0; k < 2; k++) {
        AUTO(nn_params_free) struct nn_params *p = NULL;
        AUTO(nn_optim_free) struct nn_optim *o = NULL;
        AUTO(nn_ema_free) struct nn_ema *ema = NULL;
        AUTO(nn_graph_free) struct nn_graph *g = NULL;
        const struct nn_optim_options adam = {.kind = NN_ADAM, .threads = k ? 3 : 1};
        assert_int_equal(nn_params_new(&p), STATUS_OK);
        assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
        nn_param(g, "w", nn_shape1(MANY), NN_INIT_UNIFORM_FANIN);
        assert_int_equal(nn_params_init(p, 2), STATUS_OK);
        struct nn_param_entry *e = nn_params_at(p, 0);
        assert_int_equal(nn_params_need_grad(e), STATUS_OK);
        assert_int_equal(nn_optim_new(p, &adam, &o), STATUS_OK);
        assert_int_equal(nn_ema_new(p, 0.9f, adam.threads, &ema), STATUS_OK);
        assert_int_equal(ema->threads, adam.threads);
        for (int step = 0; step < 3; step++) {
            nn_rng_normal(nn_rng(4, (uint64_t)step), 0, e->grad, MANY);
            assert_true(nn_clip_grad_norm(p, 1, adam.threads) > 100);
            nn_optim_step(o, 0.01f);
            nn_ema_update(ema);
        }
        memcpy(value[k], e->value, sizeof value[k]);
        memcpy(average[k], ema->value[0], sizeof average[k]);
        memcpy(clipped[k], e->grad, sizeof clipped[k]);
    }
    assert_memory_equal(value[0], value[1], sizeof value[0]);
    assert_memory_equal(average[0], average[1], sizeof average[0]);
    assert_memory_equal(clipped[0], clipped[1], sizeof clipped[0]);
}

static void a_norm_that_is_no_number_is_told(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY};
    for (int k = 0; k < 2; k++) {
        AUTO(nn_params_free) struct nn_params *p = NULL;
        AUTO(nn_graph_free) struct nn_graph *g = NULL;
        assert_int_equal(nn_params_new(&p), STATUS_OK);
        assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
        nn_param(g, "w", nn_shape1(40), NN_INIT_ZERO);
        struct nn_param_entry *e = nn_params_at(p, 0);
        assert_int_equal(nn_params_need_grad(e), STATUS_OK);
        e->grad[0] = 3;
        e->grad[33] = odd[k];
        assert_false(isfinite(nn_clip_grad_norm(p, 1, 1)));
        assert_true(e->grad[0] == 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_as_asked_and_change_nothing),
        cmocka_unit_test(a_norm_that_is_no_number_is_told),
        cmocka_unit_test(follows_the_definition),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(clips_the_joint_norm),
        cmocka_unit_test(average_follows),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
