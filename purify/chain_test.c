/*
 * Chains of purifiers: how they are written and named, and promise 3 for each purifier that needs
 * no weights and for chains: the bytes are those of its pixels and the profile, however the image
 * gets there.
 */
#include "profile.h"
#include "test_ways.h"

/* ---- promise 3 ---- */

/* As many turns as the service is told. */
static void check_shape(const char *what, const struct purify_model *m, int w, int h, int channels)
{
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image img = {w, h, channels, NULL, NULL};
    assert_int_equal(each_way(what, m, w, h, channels), engine_slots(en, &img));
    purify_engine_free(en);
}

static const int shapes[][2] = {{1, 1}, {2, 1}, {1, 7}, {3, 2}, {33, 17}, {16, 16}, {150, 140}};

static void check_all_shapes(const char *text)
{
    struct purify_model *m = model_of(text);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int channels = 1; channels <= 3; channels += 2)
            check_shape(text, m, shapes[i][0], shapes[i][1], channels);
    purify_model_free(m);
}

static void test_each(void **state)
{
    (void)state;
    struct purify_about about;
    int n = 0;
    for (int i = 0; purify_about(i, &about); i++) {
        char text[80];
        if (param_find(about.params, "model"))
            continue;
        snprintf(text, sizeof text, "[purify]\nchain = %s\n", about.name);
        check_all_shapes(text);
        n++;
    }
    assert_true(n >= 2);
}

#define JCDP "[jcdp]\nmodel = unet.safetensors\nt_start = 10\nrounds = 1\nsteps = 2\noverlap = 4\n"

/* An image of any size is made in turns, so that others wait for no more than one of them. */
static void test_large(void **state)
{
    (void)state;
    static const struct {
        const char *chain;
        int w, h, turns;
    } large[] = {
        {"guided", 200, 250, 16}, /* a block of 64x64 each */
        {"jpeg", 1000, 1000, 2},  /* 512 rows */
        {"jpeg", 20000, 200, 4},  /* 64 rows of a very wide image */
        {"depth", 1000, 1000, 2}, /* 571 rows */
        {"median", 1000, 200, 4}, /* 50 rows */
    };
    for (size_t i = 0; i < ARRAY_LEN(large); i++) {
        char text[80];
        snprintf(text, sizeof text, "[purify]\nchain = %s\n", large[i].chain);
        struct purify_model *m = model_of(text);
        struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
        struct image img = {large[i].w, large[i].h, 1, NULL, NULL};
        assert_int_equal(engine_slots(en, &img), large[i].turns);
        purify_engine_free(en);
        check_shape(large[i].chain, m, large[i].w, large[i].h, 1);
        purify_model_free(m);
    }
    struct purify_model *m =
        model_of("[purify]\nchain = guided\n[guided]\ntimes = 4\nradius = 2\n");
    check_shape("guided, four times", m, 70, 65, 3); /* 4 blocks in a pass */
    purify_model_free(m);
}

static void test_chains(void **state)
{
    (void)state;
    check_all_shapes("[purify]\nchain = depth, grey\n[depth]\nbits = 3\n");
    struct purify_model *m = model_of("[purify]\nchain = median\n");
    check_shape("between one turn and two", m, 150, 500, 1); /* 74 ns a pixel, 4 ms a turn */
    purify_model_free(m);
    m = model_of("[purify]\nchain = grey, jcdp, depth\n" JCDP);
    assert_int_equal(purify_model_size(m), 16);
    assert_int_equal(purify_model_tiles(m, 16, 17), 2);
    for (int channels = 1; channels <= 3; channels += 2) {
        check_shape("with jcdp", m, 16, 16, channels);
        check_shape("with jcdp", m, 21, 40, channels);
    }
    purify_model_free(m);
}

/* avatar is jcdp with one round and no guidance: under one id, whose noise they share, the same. */
static void test_avatar(void **state)
{
    (void)state;
    static const char *const text[] = {
        "[purify]\nmodel = unet.safetensors\nt_start = 10\nrounds = 1\nsteps = 5\n",
        "[purify]\nchain = avatar\n[avatar]\nmodel = unet.safetensors\nt_start = 10\nsteps = 5\n",
    };
    struct purify_profile p[2];
    struct image img[2];
    for (int k = 0; k < 2; k++) {
        struct purify_model *m = NULL;
        assert_int_equal(load_text(text[k], &p[k], NULL), STATUS_OK);
        assert_int_equal(purify_profile_evaluations(&p[k]), 5);
        assert_int_equal(k, !digest_equal(&p[k].id, &p[0].id));
        p[k].id = p[0].id;
        assert_int_equal(purify_model_load(&p[k], &m, NULL), STATUS_OK);
        noisy_image(20, 18, 3, 7, &img[k]);
        run_once(m, &img[k]);
        purify_model_free(m);
    }
    assert_same("avatar", &img[0], &img[1]);
    struct purify_weights w;
    assert_true(purify_profile_weights(&p[1], 0, &w));
    assert_string_equal(w.key, "model");
    assert_false(purify_profile_weights(&p[1], 1, &w));
    image_done(&img[0]);
    image_done(&img[1]);
}

