#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attack.h"
#include "toy.h"

#include <math.h>

#define PYTHON "/usr/bin/python3"

enum { SIDE = 12, CHANNELS = 3, CLASSES = 4, BATCH = 3, ROW = SIDE * SIDE * CHANNELS };
static const struct nn_plan_options plan = {.threads = 1};
static const int32_t label[BATCH] = {2, 0, 3};

/* A network with running statistics that are not those of a new one, and a head that is not sure of
   anything: gradients are then far from 0. */
static struct train_model *new_model(void)
{
    struct train_data_options d = {.dir = toy_path("set")};
    struct train_set *set = NULL;
    struct train_model *m = NULL;
    const struct train_net *net = train_net_find("resnet8");
    struct train_net_shape shape = {SIDE, SIDE, CHANNELS, CLASSES};
    toy_tree("set", CLASSES, 2, SIDE, CHANNELS, 1);
    assert_int_equal(train_set_open(&d, &set, NULL), STATUS_OK);
    assert_int_equal(train_model_new(net, shape, set, &m), STATUS_OK);
    assert_int_equal(nn_params_init(m->params, 5), STATUS_OK);
    train_set_free(set);
    /* Entries exist once a graph does. */
    struct forward *f = NULL;
    struct errmsg e = {""};
    toy_good(train_forward_new(m, BATCH, &plan, false, &f, &e), &e);
    train_forward_free(f);
    assert_int_equal(nn_params_init(m->params, 5), STATUS_OK);
    for (int i = 0; i < nn_params_count(m->params); i++) {
        struct nn_param_entry *p = nn_params_at(m->params, i);
        for (int64_t k = 0; k < nn_shape_count(p->shape) && !p->trainable; k++)
            p->value[k] += (strstr(p->name, "mean") ? -.3f : .3f) *
                           nn_rng_uniform(nn_rng(7, (uint64_t)i), (uint64_t)k);
        for (int64_t k = 0; k < nn_shape_count(p->shape) && !strcmp(p->name, "fc.weight"); k++)
            p->value[k] *= .3f;
    }
    return m;
}

static void images(float *x)
{
    for (int i = 0; i < BATCH * ROW; i++)
        x[i] = .1f + .8f * nn_rng_uniform(nn_rng(9, 1), (uint64_t)i);
}

static struct attack *new_attack(const struct train_model *m, enum attack_norm norm)
{
    struct attack *a = NULL;
    struct errmsg e = {""};
    toy_good(train_attack_new(m, norm, BATCH, &plan, &a, &e), &e);
    assert_int_equal(train_attack_refresh(a), STATUS_OK);
    return a;
}

/* The summed loss of the batch at x, by the network's logits alone. */
static double loss_of(struct forward *f, const float *x, int only)
{
    struct train_eval ev;
    memcpy(f->in, x, BATCH * ROW * sizeof *x);
    assert_int_equal(nn_plan_run(f->plan), STATUS_OK);
    assert_int_equal(train_eval_init(&ev, CLASSES), STATUS_OK);
    train_eval_add(&ev, f->out + only * CLASSES, label + only, 1);
    double loss = ev.loss;
    train_eval_done(&ev);
    return loss;
}

/* Along the gradient and along random directions, of each image on its own. */
static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    struct train_model *m = new_model();
    struct attack *a = new_attack(m, ATTACK_RUNNING);
    struct forward *f = NULL;
    const float *g;
    static float x[BATCH * ROW], grad[BATCH * ROW], moved[BATCH * ROW];
    assert_int_equal(train_forward_new(m, BATCH, &plan, false, &f, NULL), STATUS_OK);
    assert_int_equal(nn_plan_refresh(f->plan), STATUS_OK);
    images(x);
    assert_int_equal(train_attack_gradient(a, x, label, &g), STATUS_OK);
    memcpy(grad, g, sizeof grad);
    double largest = 0; /* that a step of this length can change */
    for (int image = 0; image < BATCH; image++)
        for (int way = 0; way < 4; way++) {
            double want = 0, norm = 0;
            float direction[ROW];
            for (int i = 0; i < ROW; i++) {
                direction[i] = way == 0
                                   ? grad[image * ROW + i]
                                   : nn_rng_uniform(nn_rng(11, (uint64_t)way), (uint64_t)i) - .5f;
                norm += (double)direction[i] * (double)direction[i];
            }
            float h = (float)(.05 / sqrt(norm));
            for (int i = 0; i < ROW; i++)
                want += (double)grad[image * ROW + i] * (double)direction[i] * (double)h;
            double loss[2];
            for (int side = 0; side < 2; side++) {
                memcpy(moved, x, sizeof x);
                for (int i = 0; i < ROW; i++)
                    moved[image * ROW + i] += (side ? h : -h) * direction[i];
                loss[side] = loss_of(f, moved, image);
            }
            double got = (loss[1] - loss[0]) / 2;
            largest = way == 0 ? fabs(want) : largest;
            if (!(largest > 5e-4))
                fail_msg("a gradient of %g is too small to be measured", largest);
            double scale = way == 0 ? fabs(want) : largest;
            if (!(fabs(got - want) <= .03 * scale))
                fail_msg("image %d, way %d: %g by differences, %g", image, way, got, want);
        }
    train_forward_free(f);
    train_attack_free(a);
    train_model_free(m);
}

