/*
 * Subtracting what a restorer predicts: without seams, by gain, passes and strength as they are
 * promised, and the same whichever way an image takes.
 */
#include "network.h"
#include "subtract_plans.h"
#include "test_ways.h"
#include "window.h"

/* ---- networks ---- */

enum { NAME_MAX_HERE = 160 };
static void path_of(const char *name, char out[NAME_MAX_HERE])
{
    snprintf(out, NAME_MAX_HERE, "%s/%s.safetensors", dir.path, name);
}

/* Made-up weights: it predicts some grey levels. */
static void save_filled(const char *name, int channels)
{
    char path[NAME_MAX_HERE];
    struct purify_restorer cfg = test_restorer_cfg(channels);
    struct nn_params *p = test_restorer_params(&cfg);
    path_of(name, path);
    test_fill(p);
    test_restorer_save(p, &cfg, path);
}

/* Predicts value[c] for channel c, whatever the image. */
static void save_constant(const char *name, int channels, const float *value)
{
    char path[NAME_MAX_HERE];
    struct purify_restorer cfg = test_restorer_cfg(channels);
    struct nn_params *p = test_restorer_params(&cfg);
    struct nn_param_entry *bias = nn_params_find(p, "conv_out.bias");
    path_of(name, path);
    for (int i = 0; i < 4 * channels; i++)
        bias->value[i] = value[i % channels];
    test_restorer_save(p, &cfg, path);
}

/* Predicts `factor` times each pixel's value in [-1,1]. */
static void save_proportional(const char *name, float factor)
{
    char path[NAME_MAX_HERE];
    struct purify_restorer cfg = test_restorer_cfg(3);
    struct nn_params *p = test_restorer_params(&cfg);
    struct nn_param_entry *in = nn_params_find(p, "conv_in.weight"),
                          *out = nn_params_find(p, "conv_out.weight");
    path_of(name, path);
    for (int c = 0; c < 12; c++) {
        in->value[(c * in->shape.dim[1] + c) * 9 + 4] = 1; /* the middle of 3x3 */
        out->value[(c * out->shape.dim[1] + c) * 9 + 4] = factor;
    }
    test_restorer_save(p, &cfg, path);
}

static int make_networks(void **state)
{
    static const float colours[3] = {0.25f, 0.5f, 1.5f}, half = 0.5f, nan = NAN;
    make_dir(state);
    save_filled("colour", 3);
    save_filled("one", 1);
    save_constant("colours", 3, colours);
    save_constant("half", 1, &half);
    save_constant("nan", 1, &nan);
    save_proportional("halving", 127.5f / PURIFY_RESTORER_GREYS / 2);
    return 0;
}

static struct purify_model *restoring(const char *name, const char *more)
{
    char text[NAME_MAX_HERE];
    snprintf(text, sizeof text,
             "[purify]\nchain = restore\n[restore]\nmodel = ./%s.safetensors\n%s", name, more);
    return model_of(text);
}

/* ---- the whole image at once ---- */

/* What is predicted for an image in one plan of its own shape, (H,W,C) in grey levels. */
static float *predicted_whole(const char *name, const struct image *img, enum nn_precision prec)
{
    char path[NAME_MAX_HERE];
    struct nn_file *f = NULL;
    struct subtract *m = NULL;
    struct subtract_plans plans = {.now = 0};
    struct subtract_plan *p;
    const struct subtract_how how = {.passes = 1, .precision = prec};
    path_of(name, path);
    assert_int_equal(nn_file_open(path, &f, NULL), STATUS_OK);
    assert_int_equal(subtract_new(&how, &(struct digest){{0}}, f, &m, NULL), STATUS_OK);
    int unit = purify_restorer_unit(&m->cfg), c = img->channels, w = img->width, h = img->height;
    int wide = (w + unit - 1) / unit * unit, high = (h + unit - 1) / unit * unit;
    assert_int_equal(m->cfg.in_channels, c);
    assert_int_equal(subtract_plans_get(&plans, m, 1, high, wide, &p, NULL), STATUS_OK);
    float *all = mem_zalloc((size_t)(high * wide * c), sizeof *all);
    float *out = mem_zalloc((size_t)(h * w * c), sizeof *out);
    for (int k = 0; k < high * wide * c; k++) {
        int y = window_mirror(k / c / wide, h), x = window_mirror(k / c % wide, w);
        all[k] = (float)img->pixels[(y * w + x) * c + k % c] / 127.5f - 1;
    }
    purify_restorer_fold(all, high, wide, c, p->in);
    assert_int_equal(nn_plan_run(p->plan), STATUS_OK);
    purify_restorer_unfold(p->out, high, wide, c, all);
    for (int k = 0; k < h * w * c; k++)
        out[k] = PURIFY_RESTORER_GREYS * all[(k / c / w * wide + k / c % w) * c + k % c];
    mem_free(all);
    subtract_plans_done(&plans);
    subtract_free(m);
    nn_file_close(f);
    return out;
}