/* Each link is given what the one before it made. */
static void test_order(void **state)
{
    (void)state;
    static const char *const text[] = {"[purify]\nchain = depth, grey\n",
                                       "[purify]\nchain = depth\n", "[purify]\nchain = grey\n",
                                       "[purify]\nchain = grey, depth\n"};
    struct image img[4];
    for (int k = 0; k < 4; k++)
        noisy_image(20, 10, 3, 5, &img[k]);
    for (int k = 0; k < 4; k++) {
        struct purify_model *m = model_of(text[k]);
        run_once(m, &img[k == 2 ? 1 : k]);
        purify_model_free(m);
    }
    assert_same("depth, grey", &img[0], &img[1]);
    assert_memory_not_equal(img[0].pixels, img[3].pixels, image_pixel_bytes(&img[0]));
    for (int k = 0; k < 4; k++)
        image_done(&img[k]);
}

/* ---- failures ---- */

static int stop_now(void *arg)
{
    int *left = arg;
    return (*left)-- == 0;
}

static void test_stopped(void **state)
{
    (void)state;
    struct purify_model *m = model_of("[purify]\nchain = grey, depth\n");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    struct image img, before;
    for (int at = 0; at < 2; at++) {
        int left = at;
        noisy_image(100, 50, 3, 4, &img);
        noisy_image(100, 50, 3, 4, &before);
        assert_int_equal(purify_engine_run(en, &img, stop_now, &left, NULL), STATUS_CANCELLED);
        assert_same("stopped", &before, &img);
        image_done(&img);
        image_done(&before);
    }
    purify_engine_free(en);
    purify_model_free(m);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct purify_about about;
    for (int i = 0; purify_about(i, &about); i++) {
        char text[80];
        if (param_find(about.params, "model"))
            continue;
        snprintf(text, sizeof text, "[purify]\nchain = %s%s\n", about.name,
                 strcmp(about.name, "grey") == 0 ? "" : ", grey");
        survive_short_memory(text);
    }
}

/* ---- how it is written ---- */

static void assert_id(const char *text, const char *canonical)
{
    struct purify_profile p;
    struct errmsg e = {""};
    struct digest expected;
    if (load_text(text, &p, &e))
        fail_msg("%s", e.text);
    assert_int_equal(
        digest_sha256(&(struct digest_part){canonical, strlen(canonical)}, 1, &expected),
        STATUS_OK);
    if (!digest_equal(&expected, &p.id))
        fail_msg("%s\nis not named by\n%s", text, canonical);
}

static void test_ids(void **state)
{
    (void)state;
    assert_id("[purify]\nchain = grey\n", "relearnfs chain 1\n[grey 1]\n");
    assert_id("[purify]\nchain=depth ,grey\n[depth]\nbits = 3\n",
              "relearnfs chain 1\n[depth 1]\nbits=3\n[grey 1]\n");
    assert_id("[purify]\nchain = grey, depth\n",
              "relearnfs chain 1\n[grey 1]\n[depth 1]\nbits=2\n");
    struct purify_profile plain, chained, longer;
    struct errmsg e = {""};
    if (load_text("[purify]\nmodel = unet.safetensors\nrounds = 3\n", &plain, &e) ||
        load_text("[purify]\nchain = jcdp\n[jcdp]\nmodel = unet.safetensors\nrounds = 3\n",
                  &chained, &e) ||
        load_text("[purify]\nchain = jcdp, grey\n[jcdp]\nmodel = unet.safetensors\nrounds = 3\n",
                  &longer, &e))
        fail_msg("%s", e.text);
    assert_true(digest_equal(&plain.id, &chained.id));
    assert_false(digest_equal(&plain.id, &longer.id));
}

