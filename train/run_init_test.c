/* Runs that begin with the weights of a file. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

#include <jansson.h>

static struct train_options options(const char *data, const char *out)
{
    struct train_options o = train_options_default();
    o.data_dir = toy_path(data);
    o.out_dir = toy_path(out);
    o.arch = "resnet8";
    o.epochs = 1;
    o.batch = 16;
    o.pad = 1;
    o.flip = false;
    o.seed = 3;
    o.threads = 1;
    o.quiet = true;
    return o;
}

/* So slow that the weights stay where they begin. */
static struct train_options still(const char *data, const char *out)
{
    struct train_options o = options(data, out);
    o.init_file = toy_path("first/weights.safetensors");
    o.lr = 1e-9f;
    o.seed = 4;
    return o;
}

static void run_fails(struct train_options o, const char *says)
{
    struct train_result r;
    struct errmsg e = {""};
    assert_int_equal(toy_bad(train_run(&o, &r, &e), &e, says), STATUS_INVALID);
}

static int make_first(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("train", 4, 24, 12, 1, 1);
    toy_tree("test", 4, 10, 12, 1, 2);
    toy_tree("three", 3, 24, 12, 1, 3);
    struct train_options o = options("train", "first");
    o.epochs = 8;
    toy_run(o);
    return 0;
}

static float distance(const char *a, const char *b, const char *name)
{
    struct train_model *m[2] = {NULL};
    float most = 0;
    struct errmsg e = {""};
    toy_good(train_model_load(toy_path(a), NULL, &m[0], &e), &e);
    toy_good(train_model_load(toy_path(b), NULL, &m[1], &e), &e);
    const struct nn_param_entry *p = nn_params_find(m[0]->params, name);
    const struct nn_param_entry *q = nn_params_find(m[1]->params, name);
    size_t n = 1;
    for (int d = 0; d < p->shape.rank; d++)
        n *= (size_t)p->shape.dim[d];
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(p->value[i] - q->value[i]));
    train_model_free(m[0]);
    train_model_free(m[1]);
    return most;
}

#define FIRST "first/weights.safetensors"

static void it_knows_what_the_file_knows(void **state)
{
    (void)state;
    struct train_options o = still("train", "on");
    o.test_dir = toy_path("test");
    double with = toy_run(o).test_accuracy;
    o = still("train", "random");
    o.test_dir = toy_path("test");
    o.init_file = NULL;
    double without = toy_run(o).test_accuracy;
    if (!(with > .9 && without < .6))
        fail_msg("accuracy %g with the file's weights, %g without", with, without);
    assert_true(distance(FIRST, "on/weights.safetensors", "fc.weight") < 1e-6f);
    assert_true(distance(FIRST, "random/weights.safetensors", "fc.weight") > 1e-3f);
}

/* Watching a recipe's start moves running statistics, and the file's come back. */
static void measuring_changes_nothing(void **state)
{
    (void)state;
    struct train_options o = still("train", "watched");
    o.acm = true;
    o.probe = 32;
    toy_run(o);
    toy_run(still("train", "unwatched"));
    assert_true(distance("unwatched/weights.safetensors", "watched/weights.safetensors",
                         "bn1.running_mean") == 0);
}

static void other_classes_get_a_last_layer_of_their_own(void **state)
{
    (void)state;
    toy_run(still("three", "other"));
    assert_true(distance(FIRST, "other/weights.safetensors", "layer3.0.conv2.weight") < 1e-6f);
    struct train_model *m = NULL;
    struct errmsg e = {""};
    toy_good(train_model_load(toy_path("other/weights.safetensors"), NULL, &m, &e), &e);
    assert_int_equal(nn_params_find(m->params, "fc.weight")->shape.dim[0], 3);
    train_model_free(m);
}