/* Each value is what the whole image's prediction leaves, rounded, within `slack` grey levels. */
static void fits_together(const char *name, int w, int h, int channels, enum nn_precision prec,
                          double slack)
{
    struct image img, before;
    char more[64];
    snprintf(more, sizeof more, "precision = %s\n", nn_precision_names[prec]);
    struct purify_model *m = restoring(name, more);
    noisy_image(w, h, channels, 3, &img);
    noisy_image(w, h, channels, 3, &before);
    float *p = predicted_whole(name, &img, prec);
    run_once(m, &img);
    double largest = 0, furthest = 0;
    for (size_t k = 0; k < image_pixel_bytes(&img); k++) {
        double v = (double)before.pixels[k] - (double)p[k];
        v = v < 0 ? 0 : v > 255 ? 255 : v;
        furthest = fmax(furthest, fabs((double)img.pixels[k] - v));
        largest = fmax(largest, fabs((double)p[k]));
    }
    assert_true(largest > 2 || w * h < 100); /* else there would be nothing to see */
    if (furthest > 0.5 + slack)
        fail_msg("%dx%d of %d channels: %g grey levels from the whole image's", w, h, channels,
                 furthest);
    mem_free(p);
    image_done(&img);
    image_done(&before);
    purify_model_free(m);
}

static const int large[][2] = {{900, 800}, {20001, 31}, {5, 150000}};

static void has_no_seams(void **state)
{
    (void)state;
    static const int small[][2] = {{1, 1}, {5, 3}, {33, 17}, {32, 32}, {2, 61}, {200, 150}};
    for (size_t i = 0; i < ARRAY_LEN(small); i++) {
        fits_together("colour", small[i][0], small[i][1], 3, NN_PREC_F32, 1e-3);
        fits_together("one", small[i][0], small[i][1], 1, NN_PREC_F32, 1e-3);
    }
    for (size_t i = 0; i < ARRAY_LEN(large); i++)
        fits_together("one", large[i][0], large[i][1], 1, NN_PREC_F32, 1e-3);
}

static void has_no_seams_in_bf16(void **state)
{
    (void)state;
    if (!nn_precision_supported(NULL, NN_PREC_BF16))
        skip();
    fits_together("colour", 33, 17, 3, NN_PREC_BF16, 0.2);
    fits_together("one", 900, 800, 1, NN_PREC_BF16, 0.2);
}

/* ---- promise 3 ---- */

static void takes_any_way(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {5, 3}, {32, 32}, {33, 17}, {150, 140}};
    static const char *const more[] = {"", "passes = 2\n", "passes = 3\nstrength = 4\ngain = 2\n",
                                       "strength = 100\n", "precision = bf16\n"};
    int n = (int)ARRAY_LEN(more) - !nn_precision_supported(NULL, NN_PREC_BF16);
    for (int k = 0; k < n; k++) {
        struct purify_model *m = restoring("colour", more[k]);
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            for (int channels = 1; channels <= 3; channels += 2)
                each_way(more[k], m, shapes[i][0], shapes[i][1], channels);
        purify_model_free(m);
    }
    struct purify_model *m = restoring("one", "passes = 2\n");
    int turns = each_way("of several tiles", m, 900, 800, 1);
    assert_int_equal(turns, 2 * 2); /* tiles, passes */
    purify_model_free(m);
}

