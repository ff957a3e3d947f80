/* denoise's row: its values, and its identity. */
#include "profile.h"
#include "test_ways.h"

#define DENOISE "[purify]\nchain = denoise\n[denoise]\nmodel = ./r.safetensors\n"

static int set_up(void **state)
{
    char path[160];
    struct purify_restorer cfg = test_restorer_cfg(3);
    make_dir(state);
    snprintf(path, sizeof path, "%s/r.safetensors", dir.path);
    test_restorer_save(test_restorer_params(&cfg), &cfg, path);
    return 0;
}

static void is_named_by_what_it_does(void **state)
{
    (void)state;
    struct purify_profile p;
    struct purify_weights w;
    struct digest expected;
    struct errmsg e = {""};
    char hex[DIGEST_HEX_LEN + 1], canonical[400];
    if (load_text(DENOISE "noise = 12.5\npasses = 2\n", &p, &e))
        fail_msg("%s", e.text);
    assert_true(purify_profile_weights(&p, 0, &w));
    digest_hex(w.digest, hex);
    snprintf(canonical, sizeof canonical,
             "relearnfs chain 1\n[denoise 1]\nmodel=%s\nnoise=12.5\npasses=2\nprecision=f32\n",
             hex);
    assert_int_equal(
        digest_sha256(&(struct digest_part){canonical, strlen(canonical)}, 1, &expected),
        STATUS_OK);
    assert_true(digest_equal(&expected, &p.id));
    assert_int_equal(purify_profile_evaluations(&p), 2);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } bad[] = {
        {DENOISE "noise = -1\n", ":5: noise is \"-1\""},
        {DENOISE "noise = 256\n", ":5: noise is \"256\""},
        {DENOISE "gain = 2\n", "\"gain\""}, /* restore's */
        {"[purify]\nchain = denoise\n[denoise]\nmodel = ./no.safetensors\n", "no.safetensors"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        profile_refused(bad[i].text, bad[i].what);
}

/* Behind a restorer of the same weights, and before another purifier. */
static void works_in_chains(void **state)
{
    (void)state;
    struct purify_model *m = model_of("[purify]\nchain = restore, denoise, depth\n"
                                      "[restore]\nmodel = ./r.safetensors\n"
                                      "[denoise]\nmodel = ./r.safetensors\n");
    for (int channels = 1; channels <= 3; channels += 2) {
        each_way("in a chain", m, 16, 16, channels);
        each_way("in a chain", m, 45, 70, channels);
    }
    purify_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_named_by_what_it_does),
        cmocka_unit_test(refuses),
        cmocka_unit_test(works_in_chains),
    };
    return cmocka_run_group_tests_name("purify/purifiers/denoise", tests, set_up, remove_dir);
}
