#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sal.h"
#include "set.h"
#include "toy.h"

#include <math.h>

#define PYTHON "/usr/bin/python3"

static void assert_close(double got, double want, double part)
{
    if (!(fabs(got - want) <= part * fabs(want)))
        fail_msg("%.9g, not %.9g", got, want);
}

/* ---- functions whose extremes in the ball are known ---- */

enum { N = 4, BATCHES = 3 };
/* loss(w) = slope . w + half / 2 * |w - at|^2, the same for each batch. */
struct known {
    double slope[N], half, at[N];
    float w[N], start[N], grad[N];
    int asked, fails_at; /* gradients; 0: none fails */
    double farthest;     /* when the loss is measured, in parts of the start's norm */
};

static double norm_of(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += ((double)a[i] - (b ? (double)b[i] : 0)) * ((double)a[i] - (b ? (double)b[i] : 0));
    return sqrt(sum);
}

static status known_gradient(void *arg, int batch, const float **out)
{
    struct known *k = arg;
    assert_in_range(batch, 0, BATCHES - 1);
    for (int i = 0; i < N; i++)
        k->grad[i] = (float)(k->slope[i] + k->half * ((double)k->w[i] - k->at[i]));
    *out = k->grad;
    return ++k->asked == k->fails_at ? STATUS_LIMIT : STATUS_OK;
}

static status known_loss(void *arg, double *out)
{
    struct known *k = arg;
    *out = 0;
    for (int i = 0; i < N; i++) {
        double d = (double)k->w[i] - k->at[i];
        *out += k->slope[i] * (double)k->w[i] + k->half / 2 * d * d;
    }
    k->farthest = fmax(k->farthest, norm_of(k->w, k->start) / norm_of(k->start, NULL));
    return STATUS_OK;
}

static status search(struct known *k, double *out)
{
    double loss;
    memcpy(k->start, k->w, sizeof k->w);
    assert_int_equal(known_loss(k, &loss), STATUS_OK);
    const struct sal_problem p = {k->w, N, BATCHES, loss, known_gradient, known_loss, k};
    status st = train_sal_search(&p, out);
    assert_memory_equal(k->w, k->start, sizeof k->w);
    return st;
}

static double sal_of(struct known *k)
{
    double v = -1;
    assert_int_equal(search(k, &v), STATUS_OK);
    assert_int_equal(k->asked, 2 * TRAIN_SAL_PASSES * BATCHES);
    assert_true(k->farthest <= TRAIN_SAL_RADIUS * (1 + 1e-5));
    return v;
}

static void a_slope_is_climbed_to_the_edge_of_the_ball(void **state)
{
    (void)state;
    /* |w| = 10, |slope| = 5: the edge is .5 away, and the first pass would go 1.5. */
    struct known k = {.slope = {3, 0, 4, 0}, .w = {6, 8, 0, 0}};
    assert_close(sal_of(&k), .5 * 5, 1e-5);
    assert_close(k.farthest, TRAIN_SAL_RADIUS, 1e-5);
}

static void a_gentle_slope_is_climbed_as_far_as_its_steps_go(void **state)
{
    (void)state;
    /* 30 steps of .1 |slope| are .03 in all, and the edge is .5 away. */
    struct known k = {.slope = {0, 0, .01, 0}, .w = {6, 8, 0, 0}};
    double path = TRAIN_SAL_PASSES * BATCHES * (double)TRAIN_SAL_STEP * .01;
    assert_close(sal_of(&k), path * .01, 1e-4);
    assert_close(k.farthest, path / 10, 1e-4);
}

static void a_bowl_and_a_hill_are_as_deep_and_as_high_as_they_are(void **state)
{
    (void)state;
    /* The bottom is .1 away: 2 * .1^2 / 2 below, and straight away from it 2 * (.6^2 - .1^2) / 2 above. */
    struct known bowl = {.half = 2, .at = {6, 8, .1, 0}, .w = {6, 8, 0, 0}};
    assert_close(sal_of(&bowl), .6 * .6 - .1 * .1, 1e-4);
    struct known hill = {.half = -2, .at = {6, 8, .1, 0}, .w = {6, 8, 0, 0}};
    assert_close(sal_of(&hill), .6 * .6 - .1 * .1,
                 1e-4); /* what is below counts as what is above */
    /* The bottom alone: up from there is no way. */
    struct known still = {.half = 2, .at = {6, 8, 0, 0}, .w = {6, 8, 0, 0}};
    assert_true(sal_of(&still) == 0);
}