/* Four that fit a square, but are not alike, in a group; so does one that ends before the others. */
static void groups_of_unlike_images(void **state)
{
    (void)state;
    static const int shapes[4][2] = {{32, 32}, {5, 3}, {32, 30}, {32, 32}};
    struct purify_model *m = restoring("halving", "passes = 3\nstrength = 12\n");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    for (int unlike = 0; unlike < 2; unlike++) {
        struct image img[4], alone[4];
        struct engine_member member[4];
        for (int k = 0; k < 4; k++) {
            int w = shapes[unlike ? k : 0][0], h = shapes[unlike ? k : 0][1];
            noisy_image(w, h, 3, (uint64_t)k, &img[k]);
            noisy_image(w, h, 3, (uint64_t)k, &alone[k]);
            if (k == 3) { /* nothing to do */
                memset(img[k].pixels, 128, image_pixel_bytes(&img[k]));
                memset(alone[k].pixels, 128, image_pixel_bytes(&img[k]));
            }
            run(en, &alone[k]);
            member[k] = (struct engine_member){.img = &img[k]};
        }
        engine_run_group(en, member, 4);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(member[k].st, STATUS_OK);
            assert_int_equal(member[k].evaluations, k == 3 ? 1 : 3);
            assert_same("in a group", &alone[k], &img[k]);
            image_done(&img[k]);
            image_done(&alone[k]);
        }
    }
    purify_engine_free(en);
    purify_model_free(m);
}

/* ---- gain, passes, strength ---- */

static void subtracts_what_is_predicted(void **state)
{
    (void)state;
    static const float greys[3] = {4, 8, 24};
    struct purify_model *m = restoring("colours", "gain = 1.5\n");
    struct image img, before;
    for (int channels = 1; channels <= 3; channels += 2) {
        noisy_image(7, 9, channels, 1, &img);
        noisy_image(7, 9, channels, 1, &before);
        run_once(m, &img);
        for (size_t k = 0; k < image_pixel_bytes(&img); k++) {
            float v = before.pixels[k] - 1.5f * (channels == 3 ? greys[k % 3] : 12);
            assert_int_equal(img.pixels[k], v < 0 ? 0 : (int)v);
        }
        assert_memory_equal(img.alpha, before.alpha, 7 * 9);
        image_done(&img);
        image_done(&before);
    }
    purify_model_free(m);
}

/* Plainly: halving, until it is done or weak. Returns the passes that changed something. */
static int halve(struct image *img, int passes, double strength)
{
    for (int pass = 0; pass < passes; pass++) {
        double squares = 0;
        size_t n = image_pixel_bytes(img);
        for (size_t k = 0; k < n; k++)
            squares += pow((img->pixels[k] - 127.5) / 2, 2);
        if (sqrt(squares / (double)n) < strength)
            return pass;
        for (size_t k = 0; k < n; k++) /* 1/64 off what is to be rounded: never in doubt */
            img->pixels[k] = (uint8_t)rint(img->pixels[k] - (img->pixels[k] - 127.5) / 2);
    }
    return passes;
}

static void stops_where_it_predicts_little(void **state)
{
    (void)state;
    int changed[4] = {0};
    for (int passes = 1; passes <= 4; passes++)
        for (int strength = 0; strength <= 45; strength += 9) {
            char more[64];
            struct image img, expected;
            snprintf(more, sizeof more, "passes = %d\nstrength = %d\n", passes, strength);
            struct purify_model *m = restoring("halving", more);
            noisy_image(40, 30, 3, 1, &img);
            noisy_image(40, 30, 3, 1, &expected);
            for (size_t k = 0; k < image_pixel_bytes(&img); k++)
                img.pixels[k] = expected.pixels[k] = (uint8_t)(img.pixels[k] / 4 * 4);
            int n = halve(&expected, passes, strength);
            if (n < 4)
                changed[n]++;
            run_once(m, &img);
            for (size_t k = 0; k < image_pixel_bytes(&img); k++)
                if (abs(img.pixels[k] - expected.pixels[k]) > 1)
                    fail_msg("%s[%zu] is %d, not %d", more, k, img.pixels[k], expected.pixels[k]);
            image_done(&img);
            image_done(&expected);
            purify_model_free(m);
        }
    for (int n = 0; n < 4; n++)
        assert_true(changed[n] > 0);
}

