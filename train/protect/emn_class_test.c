#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protect/fixture.h"

#include <math.h>
#include <stdlib.h>

enum { SIDE = 12, CLASSES = 4 };

/* Images that say nothing about their class: only the perturbation can lower the error. */
static void make_noise_tree(const char *dir)
{
    for (int k = 0; k < CLASSES; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < 60; i++) {
            uint8_t pixels[SIDE * SIDE];
            struct nn_rng r = nn_rng(5, (uint64_t)(k * 100 + i));
            for (int p = 0; p < SIDE * SIDE; p++)
                pixels[p] = (uint8_t)(100 + stream_below(nn_rng_u32(r, (uint64_t)p), 40));
            snprintf(name, sizeof name, "%s/%c/%03d.png", dir, 'a' + k, i);
            toy_image(name, SIDE, SIDE, 1, pixels);
        }
    }
}

static struct train_protect_options emn(const char *dst)
{
    struct train_protect_options o = options("emn-class", "noise", dst);
    set(&o, "surrogate", "resnet8");
    set(&o, "batch", "32");
    o.threads = 1;
    set(&o, "rounds", "40");
    return o;
}

static void it_lowers_the_surrogates_error(void **state)
{
    (void)state;
    make_noise_tree("noise");
    struct train_protect_result r = protect_ok(emn("emn"));
    if (!(r.surrogate_error <= .1))
        fail_msg("error %g after %d rounds", r.surrogate_error, r.rounds);
    assert_in_range(r.rounds, 2, 40);
    struct nn_shape s;
    int patch;
    float *d = read_delta("emn.perturbation.safetensors", &s, &patch);
    assert_int_equal(patch, 1);
    assert_true(nn_shape_equal(s, nn_shape4(CLASSES, SIDE, SIDE, 1)));
    float most = 0;
    for (int i = 0; i < CLASSES * SIDE * SIDE; i++)
        most = fmaxf(most, fabsf(d[i]));
    assert_true(most > 0 && most <= 8.0f / 255);
    /* one pattern a class */
    assert_memory_not_equal(d, d + SIDE * SIDE, SIDE * SIDE * sizeof *d);
    mem_free(d);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Thirty steps are not enough to learn such images by heart: that the surrogate is right is the
   noise's doing. Steps up the loss leave it wrong. A single run is a matter of luck: one of ten is wrong
   about two classes. */
static void its_noise_leads_the_surrogate(void **state)
{
    enum { RUNS = 5 };
    double error[RUNS];
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        struct train_protect_options o = emn("emn-few");
        set(&o, "rounds", "3");
        set(&o, "batch", "16");
        o.eps = 32;
        o.seed = (uint64_t)i;
        o.force = i > 0;
        error[i] = protect_ok(o).surrogate_error;
    }
    qsort(error, RUNS, sizeof *error, by_size);
    if (!(error[RUNS / 2] <= .1))
        fail_msg("error %g after three rounds", error[RUNS / 2]);
}

static void it_repeats_itself(void **state)
{
    (void)state;
    struct train_protect_options o = emn("emn1");
    set(&o, "rounds", "2");
    protect_ok(o);
    o.dst_dir = toy_path("emn2");
    protect_ok(o);
    toy_assert_same_file(toy_path("emn1.perturbation.safetensors"),
                         toy_path("emn2.perturbation.safetensors"));
    toy_assert_same_file(toy_path("emn1/d/007.png"), toy_path("emn2/d/007.png"));
}

static void it_takes_a_precision(void **state)
{
    (void)state;
    struct train_protect_options o = emn("emn16");
    set(&o, "precision", "bf16");
    if (!nn_precision_supported(NULL, NN_PREC_BF16)) {
        assert_int_equal(protect_fails(o, "--precision f32"), STATUS_UNSUPPORTED);
        return;
    }
    struct train_protect_result r = protect_ok(o);
    if (!(r.surrogate_error <= .1))
        fail_msg("error %g after %d rounds", r.surrogate_error, r.rounds);
    json_t *record = json_load_file(toy_path("emn16/protection.json"), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(record, "precision")), "bf16");
    json_decref(record);
    o.dst_dir = toy_path("emn16-again");
    protect_ok(o);
    toy_assert_same_file(toy_path("emn16.perturbation.safetensors"),
                         toy_path("emn16-again.perturbation.safetensors"));
    size_t whole, half;
    void *a = toy_read(toy_path("emn.perturbation.safetensors"), &whole);
    void *b = toy_read(toy_path("emn16.perturbation.safetensors"), &half);
    assert_true(whole != half || memcmp(a, b, whole) != 0);
    mem_free(a);
    mem_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lowers_the_surrogates_error),
        cmocka_unit_test(its_noise_leads_the_surrogate),
        cmocka_unit_test(it_repeats_itself),
        cmocka_unit_test(it_takes_a_precision),
    };
    return cmocka_run_group_tests_name("emn-class", tests, toy_setup, toy_teardown);
}