static void weights_of_norm_0_cannot_be_moved(void **state)
{
    (void)state;
    struct known k = {.slope = {3, 0, 4, 0}};
    double v = -1;
    k.farthest = -INFINITY; /* no part of 0 */
    assert_int_equal(search(&k, &v), STATUS_OK);
    assert_true(v == 0);
}

static void a_search_that_fails_leaves_the_weights_as_they_were(void **state)
{
    (void)state;
    double v = -1;
    for (int n = 1; n <= 2 * TRAIN_SAL_PASSES * BATCHES; n++) {
        struct known k = {.slope = {3, 0, 4, 0}, .w = {6, 8, 0, 0}, .fails_at = n};
        assert_int_equal(search(&k, &v), STATUS_LIMIT);
        assert_int_equal(k.asked, n);
    }
    assert_true(v == -1);
}

/* ---- a network ---- */

enum { SIDE = 8, CHANNELS = 3, CLASSES = 4, ROW = SIDE * SIDE * CHANNELS, IMAGES = 70 };
static const struct nn_plan_options plan = {.threads = 1};

static struct train_model *new_model(const char *arch)
{
    struct train_data_options d = {.dir = toy_path("set")};
    struct train_set *set = NULL;
    struct train_model *m = NULL;
    struct train_net_shape shape = {SIDE, SIDE, CHANNELS, CLASSES};
    assert_int_equal(train_set_open(&d, &set, NULL), STATUS_OK);
    assert_int_equal(train_model_new(train_net_find(arch), shape, set, &m), STATUS_OK);
    assert_int_equal(nn_params_init(m->params, 5), STATUS_OK);
    train_set_free(set);
    return m;
}

static float pixels[IMAGES * ROW];
static int32_t labels[IMAGES];

static int make_images(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("set", CLASSES, 2, SIDE, CHANNELS, 1);
    for (int i = 0; i < IMAGES; i++)
        labels[i] = i % CLASSES;
    for (int i = 0; i < IMAGES * ROW; i++)
        pixels[i] =
            nn_rng_uniform(nn_rng(9, 1), (uint64_t)i) + (labels[i / ROW] == i % CLASSES ? .5f : 0);
    return 0;
}

static const struct sal_images images = {pixels, labels, IMAGES};

static struct sal *new_sal(const struct train_model *m, const struct sal_images *of)
{
    struct sal *s = NULL;
    struct errmsg e = {""};
    toy_good(train_sal_new(m, of, &plan, &s, &e), &e);
    return s;
}

/* All values of all parameters, for mem_free. */
static float *bits_of(const struct train_model *m, size_t *out_bytes)
{
    float *all = mem_alloc((size_t)nn_params_elements(m->params, false) * sizeof *all), *at = all;
    for (int i = 0; i < nn_params_count(m->params); i++) {
        const struct nn_param_entry *p = nn_params_at(m->params, i);
        size_t n = (size_t)nn_shape_count(p->shape);
        memcpy(at, p->value, n * sizeof *at);
        at += n;
    }
    *out_bytes = (size_t)(at - all) * sizeof *all;
    return all;
}

static void assert_bits(const struct train_model *m, const float *before)
{
    size_t bytes;
    float *now = bits_of(m, &bytes);
    assert_memory_equal(now, before, bytes);
    mem_free(now);
}

static void layers_are_measured_and_keep_their_bits(void **state)
{
    (void)state;
    static const char *const layers[] = {"conv1",
                                         "layer1.0.conv1",
                                         "layer1.0.conv2",
                                         "layer2.0.conv1",
                                         "layer2.0.conv2",
                                         "layer2.0.downsample.0",
                                         "layer3.0.conv1",
                                         "layer3.0.conv2",
                                         "layer3.0.downsample.0",
                                         "fc"};
    struct train_model *m = new_model("resnet8s2");
    size_t bytes;
    float *before = bits_of(m, &bytes);
    struct sal *s = new_sal(m, &images);
    struct errmsg e = {""};
    double first[ARRAY_LEN(layers)];
    assert_int_equal(train_sal_layers(s), ARRAY_LEN(layers));
    for (int again = 0; again < 2; again++) {
        toy_good(train_sal_measure(s, &e), &e);
        for (int i = 0; i < train_sal_layers(s); i++) {
            char name[NN_NAME_MAX];
            int found = 0;
            for (size_t k = 0; k < ARRAY_LEN(layers); k++)
                found += strcmp(train_sal_layer(s, i, name), layers[k]) == 0;
            if (found != 1 || !(train_sal_value(s, i) > 0) ||
                (again && train_sal_value(s, i) != first[i]))
                fail_msg("%s: %g", name, train_sal_value(s, i));
            first[i] = train_sal_value(s, i);
        }
        assert_bits(m, before);
    }
    for (int i = 0; i < nn_params_count(m->params);
         i++) /* what a training run has there is its own */
        assert_null(nn_params_at(m->params, i)->grad);
    train_sal_free(s);
    mem_free(before);
    train_model_free(m);
}

