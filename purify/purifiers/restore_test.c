/* restore's row: its values, its identity, and the weights that it refuses. */
#include "profile.h"
#include "test_ways.h"

#define RESTORE "[purify]\nchain = restore\n[restore]\nmodel = ./r.safetensors\n"

static void save(const char *name, int channels, float bias)
{
    char path[160];
    struct purify_restorer cfg = test_restorer_cfg(channels);
    struct nn_params *p = test_restorer_params(&cfg);
    nn_params_find(p, "conv_out.bias")->value[0] = bias;
    snprintf(path, sizeof path, "%s/%s.safetensors", dir.path, name);
    test_restorer_save(p, &cfg, path);
}

static int set_up(void **state)
{
    make_dir(state);
    save("r", 3, 0.5f);
    return 0;
}

static void is_named_by_what_it_does(void **state)
{
    (void)state;
    struct purify_profile p, again, other;
    struct purify_weights w;
    struct digest expected;
    struct errmsg e = {""};
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    char hex[DIGEST_HEX_LEN + 1], canonical[400];
    if (load_text(RESTORE "passes = 2\nstrength = 1.5\n", &p, &e))
        fail_msg("%s", e.text);
    assert_true(purify_profile_weights(&p, 0, &w));
    assert_false(purify_profile_weights(&p, 1, &w));
    assert_string_equal(w.key, "model");
    digest_hex(w.digest, hex);
    snprintf(canonical, sizeof canonical,
             "relearnfs chain 1\n[restore 1]\nmodel=%s\ngain=1\npasses=2\nstrength=1.5\n"
             "precision=f32\n",
             hex);
    assert_int_equal(
        digest_sha256(&(struct digest_part){canonical, strlen(canonical)}, 1, &expected),
        STATUS_OK);
    assert_true(digest_equal(&expected, &p.id));
    assert_int_equal(purify_profile_evaluations(&p), 2);
    assert_int_equal(purify_profile_text(&p, &text), STATUS_OK);
    assert_int_equal(load_text(text.data, &again, NULL), STATUS_OK);
    assert_true(digest_equal(&again.id, &p.id));
    save("r", 3, 0.25f); /* other weights under the same name */
    assert_int_equal(load_text(text.data, &other, NULL), STATUS_OK);
    assert_false(digest_equal(&other.id, &p.id));
    struct purify_model *m = NULL;
    assert_int_equal(purify_model_load(&p, &m, &e), STATUS_CORRUPT);
    assert_non_null(strstr(e.text, "changed after the profile was read"));
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } bad[] = {
        {"[purify]\nchain = restore\n[restore]\nmodel =\n", "models/.safetensors"},
        {"[purify]\nchain = restore\n[restore]\nmodel = ./no.safetensors\n", "no.safetensors"},
        {"[purify]\nchain = restore\n[restore]\nmodel = ./unet.safetensors\n",
         ":4: the weights are those of a ddpm-unet, not of a restorer"},
        {"[purify]\nmodel = ./r.safetensors\n",
         ":2: the weights are those of a restorer, not of a ddpm-unet"},
        {RESTORE "gain = -1\n", ":5: gain is \"-1\""},
        {RESTORE "passes = 0\n", ":5: passes is \"0\""},
        {RESTORE "strength = 256\n", ":5: strength is \"256\""},
        {RESTORE "precision = f16\n", ":5: precision is \"f16\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        profile_refused(bad[i].text, bad[i].what);
}

/* What comes before and behind it in a chain, and more than one network in it. */
static void works_in_chains(void **state)
{
    (void)state;
    struct purify_model *m = model_of("[purify]\nchain = grey, restore, depth\n"
                                      "[restore]\nmodel = ./r.safetensors\n");
    for (int channels = 1; channels <= 3; channels += 2) {
        each_way("between others", m, 16, 16, channels);
        each_way("between others", m, 45, 70, channels);
    }
    purify_model_free(m);
    m = model_of("[purify]\nchain = restore, jcdp\n[restore]\nmodel = ./r.safetensors\n"
                 "[jcdp]\nmodel = ./unet.safetensors\nt_start = 10\nrounds = 1\nsteps = 2\n");
    struct purify_engine *en = engine(m, PURIFY_MICRO_BATCH);
    assert_true(engine_groups(en, &(struct image){16, 16, 3, NULL, NULL}));
    assert_false(engine_groups(en, &(struct image){45, 20, 3, NULL, NULL}));
    purify_engine_free(en);
    each_way("before jcdp", m, 16, 16, 3);
    each_way("before jcdp", m, 45, 20, 3);
    purify_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_named_by_what_it_does),
        cmocka_unit_test(refuses),
        cmocka_unit_test(works_in_chains),
    };
    return cmocka_run_group_tests_name("purify/purifiers/restore", tests, set_up, remove_dir);
}
