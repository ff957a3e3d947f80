#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model.h"
#include "nets.h"
#include "toy.h"

#include <math.h>
#include <signal.h>
#include <time.h>

/* A network for the images in dir, with random weights. */
static struct train_model *new_model(const struct train_net *net, const char *dir)
{
    struct train_model *m = NULL;
    struct train_set *set = toy_set(dir);
    struct train_set_info i = train_set_info(set);
    struct train_net_shape shape = {i.width, i.height, i.channels, i.classes};
    assert_int_equal(train_model_new(net, shape, set, &m), STATUS_OK);
    assert_int_equal(nn_params_init(m->params, 4), STATUS_OK);
    train_set_free(set);
    return m;
}

static struct train_certify_options options(const char *dir)
{
    struct train_certify_options o = train_certify_default();
    o.eval = (struct train_eval_options){
        .data = {.dir = toy_path(dir)}, .batch = 20, .threads = 1, .quiet = true};
    return o;
}

static struct train_certify_result run(struct train_model *m, const struct train_certify_options *o)
{
    struct train_certify_result r;
    struct errmsg e = {""};
    toy_good(train_certify(m, o, &r, &e), &e);
    return r;
}

/* ---- a network whose accuracy is known for any weights ---- */

/* Logits w0 x and w1 x, x the image's mean: no bias. */
static struct nn_val build_slope(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                                 bool training, struct nn_val *out_stage)
{
    (void)training;
    (void)out_stage;
    struct nn_val w = nn_param(g, "w", nn_shape2(s.classes, s.channels), NN_INIT_ZERO);
    return nn_linear(g, nn_global_avg_pool(g, x), w, NN_NONE);
}
static const struct train_net slope = {
    .name = "slope", .mean = .5f, .std = .5f, .lr = .1f, .build = build_slope};

/*
 * Black and white images, x = -1 and 1: all are told right when d = w1 - w0 > 0, and none when d < 0.
 * Noise of deviation sigma on w0 and w1 changes d by sqrt(2) sigma Z, so the accuracy is 0 with probability
 * Phi(-d / (sqrt(2) sigma)). Of all weights within eta, those whose d is larger by sqrt(2) eta are the worst
 * for a bound, and there the probability is Phi(-d / (sqrt(2) sigma) - eta / sigma). So 0 is a bound for the
 * quantile .9 up to eta = sigma (-d / (sqrt(2) sigma) - 1.2816), which is made .5 sigma here, and above
 * that only 1 is.
 */
static void bounds_what_is_known_in_closed_form(void **state)
{
    (void)state;
    uint8_t white[64];
    memset(white, 255, sizeof white);
    toy_mkdir("two/a");
    toy_mkdir("two/b");
    for (int i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "two/a/%d.png", i);
        toy_image(name, 8, 8, 1, (const uint8_t[64]){0});
        name[4] = 'b';
        toy_image(name, 8, 8, 1, white);
    }
    struct train_model *m = new_model(&slope, "two");
    struct train_certify_options o = options("two");
    o.sigma = .3;
    o.draws = 4000;
    static const double eta[] = {0, .3, .6, 1.2, 3}, want[] = {0, 0, 1, 1, NAN};
    o.etas = ARRAY_LEN(eta);
    for (int i = 0; i < o.etas; i++)
        o.eta[i] = eta[i] * o.sigma;
    float *w = nn_params_find(m->params, "w")->value;
    double half = (1.2815515655446004 + .5) * sqrt(2) * o.sigma / 2;
    w[0] = (float)half;
    w[1] = (float)-half;
    struct train_certify_result r = run(m, &o);
    double ones = 0.5 * erfc((1.2815515655446004 + .5) / sqrt(2));
    assert_true(fabs(r.mean - ones) < 4 * sqrt(ones * (1 - ones) / o.draws));
    assert_true(r.plain == 0 && r.median == 0 && r.lowest == 0 && r.highest == 1);
    assert_true(isnan(r.left)); /* it knows nothing */
    assert_true(fabs(r.deviation - sqrt(ones * (1 - ones))) < .02);
    assert_int_equal(r.parameters, 2);
    assert_true(fabs(r.norm - half * sqrt(2)) < 1e-6);
    for (int i = 0; i < o.etas; i++) {
        assert_true(r.certified[i].eta == o.eta[i]);
        assert_true(isnan(want[i]) ? isnan(r.certified[i].accuracy) && !r.certified[i].rank
                                   : r.certified[i].accuracy == want[i]);
    }
    assert_true(r.eta_max > 1.2 * o.sigma && r.eta_max < 3 * o.sigma);
    w[0] = -w[0];
    w[1] = -w[1];
    r = run(m, &o);
    assert_true(r.plain == 1 && r.median == 1 && r.left == 1);
    assert_true(r.certified[0].accuracy == 1);
    train_model_free(m);
}