/* Exactly as it is, and after one evaluation. */
static void leaves_weak_images_alone(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        int evaluations;
        bool changes;
    } rows[] = {{"strength = 8.01\n", 1, false},
                {"strength = 7.99\n", 1, true},
                {"strength = 8.01\npasses = 3\n", 1, false},
                {"strength = 7.99\npasses = 3\n", 3, true},
                {"strength = 8.01\ngain = 16\n", 1, false}}; /* the gain does not count */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct image img, before;
        struct purify_model *m = restoring("half", rows[i].more);
        struct purify_engine *en = engine(m, 1);
        noisy_image(30, 31, 1, 1, &img);
        noisy_image(30, 31, 1, 1, &before);
        struct engine_member member = {.img = &img};
        while (engine_turn(en, &member) > 0)
            ;
        assert_int_equal(member.st, STATUS_OK);
        assert_int_equal(member.evaluations, rows[i].evaluations);
        assert_int_equal(same(&img, &before), !rows[i].changes);
        image_done(&img);
        image_done(&before);
        purify_engine_free(en);
        purify_model_free(m);
    }
}

static void two_passes_are_one_of_one(void **state)
{
    (void)state;
    struct purify_model *once = restoring("colour", ""), *twice = restoring("colour", "passes=2\n");
    struct image a, b;
    noisy_image(45, 50, 3, 1, &a);
    noisy_image(45, 50, 3, 1, &b);
    run_once(once, &a);
    assert_false(same(&a, &b));
    run_once(once, &a);
    run_once(twice, &b);
    assert_same("twice", &a, &b);
    image_done(&a);
    image_done(&b);
    purify_model_free(once);
    purify_model_free(twice);
}

/* ---- costs ---- */

static void costs_are_counted_in_squares(void **state)
{
    (void)state;
    struct purify_model *m = restoring("one", "passes = 2\n");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image small = {32, 32, 1, NULL, NULL}, tile = {64, 32, 1, NULL, NULL};
    assert_int_equal(purify_model_size(m), 32);
    assert_int_equal(purify_model_tiles(m, 32, 32), 1);
    assert_int_equal(purify_model_tiles(m, 1, 1), 1);
    assert_int_equal(purify_model_tiles(m, 768, 768), 24 * 24);
    int64_t large_one = purify_model_tiles(m, 4000, 3000), pure = 4000 * 3000 / 1024;
    assert_true(large_one > pure && large_one < pure * 5 / 4); /* margins */
    assert_int_equal(engine_slots(en, &small), 1);
    assert_int_equal(engine_slots(en, &tile), 2);
    assert_int_equal(engine_run_bytes(en, &tile), 2 * 64 * 32);
    assert_int_equal(purify_profile_evaluations(purify_model_profile(m)), 2);
    struct purify_cost cost;
    assert_int_equal(purify_engine_measure(en, &cost, NULL), STATUS_OK);
    assert_true(cost.alone_seconds > 0 && cost.bulk_seconds > 0);
    purify_engine_free(en);
    purify_model_free(m);
}

/* ---- failures ---- */

static int stop_later(void *arg)
{
    int *left = arg;
    return (*left)-- <= 0;
}

static void stops_between_turns(void **state)
{
    (void)state;
    struct purify_model *m = restoring("one", "passes = 2\n");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image img, before;
    noisy_image(900, 800, 1, 4, &img);
    noisy_image(900, 800, 1, 4, &before);
    for (int at = 0; at < 4; at++) {
        int left = at;
        assert_int_equal(purify_engine_run(en, &img, stop_later, &left, NULL), STATUS_CANCELLED);
        assert_same("stopped", &before, &img);
    }
    image_done(&img);
    image_done(&before);
    purify_engine_free(en);
    purify_model_free(m);
}