/* A transformer has weights without a layer of their own. */
static void other_networks_have_layers_too(void **state)
{
    (void)state;
    struct train_model *m = new_model("vit");
    const struct sal_images few = {pixels, labels, 4};
    struct sal *s = new_sal(m, &few);
    char name[NN_NAME_MAX];
    int n = train_sal_layers(s);
    assert_int_equal(n, 1 + 6 * 3 + 1);
    assert_string_equal(train_sal_layer(s, 0, name), "conv_proj");
    assert_string_equal(train_sal_layer(s, n - 1, name), "heads.head");
    train_sal_free(s);
    train_model_free(m);
}

static void a_failure_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    struct train_model *m = new_model("resnet8s2");
    const struct sal_images few = {pixels, labels, 4};
    size_t bytes;
    float *before = bits_of(m, &bytes);
    struct sal *s = NULL;
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st; n++) {
        fault_set(FAULT_MEM, n, 0, 0);
        st = train_sal_new(m, &few, &plan, &s, NULL);
        fault_clear();
        if (st)
            assert_null(s);
    }
    st = STATUS_NOMEM;
    for (unsigned long n = 1; st; n += n / 2 + 1) {
        fault_set(FAULT_MEM, n, 0, 0);
        st = train_sal_measure(s, NULL);
        fault_clear();
        assert_bits(m, before);
    }
    train_sal_free(s);
    mem_free(before);
    train_model_free(m);
}

/* ---- PyTorch ---- */

static void agrees_with_pytorch(void **state)
{
    (void)state;
    static const char *const layers[] = {"conv1", "layer2.0.conv1", "layer2.0.downsample.0", "fc"};
    enum { COUNT = 80 };
    static float x[COUNT * ROW], label[COUNT];
    int32_t of[COUNT], seen = 0;
    char command[512];
    if (system(PYTHON " -c 'import torch' 2>/dev/null") != 0)
        skip();
    snprintf(command, sizeof command, PYTHON " -B tests/torch/sal.py %s", toy_path("sal"));
    assert_int_equal(system(command), 0);
    struct train_model_hint hint = {.arch = "resnet8", .size = SIDE};
    struct train_model *m = NULL;
    struct nn_file *f = NULL;
    struct errmsg e = {""};
    toy_good(train_model_load(toy_path("sal"), &hint, &m, &e), &e);
    toy_good(nn_file_open(toy_path("sal"), &f, &e), &e);
    toy_good(nn_file_read_f32(nn_file_find(f, "test.x"), x, COUNT * ROW), &e);
    toy_good(nn_file_read_f32(nn_file_find(f, "test.label"), label, COUNT), &e);
    for (int i = 0; i < COUNT; i++)
        of[i] = (int32_t)label[i];
    const struct sal_images all = {x, of, COUNT};
    struct sal *s = new_sal(m, &all);
    toy_good(train_sal_measure(s, &e), &e);
    for (size_t k = 0; k < ARRAY_LEN(layers); k++)
        for (int i = 0; i < train_sal_layers(s); i++) {
            char name[NN_NAME_MAX];
            if (strcmp(train_sal_layer(s, i, name), layers[k]) != 0)
                continue;
            double want = strtod(nn_file_meta(f, name), NULL), got = train_sal_value(s, i);
            print_message("# %s: %.6f, PyTorch %.6f\n", name, got, want);
            assert_close(got, want, 2e-3);
            seen++;
        }
    assert_int_equal(seen, ARRAY_LEN(layers));
    train_sal_free(s);
    nn_file_close(f);
    train_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slope_is_climbed_to_the_edge_of_the_ball),
        cmocka_unit_test(a_gentle_slope_is_climbed_as_far_as_its_steps_go),
        cmocka_unit_test(a_bowl_and_a_hill_are_as_deep_and_as_high_as_they_are),
        cmocka_unit_test(weights_of_norm_0_cannot_be_moved),
        cmocka_unit_test(a_search_that_fails_leaves_the_weights_as_they_were),
        cmocka_unit_test(layers_are_measured_and_keep_their_bits),
        cmocka_unit_test(other_networks_have_layers_too),
        cmocka_unit_test(a_failure_is_an_error_and_changes_nothing),
        cmocka_unit_test(agrees_with_pytorch),
    };
    return cmocka_run_group_tests_name("sal", tests, make_images, toy_teardown);
}