/* ---- a real one ---- */

static void *copy_weights(const struct train_model *m, size_t *out_bytes)
{
    size_t at = 0, bytes = (size_t)nn_params_elements(m->params, false) * sizeof(float);
    char *all = mem_alloc(bytes);
    assert_non_null(all);
    for (int i = 0; i < nn_params_count(m->params); i++) {
        const struct nn_param_entry *p = nn_params_at(m->params, i);
        size_t n = (size_t)nn_shape_count(p->shape) * sizeof(float);
        memcpy(all + at, p->value, n);
        at += n;
    }
    assert_int_equal(at, bytes);
    *out_bytes = bytes;
    return all;
}

static void assert_weights(const struct train_model *m, const void *want)
{
    size_t bytes;
    void *now = copy_weights(m, &bytes);
    assert_memory_equal(now, want, bytes);
    mem_free(now);
}

/* What draw i is by the header: normal noise of its stream on all that is trained, and on nothing else. */
static void add_noise(struct train_model *m, double sigma, uint64_t seed, int number)
{
    uint64_t at = 0;
    for (int i = 0; i < nn_params_count(m->params); i++) {
        struct nn_param_entry *p = nn_params_at(m->params, i);
        size_t n = (size_t)nn_shape_count(p->shape);
        if (!p->trainable)
            continue;
        float *z = mem_alloc(n * sizeof *z);
        assert_non_null(z);
        nn_rng_normal(stream(seed, STREAM_WEIGHTS, (uint64_t)number), at, z, n);
        for (size_t j = 0; j < n; j++)
            p->value[j] = (float)(p->value[j] + sigma * z[j]);
        mem_free(z);
        at += (n + 1) / 2 * 2;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum {
    DRAWS = 50,
    RANK_0 = 45,
    RANK_1 = 46
}; /* of .8 and .9, at eta 0 and .1 sigma: by fractions */

static struct train_certify_options few_draws(void)
{
    struct train_certify_options o = options("three");
    o.draws = DRAWS;
    o.quantile = .8;
    o.confidence = .9;
    o.sigma = .05;
    o.seed = 7;
    o.etas = 2;
    o.eta[1] = .1 * o.sigma;
    return o;
}

/* Logits with a bias, which comes first: an odd number of parameters, and more behind it. */
static struct nn_val build_odd(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                               bool training, struct nn_val *out_stage)
{
    (void)training;
    (void)out_stage;
    struct nn_val b = nn_param(g, "b", nn_shape1(s.classes), NN_INIT_ONE);
    struct nn_val w = nn_param(g, "w", nn_shape2(s.classes, s.channels), NN_INIT_ONE);
    return nn_linear(g, nn_global_avg_pool(g, x), w, b);
}
static const struct train_net odd = {
    .name = "odd", .mean = .4f, .std = .1f, .lr = .1f, .build = build_odd};

/* Each draw by itself: a network of its own, evaluated in the ordinary way. */
static void compare_with_single_evaluations(const struct train_net *net, double sigma)
{
    struct train_certify_options o = few_draws();
    o.sigma = sigma;
    o.eta[1] = .1 * sigma;
    double one[DRAWS];
    for (int i = 0; i < DRAWS; i++) {
        struct train_model *m = new_model(net, "three");
        struct train_eval ev;
        struct errmsg e = {""};
        add_noise(m, o.sigma, o.seed, i);
        toy_good(train_evaluate(m, &o.eval, &ev, &e), &e);
        one[i] = train_eval_accuracy(&ev);
        train_eval_done(&ev);
        train_model_free(m);
    }
    qsort(one, DRAWS, sizeof *one, by_value);
    assert_true(one[0] < one[RANK_0 - 1] && one[RANK_1 - 1] < one[DRAWS - 1]);
    struct train_model *m = new_model(net, "three");
    struct train_certify_result r = run(m, &o);
    assert_true(r.lowest == one[0] && r.highest == one[DRAWS - 1]);
    assert_true(r.median == (one[DRAWS / 2 - 1] + one[DRAWS / 2]) / 2);
    assert_int_equal(r.certified[0].rank, RANK_0);
    assert_int_equal(r.certified[1].rank, RANK_1);
    assert_true(r.certified[0].accuracy == one[RANK_0 - 1]);
    assert_true(r.certified[1].accuracy == one[RANK_1 - 1]);
    assert_int_equal(r.samples, 75);
    train_model_free(m);
}

static void is_what_single_evaluations_give(void **state)
{
    (void)state;
    toy_tree("three", 3, 25, 12, 1, 1);
    compare_with_single_evaluations(train_net_find("resnet8"), .05);
    compare_with_single_evaluations(&odd, .3);
}

static void weights_are_as_before(void **state)
{
    (void)state;
    struct train_model *m = new_model(train_net_find("resnet8"), "three");
    struct train_certify_options o = few_draws();
    size_t bytes;
    void *before = copy_weights(m, &bytes);
    (void)run(m, &o);
    assert_weights(m, before);
    mem_free(before);
    train_model_free(m);
}

/* Not of threads, nor of whether images are kept; but of the seed. */
static void is_a_function_of_seed_and_draw(void **state)
{
    (void)state;
    struct train_model *m = new_model(train_net_find("resnet8"), "three");
    struct train_certify_options o = few_draws();
    struct train_certify_result first = run(m, &o), again;
    static const struct {
        int threads;
        size_t memory;
    } how[] = {{2, 0}, {3, 0}, {1, 1}};
    for (size_t i = 0; i < ARRAY_LEN(how); i++) {
        o.eval.threads = how[i].threads;
        o.eval.data.memory_bytes = how[i].memory;
        again = run(m, &o);
        assert_true(again.mean == first.mean && again.deviation == first.deviation);
        assert_true(again.certified[1].accuracy == first.certified[1].accuracy);
    }
    o.seed++;
    again = run(m, &o);
    assert_true(again.mean != first.mean);
    train_model_free(m);
}

static void without_noise_all_are_the_surrogate(void **state)
{
    (void)state;
    struct train_model *m = new_model(train_net_find("resnet8"), "three");
    struct train_certify_options o = few_draws();
    struct train_eval ev;
    assert_int_equal(train_evaluate(m, &o.eval, &ev, NULL), STATUS_OK);
    o.sigma = 1e-30;
    o.etas = 0;
    struct train_certify_result r = run(m, &o);
    assert_true(r.plain == train_eval_accuracy(&ev));
    assert_true(r.lowest == r.plain && r.highest == r.plain && r.deviation < 1e-9);
    assert_int_equal(r.etas, 9); /* by the noise's deviation, and some of them out of reach */
    assert_true(r.certified[0].eta == .004 * 1e-30 && r.certified[0].accuracy == r.plain);
    assert_true(r.certified[8].eta == 8 * 1e-30 && isnan(r.certified[8].accuracy));
    train_eval_done(&ev);
    train_model_free(m);
}

static void reaches_as_far_as_it_says(void **state)
{
    (void)state;
    struct train_model *m = new_model(train_net_find("resnet8"), "three");
    struct train_certify_options o = few_draws();
    double reach = run(m, &o).eta_max;
    o.eta[0] = reach * .999;
    o.eta[1] = reach * 1.001;
    struct train_certify_result r = run(m, &o);
    assert_int_equal(r.certified[0].rank, DRAWS);
    assert_true(r.certified[0].accuracy == r.highest);
    assert_int_equal(r.certified[1].rank, 0);
    train_model_free(m);
}

static void refuses(struct train_certify_options o, const char *says)
{
    struct train_model *m = new_model(train_net_find("resnet8"), "three");
    struct train_certify_result r;
    struct errmsg e = {""};
    assert_int_equal(toy_bad(train_certify(m, &o, &r, &e), &e, says), STATUS_INVALID);
    train_model_free(m);
}

static void refuses_what_is_no_certificate(void **state)
{
    (void)state;
    static const double no_share[] = {0, 1, -.1, 1.5, NAN}, no_sigma[] = {0, -1, NAN, INFINITY};
    const struct train_certify_options good = options("three");
    struct train_certify_options o;
    for (size_t i = 0; i < ARRAY_LEN(no_share); i++) {
        o = good;
        o.quantile = no_share[i];
        refuses(o, "quantile must be between 0 and 1");
        o = good;
        o.confidence = no_share[i];
        refuses(o, "confidence must be between 0 and 1");
    }
    for (size_t i = 0; i < ARRAY_LEN(no_sigma); i++) {
        o = good;
        o.sigma = no_sigma[i];
        refuses(o, "sigma must be above 0");
        o = good;
        o.etas = 2;
        o.eta[1] = i ? no_sigma[i] : -.001;
        refuses(o, "eta must be 0 or more");
    }
    o = good;
    o.draws = 0;
    refuses(o, "draws must be 1 to 1000000");
    o.draws = 43; /* .9^43 = .0108 */
    refuses(o, "it takes 44 (--draws)");
    o = good;
    o.etas = TRAIN_CERTIFY_ETAS_MAX + 1;
    refuses(o, "32 values of eta");
    o = good;
    o.eval.data.size = 8;
    refuses(o, "8x8");
}

/* The last test: the process is told to stop, and remembers it. */
static void a_signal_ends_it_and_weights_are_as_before(void **state)
{
    (void)state;
    struct train_model *m = new_model(train_net_find("resnet8"), "three");
    struct train_certify_options o = few_draws();
    struct train_certify_result r;
    size_t bytes;
    void *before = copy_weights(m, &bytes);
    o.draws = TRAIN_CERTIFY_DRAWS_MAX;
    stop_install();
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGINT}; /* Ctrl-C */
    struct itimerspec soon = {.it_value = {.tv_nsec = 300000000}};
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
    assert_int_equal(train_certify(m, &o, &r, NULL), STATUS_CANCELLED);
    assert_weights(m, before);
    mem_free(before);
    train_model_free(m);
    timer_delete(timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_what_is_known_in_closed_form),
        cmocka_unit_test(is_what_single_evaluations_give),
        cmocka_unit_test(weights_are_as_before),
        cmocka_unit_test(is_a_function_of_seed_and_draw),
        cmocka_unit_test(without_noise_all_are_the_surrogate),
        cmocka_unit_test(reaches_as_far_as_it_says),
        cmocka_unit_test(refuses_what_is_no_certificate),
        cmocka_unit_test(a_signal_ends_it_and_weights_are_as_before),
    };
    return cmocka_run_group_tests_name("certify", tests, toy_setup, toy_teardown);
}