/* One of a group stops before either pass: the others are done as if it were not there. */
static void one_of_a_group_stops(void **state)
{
    (void)state;
    struct purify_model *m = restoring("colour", "passes = 2\n");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image alone, before;
    noisy_image(30, 20, 3, 1, &alone);
    noisy_image(30, 20, 3, 1, &before);
    run(en, &alone);
    for (int at = 0; at < 2; at++) {
        struct image img[4];
        struct engine_member member[4];
        int left = at;
        for (int k = 0; k < 4; k++) {
            noisy_image(30, 20, 3, 1, &img[k]);
            member[k] = (struct engine_member){.img = &img[k]};
        }
        member[1].hooks = (struct engine_hooks){stop_later, &left};
        engine_run_group(en, member, 4);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(member[k].st, k == 1 ? STATUS_CANCELLED : STATUS_OK);
            assert_int_equal(member[k].evaluations, k == 1 ? at : 2);
            assert_same("one stopped", k == 1 ? &before : &alone, &img[k]);
            image_done(&img[k]);
        }
    }
    image_done(&alone);
    image_done(&before);
    purify_engine_free(en);
    purify_model_free(m);
}

static void no_numbers_become_no_pixels(void **state)
{
    (void)state;
    struct purify_model *m = restoring("nan", "");
    struct purify_engine *en = engine(m, 1);
    struct image img, before;
    struct errmsg e = {""};
    noisy_image(30, 20, 1, 4, &img);
    noisy_image(30, 20, 1, 4, &before);
    assert_int_equal(purify_engine_run(en, &img, NULL, NULL, &e), STATUS_INTERNAL);
    assert_non_null(strstr(e.text, "no finite numbers"));
    assert_same("not a number", &before, &img);
    image_done(&img);
    image_done(&before);
    noisy_image(30, 20, 3, 4, &img);
    assert_int_equal(purify_engine_run(en, &img, NULL, NULL, &e), STATUS_UNSUPPORTED);
    assert_non_null(strstr(e.text, "grey images only"));
    image_done(&img);
    purify_engine_free(en);
    purify_model_free(m);
}

/* Each allocation fails once: in a group, and alone, where plans are made, too. */
static void survives_without_memory(void **state)
{
    (void)state;
    struct purify_profile p;
    assert_int_equal(load_text("[purify]\nchain = restore\n[restore]\nmodel = ./one.safetensors\n"
                               "passes = 2\n",
                               &p, NULL),
                     STATUS_OK);
    struct image img[4], before;
    noisy_image(30, 20, 1, 4, &before);
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        struct purify_model *m = NULL;
        struct purify_engine *en = NULL;
        struct engine_member member[4];
        for (int k = 0; k < 4; k++) {
            noisy_image(30, 20, 1, 4, &img[k]);
            member[k] = (struct engine_member){.img = &img[k]};
        }
        fault_set(FAULT_MEM, n, 0, 0);
        st = purify_model_load(&p, &m, NULL);
        if (!st)
            st = purify_engine_new(m, &en, NULL);
        if (!st)
            st = purify_engine_run(en, &img[0], NULL, NULL, NULL);
        assert_int_equal(same(&img[0], &before), st != STATUS_OK);
        if (!st)
            engine_run_group(en, member, 4);
        fault_clear();
        for (int k = 0; k < 4 && en && !st; k++)
            if (member[k].st) {
                assert_int_equal(member[k].st, STATUS_NOMEM);
                st = member[k].st;
            }
        for (int k = 0; k < 4; k++)
            image_done(&img[k]);
        purify_engine_free(en);
        purify_model_free(m);
        assert_true(n < 3000);
    }
    assert_int_equal(st, STATUS_OK);
    image_done(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_no_seams),
        cmocka_unit_test(has_no_seams_in_bf16),
        cmocka_unit_test(takes_any_way),
        cmocka_unit_test(groups_of_unlike_images),
        cmocka_unit_test(subtracts_what_is_predicted),
        cmocka_unit_test(stops_where_it_predicts_little),
        cmocka_unit_test(leaves_weak_images_alone),
        cmocka_unit_test(two_passes_are_one_of_one),
        cmocka_unit_test(costs_are_counted_in_squares),
        cmocka_unit_test(stops_between_turns),
        cmocka_unit_test(one_of_a_group_stops),
        cmocka_unit_test(no_numbers_become_no_pixels),
        cmocka_unit_test(survives_without_memory),
    };
    return cmocka_run_group_tests_name("purify/subtract", tests, make_networks, remove_dir);
}