static void attacks_keep_to_their_bounds(void **state)
{
    (void)state;
    struct train_model *m = new_model();
    for (int k = 0; k < CHANNELS; k++) { /* as the network sees them */
        m->mean[k] = .4f + .05f * (float)k;
        m->std[k] = .25f;
    }
    struct attack *a = new_attack(m, ATTACK_RUNNING);
    struct forward *f = NULL;
    static float pixel[BATCH * ROW], clean[BATCH * ROW], x[BATCH * ROW], again[BATCH * ROW];
    assert_int_equal(train_forward_new(m, BATCH, &plan, false, &f, NULL), STATUS_OK);
    assert_int_equal(nn_plan_refresh(f->plan), STATUS_OK);
    for (int i = 0; i < BATCH * ROW; i++) { /* some black and some white */
        pixel[i] = fminf(1, fmaxf(0, 1.4f * nn_rng_uniform(nn_rng(3, 1), (uint64_t)i) - .2f));
        clean[i] = (pixel[i] - m->mean[i % CHANNELS]) / m->std[i % CHANNELS];
    }
    for (int descend = 0; descend < 2; descend++) {
        struct attack_options o = {
            .eps = 8, .step = 3, .steps = 5, .random_start = true, .descend = descend};
        memcpy(x, clean, sizeof x);
        assert_int_equal(train_attack_pgd(a, &o, nn_rng(1, 2), label, x), STATUS_OK);
        memcpy(again, clean, sizeof x);
        assert_int_equal(train_attack_pgd(a, &o, nn_rng(1, 2), label, again), STATUS_OK);
        assert_memory_equal(x, again, sizeof x);
        double most = 0;
        for (int i = 0; i < BATCH * ROW; i++) {
            double v = (double)x[i] * (double)m->std[i % CHANNELS] + (double)m->mean[i % CHANNELS];
            assert_true(v > -1e-6 && v < 1 + 1e-6);
            most = fmax(most, 255 * fabs(v - (double)pixel[i]));
        }
        assert_true(most > 7.99 && most < 8.01);
        for (int i = 0; i < BATCH; i++) {
            double before = loss_of(f, clean, i), after = loss_of(f, x, i);
            assert_true(descend ? after < before : after > before);
        }
        memcpy(again, clean, sizeof x);
        assert_int_equal(train_attack_pgd(a, &o, nn_rng(1, 3), label, again), STATUS_OK);
        assert_memory_not_equal(x, again, sizeof x); /* another start */
    }
    train_forward_free(f);
    train_attack_free(a);
    train_model_free(m);
}

