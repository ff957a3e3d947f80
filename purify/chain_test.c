/*
 * Chains of purifiers: how they are written and named, and promise 3 for each purifier that needs
 * no weights and for chains: the bytes are those of its pixels and the profile, however the image
 * gets there.
 */
#include "profile.h"
#include "test_engines.h"

/* ---- helpers ---- */

static struct purify_model *model_of(const char *text)
{
    struct purify_profile p;
    struct purify_model *m = NULL;
    struct errmsg e = {""};
    status st = load_text(text, &p, &e);
    if (!st)
        st = purify_model_load(&p, &m, &e);
    if (st)
        fail_msg("%s: %s", text, errmsg_text(&e, st));
    return m;
}

static void make_image(int w, int h, int channels, uint64_t seed, struct image *out)
{
    struct nn_rng rng = nn_rng(seed, 3);
    assert_int_equal(image_alloc(w, h, channels, true, out), STATUS_OK);
    for (size_t k = 0; k < image_pixel_bytes(out); k++)
        out->pixels[k] = (uint8_t)nn_rng_u32(rng, k);
    for (int k = 0; k < w * h; k++)
        out->alpha[k] = (uint8_t)(k * 7);
}

static void assert_same(const char *what, const struct image *a, const struct image *b)
{
    if (!same(a, b))
        fail_msg("%s: %dx%d of %d channels differ", what, a->width, a->height, a->channels);
    assert_memory_equal(a->alpha, b->alpha, (size_t)a->width * (size_t)a->height);
}

/* ---- promise 3 ---- */

static const int shapes[][2] = {{1, 1}, {2, 1}, {1, 7}, {3, 2}, {33, 17}, {16, 16}, {150, 140}};

static void done_now(struct purify_job *job, status st, const struct errmsg *e)
{
    (void)e;
    *(status *)job->arg = st;
}

static void by_service(const struct purify_model *m, struct image *img, int n)
{
    struct purify_service *s = NULL;
    struct purify_service_options opt = {.threads = 2};
    struct purify_job job[8];
    status st[8];
    assert_true(n <= 8);
    assert_int_equal(purify_service_new(m, &opt, &s, NULL), STATUS_OK);
    for (int k = 0; k < n; k++) {
        st[k] = STATUS_INTERNAL;
        job[k] = (struct purify_job){.img = &img[k], .done = done_now, .arg = &st[k]};
        assert_int_equal(purify_submit(s, &job[k], (enum purify_priority)(k % 2)), STATUS_OK);
    }
    purify_wait_idle(s);
    purify_service_free(s);
    for (int k = 0; k < n; k++)
        assert_int_equal(st[k], STATUS_OK);
}

/* Alone and at once; turn by turn through two engines; in a group; by a service. */
static void check_shape(const char *what, const struct purify_model *m, int w, int h, int channels)
{
    enum { N = PURIFY_MICRO_BATCH };
    struct purify_engine *en[2] = {engine(m, PURIFY_MICRO_BATCH), engine(m, PURIFY_MICRO_BATCH)};
    struct image alone, turns, group[N], served[N], other;
    make_image(w, h, channels, 1, &alone);
    make_image(w, h, channels, 1, &turns);
    make_image(w, h, channels, 2, &other);
    run(en[0], &alone);
    run(en[0], &other);
    struct engine_member member = {.img = &turns}, members[N];
    int n = 1; /* as many turns as the service is told */
    while (engine_turn(en[n % 2], &member) > 0)
        n++;
    assert_int_equal(member.st, STATUS_OK);
    assert_int_equal(n, engine_slots(en[0], &alone));
    assert_same(what, &alone, &turns);
    for (int k = 0; k < N; k++) {
        make_image(w, h, channels, k == 2 ? 2 : 1, &group[k]);
        make_image(w, h, channels, k == 1 ? 2 : 1, &served[k]);
        members[k] = (struct engine_member){.img = &group[k]};
    }
    engine_run_group(en[1], members, N);
    by_service(m, served, N);
    for (int k = 0; k < N; k++) {
        assert_int_equal(members[k].st, STATUS_OK);
        assert_same(what, k == 2 ? &other : &alone, &group[k]);
        assert_same(what, k == 1 ? &other : &alone, &served[k]);
        image_done(&group[k]);
        image_done(&served[k]);
    }
    image_done(&alone);
    image_done(&turns);
    image_done(&other);
    purify_engine_free(en[0]);
    purify_engine_free(en[1]);
}

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
        make_image(20, 18, 3, 7, &img[k]);
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
        make_image(20, 10, 3, 5, &img[k]);
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
        make_image(100, 50, 3, 4, &img);
        make_image(100, 50, 3, 4, &before);
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
        struct purify_profile p;
        assert_int_equal(load_text(text, &p, NULL), STATUS_OK);
        status st = STATUS_NOMEM;
        struct image img, before;
        make_image(30, 20, 3, 4, &img);
        make_image(30, 20, 3, 4, &before);
        for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
            struct purify_model *m = NULL;
            struct purify_engine *en = NULL;
            assert_same(text, &before, &img);
            fault_set(FAULT_MEM, n, 0, 0);
            st = purify_model_load(&p, &m, NULL);
            if (!st)
                st = purify_engine_new(m, &en, NULL);
            if (!st)
                st = purify_engine_run(en, &img, NULL, NULL, NULL);
            fault_clear();
            purify_engine_free(en);
            purify_model_free(m);
            assert_true(n < 1000);
        }
        assert_int_equal(st, STATUS_OK);
        image_done(&img);
        image_done(&before);
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
        {"[purify]\nchain =\n",
         ":2: no purifier is named \"\"; there are jcdp, avatar, grey, depth"},
        {"[purify]\nchain = grey,\n", ":2: no purifier is named \"\""},
        {"[purify]\nchain = gray\n", ":2: no purifier is named \"gray\""},
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
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct purify_profile p;
        struct errmsg e = {""};
        if (load_text(bad[i].text, &p, &e) == STATUS_OK)
            fail_msg("taken: %s", bad[i].text);
        if (!strstr(e.text, bad[i].what))
            fail_msg("%s says \"%s\", not \"%s\"", bad[i].text, e.text, bad[i].what);
    }
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
