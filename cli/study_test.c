/* Figures of profiles, from tables as `relearn bench` prints them. */
#include "study.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "run_cmd.h"

static int set_up(void **state)
{
    char path[128];
    (void)state;
    if (run_set_up())
        return -1;
    snprintf(path, sizeof path, "%s/profiles", run_dir);
    return io_mkdirs(path, 0, NULL) ? -1 : 0;
}

static status open_text(const char *text, struct study **out, struct errmsg *e)
{
    char path[128];
    snprintf(path, sizeof path, "%s/profiles/study.json", run_dir);
    assert_int_equal(io_write_file(path, text, strlen(text), NULL), STATUS_OK);
    return study_open(out, e);
}

#define ROW(protection, countermeasure, victim, profile, last, psnr)                               \
    "{\"protection\":\"" protection "\",\"countermeasure\":\"" countermeasure                      \
    "\",\"victim\":\"" victim "\",\"profile\":" profile ",\"last\":" last ",\"psnr\":" psnr "}"

static void near(double v, double expected)
{
    if (!(fabs(v - expected) < 1e-12) && !(isnan(v) && isnan(expected)))
        fail_msg("%.12g, not %.12g", v, expected);
}

static void figure(const struct study *s, const char *id, int protection, double of_clean,
                   double psnr)
{
    struct study_figure f = study_figure(s, id, protection);
    near(f.of_clean, of_clean);
    near(f.psnr_db, psnr);
}

static void accuracy_is_a_part_of_that_on_clean_images(void **state)
{
    (void)state;
    AUTO(study_free) struct study *s = NULL;
    struct errmsg e = {""};
    assert_int_equal(
        open_text(
            "{\"cells\":[],\"means\":[" ROW("clean", "none", "small", "null", "0.8", "null") "," ROW(
                "clean", "none", "large", "null", "0.9",
                "null") "," ROW("clean", "mine", "small", "\"aa\"", "0.6",
                                "27") "," ROW("lsp", "none", "small", "null", "0.2",
                                              "32") "," ROW("lsp", "mine", "small", "\"aa\"", "0.4",
                                                            "26") "," ROW("lsp", "mine", "large",
                                                                          "\"aa\"", "0.9",
                                                                          "28") "," ROW("lsp",
                                                                                        "other",
                                                                                        "large",
                                                                                        "\"bb\"",
                                                                                        "null",
                                                                                        "30") "," ROW("lsp",
                                                                                                      "other",
                                                                                                      "unknown",
                                                                                                      "\"bb\"",
                                                                                                      "0.5",
                                                                                                      "null") "]}",
            &s, &e),
        STATUS_OK);
    assert_int_equal(study_protections(s), 2);
    assert_string_equal(study_protection(s, 0), "clean");
    assert_string_equal(study_protection(s, 1), "lsp");
    figure(s, "aa", 0, .75, 27);
    figure(s, "aa", 1, (.5 + 1) / 2, 27); /* the mean over both victims */
    figure(s, "bb", 0, NAN, NAN);
    figure(s, "bb", 1, NAN, 30); /* not trained yet, and of no known clean accuracy */
    figure(s, "cc", 1, NAN, NAN);
}

static void there_may_be_none(void **state)
{
    (void)state;
    char path[128];
    struct study *s = NULL;
    struct errmsg e = {""};
    snprintf(path, sizeof path, "%s/profiles/study.json", run_dir);
    (void)unlink(path);
    assert_int_equal(study_open(&s, &e), STATUS_NOT_FOUND);
    static const char *const bad[] = {"", "{", "[]", "{}", "{\"means\":1}", "nothing"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(open_text(bad[i], &s, &e), STATUS_CORRUPT);
        assert_non_null(strstr(e.text, "study.json"));
    }
    assert_null(s);
    /* Rows that are none say nothing. */
    assert_int_equal(open_text("{\"means\":[1, {}, {\"profile\":2, \"protection\":[]}]}", &s, &e),
                     STATUS_OK);
    assert_int_equal(study_protections(s), 0);
    study_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy_is_a_part_of_that_on_clean_images),
        cmocka_unit_test(there_may_be_none),
    };
    return cmocka_run_group_tests_name("cli/study", tests, set_up, run_tear_down);
}
