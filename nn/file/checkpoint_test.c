#include "optim/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 24 };

static char dir[] = "/tmp/nn-checkpoint-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/c.safetensors", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

struct run {
    struct nn_params *p;
    struct nn_optim *o;
    struct nn_ema *ema;
};

static void run_donep(struct run *r)
{
    nn_ema_free(r->ema);
    nn_optim_free(r->o);
    nn_params_free(r->p);
}
#define RUN __attribute__((cleanup(run_donep))) struct run

static struct run new_run(enum nn_optim_kind kind, uint64_t seed)
{
    struct run r = {0};
    struct nn_param_entry *e = NULL;
    assert_int_equal(nn_params_new(&r.p), STATUS_OK);
    assert_int_equal(
        nn_params_get(r.p, "w.weight", nn_shape2(4, 6), NN_INIT_KAIMING, true, &e, NULL), 0);
    assert_int_equal(nn_params_need_grad(e), STATUS_OK);
    assert_int_equal(nn_params_get(r.p, "mean", nn_shape1(N), NN_INIT_KAIMING, false, &e, NULL),
                     STATUS_OK);
    assert_int_equal(nn_params_init(r.p, seed), STATUS_OK);
    struct nn_optim_options opt = {.kind = kind, .momentum = 0.9f};
    assert_int_equal(nn_optim_new(r.p, &opt, &r.o), STATUS_OK);
    assert_int_equal(nn_ema_new(r.p, 0.9f, 0, &r.ema), STATUS_OK);
    return r;
}

static void train(struct run *r, int from, int to)
{
    for (int t = from; t < to; t++) {
        nn_rng_normal(nn_rng(1, (uint64_t)t), 0, nn_params_find(r->p, "w.weight")->grad, N);
        nn_rng_normal(nn_rng(2, (uint64_t)t), 0, nn_params_find(r->p, "mean")->value, N);
        nn_optim_step(r->o, 0.01f);
        nn_ema_update(r->ema);
    }
}

static void save(const struct run *r)
{
    struct nn_meta meta = {"epoch", "3"};
    struct errmsg e = {""};
    assert_int_equal(nn_checkpoint_save(path, r->p, r->o, r->ema, &meta, 1, &e), STATUS_OK);
}

static struct nn_file *open_it(void)
{
    struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    return f;
}

static void same(const struct run *a, const struct run *b)
{
    for (int i = 0; i < nn_params_count(a->p); i++) {
        assert_memory_equal(nn_params_at(a->p, i)->value, nn_params_at(b->p, i)->value,
                            N * sizeof(float));
        assert_memory_equal(a->ema->value[i], b->ema->value[i], N * sizeof(float));
    }
}

static void resumes_as_if_never_stopped(void **state)
{
    (void)state;
    for (int kind = 0; kind < NN_OPTIM_COUNT; kind++) {
        RUN whole = new_run((enum nn_optim_kind)kind, 1);
        train(&whole, 0, 5);
        save(&whole);
        train(&whole, 5, 9);
        RUN again = new_run((enum nn_optim_kind)kind, 77);
        AUTO(nn_file_close) struct nn_file *f = open_it();
        struct errmsg e = {""};
        assert_int_equal(nn_checkpoint_load(f, again.p, again.o, again.ema, &e), STATUS_OK);
        assert_string_equal(nn_file_meta(f, "epoch"), "3");
        train(&again, 5, 9);
        same(&whole, &again);
    }
}

static void weights_and_average_alone(void **state)
{
    (void)state;
    RUN r = new_run(NN_SGD, 1);
    RUN other = new_run(NN_SGD, 2);
    train(&r, 0, 5);
    save(&r);
    AUTO(nn_file_close) struct nn_file *f = open_it();
    assert_int_equal(nn_params_load(other.p, f, "", NULL), STATUS_OK);
    assert_memory_equal(nn_params_at(other.p, 0)->value, nn_params_at(r.p, 0)->value,
                        N * sizeof(float));
    assert_int_equal(nn_params_load(other.p, f, "ema.", NULL), STATUS_OK);
    assert_memory_equal(nn_params_at(other.p, 0)->value, r.ema->value[0], N * sizeof(float));
    /* without optimiser and average, a checkpoint restores weights only */
    assert_int_equal(nn_checkpoint_load(f, other.p, NULL, NULL, NULL), STATUS_OK);
    assert_memory_equal(nn_params_at(other.p, 0)->value, nn_params_at(r.p, 0)->value,
                        N * sizeof(float));
}