static void test_text(void **state)
{
    (void)state;
    static const char *const text[] = {
        "[purify]\nchain = grey\n",
        "[purify]\nchain = depth, grey\n[depth]\nbits = 5\n",
        "[purify]\nchain = grey, jcdp\n" JCDP,
        "[purify]\nchain = jcdp\n" JCDP,
    };
    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        struct purify_profile p, back;
        struct errmsg e = {""};
        AUTO(buf_done) struct buf b = BUF_INIT(1 << 16);
        if (load_text(text[i], &p, &e))
            fail_msg("%s", e.text);
        assert_int_equal(purify_profile_text(&p, &b), STATUS_OK);
        if (load_text(b.data, &back, &e))
            fail_msg("%s:\n%s", e.text, b.data);
        assert_true(digest_equal(&p.id, &back.id));
        assert_int_equal(strstr(b.data, "chain") != NULL, i < 3);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } bad[] = {
        {"[purify]\nchain =\n", ":2: no purifier is called \"\"; there are jcdp, avatar, restore, "
                                "denoise, deconvolve, grey"},
        {"[purify]\nchain = grey,\n", ":2: no purifier is called \"\""},
        {"[purify]\nchain = gray\n", ":2: no purifier is called \"gray\""},
        {"[purify]\nchain = grey, grey\n", ":2: the chain has grey twice"},
        {"[purify]\nchain = grey\nchain = depth\n", ":3: the chain is given twice"},
        {"[purify]\nrounds = 2\nchain = jcdp\n", ":3: the chain is to be given before"},
        {"[purify]\nchain = grey\nbits = 2\n", ":3: \"bits\" is to stand in the section"},
        {"[purify]\nchain = grey\n[depth]\nbits = 2\n", ":4: [depth] is not in the chain"},
        {"[purify]\nchain = depth\n[depth]\nbits = 9\n", ":4: bits is \"9\", not a whole number"},
        {"[purify]\nchain = depth\n[depth]\nbits = 2\nbits = 2\n", ":5: bits is given twice"},
        {"[purify]\nchain = depth\n[depth]\ncolour = 2\n", ":4: unknown key \"colour\""},
        {"[purify]\nchain = grey\n[grey]\nmodel = x\n", "unknown key \"model\"; there are none"},
        {"[purify]\nchain = jcdp, grey\n[jcdp]\nmodel =\n", ":4: model is missing"},
        {"[depth]\nbits = 2\n", ":2: \"bits\" is not under [purify]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        profile_refused(bad[i].text, bad[i].what);
}

static void test_set(void **state)
{
    (void)state;
    struct purify_profile p;
    struct errmsg e = {""};
    purify_profile_init(&p);
    assert_int_equal(purify_profile_set(&p, "rounds", "9", NULL), STATUS_OK);
    assert_int_equal(purify_profile_set(&p, "chain", "grey, jcdp, depth", NULL), STATUS_OK);
    assert_int_equal(jcdp_of(&p)->rounds, 9); /* it was in the chain */
    assert_int_equal(purify_profile_set(&p, "bits", "3", NULL), STATUS_OK);
    assert_int_equal(purify_profile_set(&p, "depth.bits", "4", NULL), STATUS_OK);
    assert_int_equal(purify_profile_set(&p, "jcdp.rounds", "8", NULL), STATUS_OK);
    assert_int_equal(jcdp_of(&p)->rounds, 8);
    assert_int_equal(purify_profile_set(&p, "colour", "1", &e), STATUS_INVALID);
    assert_int_equal(purify_profile_set(&p, "jpeg.colour", "1", &e), STATUS_INVALID);
    assert_int_equal(purify_profile_set(&p, "chain", "grey, no", &e), STATUS_INVALID);
    assert_int_equal(p.n, 3);
    assert_int_equal(purify_profile_set(&p, "chain", "depth", NULL), STATUS_OK);
    assert_null(purify_profile_jcdp(&p));
    assert_int_equal(purify_profile_set(&p, "rounds", "7", &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "\"rounds\" is a key of jcdp, which is not in the chain"));
    assert_int_equal(purify_profile_finish(&p, NULL), STATUS_OK);
    assert_int_equal(purify_profile_evaluations(&p), 0);
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    assert_int_equal(purify_profile_text(&p, &b), STATUS_OK);
    assert_non_null(strstr(b.data, "[purify]\nchain = depth\n\n[depth]\nbits = 4\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),      cmocka_unit_test(test_large),
        cmocka_unit_test(test_chains),    cmocka_unit_test(test_avatar),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_ids),
        cmocka_unit_test(test_text),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests_name("purify/chain", tests, make_dir, remove_dir);
}
