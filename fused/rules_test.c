/* Which path a list of globs is about. */
#include "testing.h"

#include "base/banned.h"

static void check(const char *include, const char *exclude, const char *path, enum fused_rule want)
{
    struct fused_rules r = {NULL, 0};
    struct errmsg e = {""};
    if (exclude)
        assert_ok(fused_rules_add(&r, false, exclude, &e));
    if (include)
        assert_ok(fused_rules_add(&r, true, include, &e));
    enum fused_rule got = fused_rules_match(&r, path);
    if (got != want)
        fail_msg("include %s, exclude %s: %s is %d, not %d", include ? include : "-",
                 exclude ? exclude : "-", path, (int)got, (int)want);
    fused_rules_done(&r);
}

static void globs_match_components_or_paths(void **state)
{
    (void)state;
    const struct {
        const char *exclude, *path;
        bool want;
    } cases[] = {
        {"masks", "masks", true},
        {"masks", "a/masks/1.png", true},
        {"masks", "a/masks", true},
        {"masks", "a/masks2/1.png", false},
        {"masks/", "a/masks/1.png", true},
        {"*.png", "a/b/1.png", true},
        {"*.png", "a/b/1.jpg", false},
        {"*.png", "x.png/1.jpg", true},
        {".*", "a/.hidden/x", true},
        {"a/masks", "a/masks/b/1.png", true},
        {"a/masks", "b/a/masks/1.png", false},
        {"a/masks", "a/masks", true},
        {"a/masks", "a/masks2", false},
        {"*/masks", "train/masks/1.png", true},
        {"*/masks", "masks/1.png", false},
        {"*/1.png", "a/b/1.png", false},
        {"/masks", "masks/1.png", true},
        {"/masks", "a/masks/1.png", false},
        {"m?sk[st]", "a/mask\xff", false},
        {"m?sk*", "a/mask\xff", true},
        {"*\xff", "a/mask\xff", true},
        {"x:y:masks", "a/masks/1", true},
        {"x\\:y", "a/x:y", true},
        {"x\\:y", "a/y", false},
        {"[[:digit:]]*:b", "7.png", true},
        {"[[:digit:]]*:b", "b", true},
        {"[:a", "[", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(NULL, cases[i].exclude, cases[i].path,
              cases[i].want ? FUSED_RULE_EXCLUDE : FUSED_RULE_NONE);
}

static void include_wins(void **state)
{
    (void)state;
    check("keep", "*", "a/keep/1.png", FUSED_RULE_INCLUDE);
    check("keep", "*", "a/other/1.png", FUSED_RULE_EXCLUDE);
    check("keep", NULL, "a/other/1.png", FUSED_RULE_NONE);
    check("a/keep/1.png", "keep:a:1.png", "a/keep/1.png", FUSED_RULE_INSIST);
    /* A folder is let in with what is usual there; a file that is named itself is meant. */
    check("a/keep", "*", "a/keep/1.png", FUSED_RULE_INCLUDE);
    check("a/keep/*", "*", "a/keep/1.png", FUSED_RULE_INSIST);
    check("keep:*.png", "*", "a/keep/1.png", FUSED_RULE_INSIST);
    check("*.png", NULL, "a.png/1.jpg", FUSED_RULE_INCLUDE);
    check("/keep", NULL, "keep", FUSED_RULE_INSIST);
    assert_int_equal(fused_rules_match(NULL, "x"), FUSED_RULE_NONE);
}

static void empty_patterns_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", ":", "a:", ":a", "a::b", "/", "a:/"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct fused_rules r = {NULL, 0};
        struct errmsg e = {""};
        assert_int_equal(fused_rules_add(&r, i % 2, wrong[i], &e), STATUS_INVALID);
        assert_non_null(strstr(e.text, "empty"));
        fused_rules_done(&r);
        assert_int_equal(r.n, 0);
    }
}

static void no_memory(void **state)
{
    (void)state;
    status st = STATUS_NOMEM;
    for (unsigned long n = 1; st == STATUS_NOMEM; n++) {
        struct fused_rules r = {NULL, 0};
        fault_set(FAULT_MEM, n, 0, 0);
        st = fused_rules_add(&r, true, "a:b:c", NULL);
        fault_clear();
        if (!st)
            assert_int_equal(r.n, 3);
        fused_rules_done(&r);
        assert_true(n < 20);
    }
    assert_int_equal(st, STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_components_or_paths),
        cmocka_unit_test(include_wins),
        cmocka_unit_test(empty_patterns_are_refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
