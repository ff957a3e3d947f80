#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"
#include "toy.h"

#include <jansson.h>
#include <math.h>

enum { SIDE = 24, CLASSES = 3, EACH = 40 };

/* A disc somewhere, under faint noise; its class says how bright it is. planted: and there are 5 grey levels
   more or less at the same places in all images of a class. */
static void draw(int k, int i, bool planted, uint8_t *pixels)
{
    struct nn_rng r = nn_rng(11, (uint64_t)(k * 1000 + i)), pattern = nn_rng(12, (uint64_t)k);
    int cx = 8 + stream_below(nn_rng_u32(r, 0), 8), cy = 8 + stream_below(nn_rng_u32(r, 1), 8);
    for (int p = 0; p < SIDE * SIDE; p++) {
        int dx = p % SIDE - cx, dy = p / SIDE - cy;
        int v = dx * dx + dy * dy < 36 ? 130 + stream_below(nn_rng_u32(r, 2), 80) + 6 * k : 90;
        v += stream_below(nn_rng_u32(r, (uint64_t)(9 + p)), 13) - 6;
        if (planted)
            v += nn_rng_u32(pattern, (uint64_t)p) & 1 ? 5 : -5;
        pixels[p] = (uint8_t)v;
    }
}

static void make_tree(const char *dir, bool planted)
{
    for (int k = 0; k < CLASSES; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%c", dir, 'a' + k);
        toy_mkdir(name);
        for (int i = 0; i < EACH; i++) {
            uint8_t pixels[SIDE * SIDE];
            draw(k, i, planted, pixels);
            snprintf(name, sizeof name, "%s/%c/%03d.png", dir, 'a' + k, i);
            toy_image(name, SIDE, SIDE, 1, pixels);
        }
    }
}

static int make_sets(void **state)
{
    if (toy_setup(state))
        return -1;
    make_tree("pictures", false);
    make_tree("planted", true);
    toy_tree("few", 3, 7, 12, 1, 1);
    return 0;
}

static struct train_options options(const char *data, const char *recipe, const char *out)
{
    struct train_options o = train_options_default();
    o.data_dir = toy_path(data);
    o.out_dir = toy_path(out);
    o.arch = "resnet8s2";
    o.recipe = recipe;
    o.epochs = 2;
    o.batch = 16;
    o.threads = 1;
    o.quiet = true;
    return o;
}

static void run(struct train_options o)
{
    struct train_result r;
    struct errmsg e = {""};
    toy_good(train_run(&o, &r, &e), &e);
}

/* Of two runs, all values; their files also say which recipe it was. */
static bool same_parameters(const char *a, const char *b)
{
    struct train_model *m[2] = {NULL, NULL};
    struct errmsg e = {""};
    toy_good(train_model_load(toy_path(a), NULL, &m[0], &e), &e);
    toy_good(train_model_load(toy_path(b), NULL, &m[1], &e), &e);
    bool same = true;
    for (int i = 0; i < nn_params_count(m[0]->params); i++) {
        const struct nn_param_entry *x = nn_params_at(m[0]->params, i);
        const struct nn_param_entry *y = nn_params_at(m[1]->params, i);
        size_t n = (size_t)nn_shape_count(x->shape);
        same = same && memcmp(x->value, y->value, n * sizeof *x->value) == 0;
    }
    train_model_free(m[0]);
    train_model_free(m[1]);
    return same;
}

/* The last line of a run's log, for json_decref. */
static json_t *last_line(const char *log)
{
    size_t n;
    char *text = toy_read(toy_path(log), &n);
    size_t at = n - 1;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    json_t *j = json_loadb(text + at, n - at, 0, NULL);
    assert_non_null(j);
    mem_free(text);
    return j;
}

static double sign(const json_t *line, const char *name)
{
    const json_t *v = json_object_get(json_object_get(line, "signs"), name);
    assert_true(json_is_real(v));
    return json_real_value(v);
}

static void pictures_are_trained_on_as_they_are(void **state)
{
    (void)state;
    run(options("pictures", "standard", "plain"));
    run(options("pictures", "detect", "calm"));
    json_t *line = last_line("calm/log.jsonl");
    double most = json_real_value(json_object_get(line, "agreement"));
    if (!(most < .5) || !(most >= sign(line, "pattern")))
        fail_msg("agreement %g; of the pattern %g, of texture %g, of a spot %g", most,
                 sign(line, "pattern"), sign(line, "texture"), sign(line, "spot"));
    assert_true(json_is_false(json_object_get(line, "broken")));
    json_decref(line);
    assert_true(same_parameters("plain/weights.safetensors", "calm/weights.safetensors"));
}

static void what_is_planted_signals_and_is_broken(void **state)
{
    (void)state;
    static const struct param_arg never[] = {{"from", "1"}},
                                  others[] = {{"augment", "noise:sigma=20"}};
    run(options("planted", "standard", "trapped"));
    run(options("planted", "detect", "warned"));
    json_t *line = last_line("warned/log.jsonl");
    assert_true(json_is_true(json_object_get(line, "broken")));
    if (!(sign(line, "pattern") > .7))
        fail_msg("agreement of the pattern %g", sign(line, "pattern"));
    double most = json_real_value(json_object_get(line, "agreement"));
    json_decref(line);
    assert_false(same_parameters("trapped/weights.safetensors", "warned/weights.safetensors"));
    struct train_options o = options("planted", "detect", "other-views");
    o.recipe_arg = others;
    o.n_recipe_args = 1;
    run(o);
    assert_false(same_parameters("warned/weights.safetensors", "other-views/weights.safetensors"));
    if (most >= 1)
        return;
    o = options("planted", "detect", "deaf");
    o.recipe_arg = never;
    o.n_recipe_args = 1;
    run(o);
    assert_true(same_parameters("trapped/weights.safetensors", "deaf/weights.safetensors"));
}

static void wrong_input_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    static const struct param_arg moves[] = {{"augment", "grey,flip"}}, high[] = {{"from", "2"}};
    static const struct {
        const char *data;
        const struct param_arg *arg;
        const char *says;
    } wrong[] = {{"pictures", moves, "recipe detect: augment: views need rows"},
                 {"pictures", high, "recipe detect: from"},
                 {"few", NULL, "7 images of class a"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct train_options o = options(wrong[i].data, "detect", "wrong");
        struct train_result r;
        struct errmsg e = {""};
        o.recipe_arg = wrong[i].arg;
        o.n_recipe_args = wrong[i].arg ? 1 : 0;
        assert_int_equal(toy_bad(train_run(&o, &r, &e), &e, wrong[i].says), STATUS_INVALID);
        assert_false(toy_there("wrong"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_trained_on_as_they_are),
        cmocka_unit_test(what_is_planted_signals_and_is_broken),
        cmocka_unit_test(wrong_input_is_refused_before_anything_is_written),
    };
    return cmocka_run_group_tests_name("detect", tests, make_sets, toy_teardown);
}