/* A network that was trained on pixels as its file scales them goes on with such. */
static void pixels_are_scaled_as_the_file_says(void **state)
{
    (void)state;
    struct nn_file *f = NULL;
    struct train_model *m = NULL;
    struct errmsg e = {""};
    toy_good(train_model_load(toy_path(FIRST), NULL, &m, &e), &e);
    const struct nn_meta meta[] = {
        {"architecture", "resnet8"}, {"in_channels", "1"}, {"classes", "4"},
        {"image_size", "12x12"},     {"mean", "0.25"},     {"std", "0.5"}};
    toy_good(
        nn_params_save(m->params, toy_path("scaled.safetensors"), meta, ARRAY_LEN(meta), false, &e),
        &e);
    train_model_free(m);
    struct train_options o = still("train", "scaled");
    o.init_file = toy_path("scaled.safetensors");
    toy_run(o);
    toy_good(nn_file_open(toy_path("scaled/weights.safetensors"), &f, &e), &e);
    assert_string_equal(nn_file_meta(f, "mean"), "0.25");
    assert_string_equal(nn_file_meta(f, "std"), "0.5");
    nn_file_close(f);
}

static void the_file_is_recorded_and_resumed_with(void **state)
{
    (void)state;
    struct train_config *c = NULL;
    struct errmsg e = {""};
    char path[PATH_MAX];
    toy_run(still("train", "recorded"));
    toy_good(train_config_open(toy_path("recorded"), &c, &e), &e);
    struct train_options got = train_config_options(c);
    got.quiet = true;
    assert_string_equal(got.init_file, realpath(toy_path(FIRST), path));
    toy_run(got);
    got.init_file = NULL;
    run_fails(got, "was started with \"init\"");
    got.init_file = toy_path("recorded/weights.safetensors");
    run_fails(got, "was started with \"init\"");
    train_config_free(c);
    size_t len;
    char *text = toy_read(toy_path("recorded/config.json"), &len);
    json_t *j = json_loads(text, 0, NULL);
    const char *init = json_string_value(json_object_get(json_object_get(j, "options"), "init"));
    struct nn_file *f = NULL;
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    toy_good(nn_file_open(toy_path(FIRST), &f, &e), &e);
    assert_int_equal(nn_file_digest(f, &d), STATUS_OK);
    digest_hex(&d, hex);
    assert_string_equal(init, hex);
    nn_file_close(f);
    json_decref(j);
    mem_free(text);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct train_options o = still("train", "x");
    o.arch = "resnet20";
    run_fails(o, "holds a resnet8, and a resnet20 is to be trained");
    o = still("train", "x");
    o.channels = 3;
    run_fails(o, "is for images with 1 channel(s), and these have 3 (--channels 1)");
    o = still("train", "x");
    o.init_file = toy_path("train/a/000.png");
    struct train_result r;
    struct errmsg e = {""};
    toy_bad(train_run(&o, &r, &e), &e, "000.png");
    assert_false(toy_there("x"));
}

/* A vision transformer has a vector for each place, besides a row for each class. */
static void a_network_for_another_size_is_refused(void **state)
{
    (void)state;
    struct train_options o = options("train", "vit");
    o.arch = "vit";
    o.limit = 8;
    o.batch = 4;
    toy_run(o);
    o = still("three", "x");
    o.arch = "vit";
    o.init_file = toy_path("vit/weights.safetensors");
    o.size = 16;
    run_fails(o, "is for images of 12x12: its encoder.pos_embedding does not fit images of 16x16");
    o.size = 0;
    o.limit = 8;
    o.out_dir = toy_path("vit-three");
    toy_run(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_what_the_file_knows),
        cmocka_unit_test(measuring_changes_nothing),
        cmocka_unit_test(other_classes_get_a_last_layer_of_their_own),
        cmocka_unit_test(pixels_are_scaled_as_the_file_says),
        cmocka_unit_test(the_file_is_recorded_and_resumed_with),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_network_for_another_size_is_refused),
    };
    return cmocka_run_group_tests_name("run init", tests, make_first, toy_teardown);
}