/* A label that is none has no gradient; neither kind of norm moves the running statistics. */
static void attacks_leave_the_network_as_it_is(void **state)
{
    (void)state;
    struct train_model *m = new_model();
    struct nn_params *p = m->params;
    static float x[BATCH * ROW], grad[2][BATCH * ROW];
    static const int32_t none[BATCH] = {-1, CLASSES, -1};
    const float *g;
    images(x);
    AUTO(mem_free) float *was = mem_alloc((size_t)nn_params_elements(p, false) * sizeof *was);
    assert_non_null(was);
    float *at = was;
    for (int i = 0; i < nn_params_count(p); i++) {
        size_t n = (size_t)nn_shape_count(nn_params_at(p, i)->shape);
        memcpy(at, nn_params_at(p, i)->value, n * sizeof *at);
        at += n;
    }
    for (int norm = 0; norm < 2; norm++) {
        struct attack *a = new_attack(m, norm ? ATTACK_BATCH : ATTACK_RUNNING);
        assert_int_equal(train_attack_gradient(a, x, none, &g), STATUS_OK);
        for (int i = 0; i < BATCH * ROW; i++)
            assert_true(g[i] == 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(train_attack_gradient(a, x, label, &g), STATUS_OK);
        memcpy(grad[norm], g, sizeof grad[norm]);
        train_attack_free(a);
        at = was;
        for (int i = 0; i < nn_params_count(p); i++) {
            size_t n = (size_t)nn_shape_count(nn_params_at(p, i)->shape);
            assert_memory_equal(at, nn_params_at(p, i)->value, n * sizeof *at);
            at += n;
        }
    }
    assert_memory_not_equal(grad[0], grad[1], sizeof grad[0]);
    /* With the batch's own statistics an image of the same batch counts. */
    struct attack *a = new_attack(m, ATTACK_BATCH);
    for (int i = ROW; i < 2 * ROW; i++)
        x[i] = 1 - x[i];
    assert_int_equal(train_attack_gradient(a, x, label, &g), STATUS_OK);
    assert_memory_not_equal(g, grad[1], ROW * sizeof *g);
    train_attack_free(a);
    train_model_free(m);
}

static void read_floats(const struct nn_file *f, const char *name, float *out, size_t n)
{
    const struct nn_file_tensor *t = nn_file_find(f, name);
    if (!t || nn_file_read_f32(t, out, n))
        fail_msg("%s is not in the file as %zu floats", name, n);
}

/* tests/torch/pgd.py says what is in the file. */
static void equals_pytorch(void **state)
{
    (void)state;
    char command[600];
    if (system(PYTHON " -c 'import torch' 2>/dev/null") != 0)
        skip();
    snprintf(command, sizeof command, PYTHON " -B tests/torch/pgd.py %s", toy_path("pgd"));
    assert_int_equal(system(command), 0);
    struct train_model_hint hint = {.arch = "resnet8", .size = SIDE};
    struct train_model *m = NULL;
    struct nn_file *f = NULL;
    struct errmsg e = {""};
    toy_good(train_model_load(toy_path("pgd"), &hint, &m, &e), &e);
    toy_good(nn_file_open(toy_path("pgd"), &f, &e), &e);
    static float x[BATCH * ROW], want[BATCH * ROW];
    for (int norm = 0; norm < 2; norm++)
        for (int descend = 0; descend < 2; descend++) {
            char name[32];
            struct attack_options o = {.eps = 8, .step = 2, .steps = 10, .descend = descend};
            struct attack *a = new_attack(m, norm ? ATTACK_BATCH : ATTACK_RUNNING);
            double far = 0;
            read_floats(f, "test.x", x, BATCH * ROW);
            snprintf(name, sizeof name, "test.%s.%s", norm ? "batch" : "running",
                     descend ? "down" : "up");
            read_floats(f, name, want, BATCH * ROW);
            assert_int_equal(train_attack_pgd(a, &o, nn_rng(0, 0), label, x), STATUS_OK);
            for (int i = 0; i < BATCH * ROW; i++)
                far = fmax(far, fabs((double)x[i] - (double)want[i]));
            print_message("# %s: at most %.1e off\n", name, far);
            if (!(far <= 1e-4))
                fail_msg("%s: %g off", name, far);
            train_attack_free(a);
        }
    nn_file_close(f);
    train_model_free(m);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct train_model *m = new_model();
    struct attack *a = NULL;
    for (unsigned long n = 1;; n++) {
        unsigned long before = fault_calls(FAULT_MEM);
        fault_set(FAULT_MEM, n, 0, 0);
        status st = train_attack_new(m, ATTACK_RUNNING, BATCH, &plan, &a, NULL);
        fault_clear();
        if (st == STATUS_OK) {
            assert_true(fault_calls(FAULT_MEM) - before < n);
            break;
        }
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(a);
    }
    train_attack_free(a);
    train_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(attacks_keep_to_their_bounds),
        cmocka_unit_test(attacks_leave_the_network_as_it_is),
        cmocka_unit_test(equals_pytorch),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("attack", tests, toy_setup, toy_teardown);
}