static void saves_params(void **state)
{
    (void)state;
    RUN r = new_run(NN_SGD, 1);
    RUN other = new_run(NN_SGD, 2);
    for (int half = 0; half < 2; half++) {
        assert_int_equal(nn_params_save(r.p, path, NULL, 0, half, NULL), STATUS_OK);
        AUTO(nn_file_close) struct nn_file *f = open_it();
        assert_int_equal(nn_file_count(f), 2);
        assert_string_equal(nn_file_find(f, "w.weight")->dtype, half ? "F16" : "F32");
        assert_int_equal(nn_params_load(other.p, f, NULL, NULL), STATUS_OK);
        for (int i = 0; i < N; i++) {
            float want = nn_params_at(r.p, 0)->value[i], got = nn_params_at(other.p, 0)->value[i];
            assert_true(fabsf(want - got) <= (half ? 1e-3f * fabsf(want) : 0));
        }
        struct errmsg e = {""};
        assert_int_equal(nn_checkpoint_load(f, other.p, other.o, NULL, &e), STATUS_NOT_FOUND);
        assert_int_equal(nn_checkpoint_load(f, other.p, NULL, other.ema, &e), STATUS_NOT_FOUND);
    }
}

/* What breaks is named, and nothing has changed. */
static void refuses_other_networks(void **state)
{
    (void)state;
    static const float numbers[64];
    static const struct {
        struct nn_save_tensor t[2];
        status want;
        const char *says;
    } row[] = {
        {{{"w.weight", {2, {4, 6}}, numbers, false}, {"other", {1, {N}}, numbers, false}},
         STATUS_NOT_FOUND,
         "mean"},
        {{{"w.weight", {2, {4, 6}}, numbers, false}, {"mean", {1, {N + 1}}, numbers, false}},
         STATUS_INVALID,
         "mean"},
        {{{"w.weight", {2, {6, 4}}, numbers, false}, {"mean", {1, {N}}, numbers, false}},
         STATUS_INVALID,
         "w.weight"},
    };
    RUN r = new_run(NN_SGD, 1);
    RUN copy = new_run(NN_SGD, 1);
    for (size_t i = 0; i < ARRAY_LEN(row); i++) {
        struct errmsg e = {""};
        assert_int_equal(nn_file_save(path, row[i].t, 2, NULL, 0, NULL), STATUS_OK);
        AUTO(nn_file_close) struct nn_file *f = open_it();
        assert_int_equal(nn_params_load(r.p, f, "", &e), row[i].want);
        assert_non_null(strstr(e.text, row[i].says));
        assert_int_equal(nn_checkpoint_load(f, r.p, NULL, NULL, &e), row[i].want);
        same(&r, &copy);
    }
}

static void refuses_another_optimiser(void **state)
{
    (void)state;
    RUN r = new_run(NN_SGD, 1);
    RUN adam = new_run(NN_ADAM, 2);
    RUN untouched = new_run(NN_ADAM, 2);
    struct errmsg e = {""};
    save(&r);
    AUTO(nn_file_close) struct nn_file *f = open_it();
    assert_int_equal(nn_checkpoint_load(f, adam.p, adam.o, adam.ema, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "sgd"));
    same(&adam, &untouched);
}

static void every_fault_while_saving(void **state)
{
    (void)state;
    RUN r = new_run(NN_ADAM, 1);
    for (int kind = 0; kind < FAULT_CRASH; kind++)
        for (unsigned long n = 1; kind != FAULT_READ; n++) {
            struct errmsg e = {""};
            fault_set((enum fault_kind)kind, n, 0, 0);
            status st = nn_checkpoint_save(path, r.p, r.o, r.ema, NULL, 0, &e);
            fault_clear();
            if (!st)
                break;
            assert_true(e.text[0] != 0);
        }
    AUTO(nn_file_close) struct nn_file *f = open_it();
    assert_int_equal(nn_file_count(f), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumes_as_if_never_stopped),
        cmocka_unit_test(weights_and_average_alone),
        cmocka_unit_test(saves_params),
        cmocka_unit_test(refuses_other_networks),
        cmocka_unit_test(refuses_another_optimiser),
        cmocka_unit_test(every_fault_while_saving),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
