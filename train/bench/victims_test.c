/* Victims that a command trains: what it is told, what it says, and what its cells are known by. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench/fixture.h"

static const struct train_bench_options plain;

/* Notes what it is told, and prints what `says` has. */
static const char script[] = "#!/bin/bash\n"
                             "{ pwd; printf '%s\\n' \"$@\"; } >told\n"
                             "[ ! -e left ] || cp left \"$6/left\"\n"
                             "[ -e \"$6/left\" ] && echo found >>told\n"
                             ". ./says\n";

static void says(const char *text)
{
    toy_write("says", text, strlen(text));
}

#define HEAD                                                                                       \
    "[bench]\ndata = data\ntest = test\nprotections = clean\ncountermeasures = none\n"             \
    "victims = mine\nseeds = 3\n"
static void write_matrix(const char *text)
{
    toy_write("v.ini", text, strlen(text));
}

static int set_up(void **state)
{
    if (fixture_setup(state))
        return -1;
    toy_write("victim.sh", script, sizeof script - 1);
    toy_write("part", "one", 3);
    write_matrix(HEAD "[victim mine]\ncommand = bash victim.sh\n");
    return 0;
}

/* What the script noted last, for mem_free. */
static char *told(void)
{
    size_t len;
    return toy_read(toy_path("told"), &len);
}

static struct train_bench_result run(const char *out, struct train_bench_cell *c)
{
    AUTO(train_bench_free) struct train_bench *b = fixture_open("v.ini", out, plain);
    struct train_bench_result r = {.done = 0};
    struct errmsg e = {""};
    toy_good(train_bench_run(b, &r, &e), &e);
    toy_good(train_bench_cell(b, 0, c, &e), &e);
    return r;
}

static void a_command_is_told_where_everything_is(void **state)
{
    (void)state;
    struct train_bench_cell c;
    says("echo 'epoch 1'; echo; echo '{\"test_accuracy\": 0.25, \"train_accuracy\": 1}'; echo\n");
    struct train_bench_result r = run("told.out", &c);
    if (r.done != 1)
        fail_msg("%s", r.first_why);
    assert_true(c.figure[TRAIN_BENCH_LAST] == 0.25);
    assert_true(c.figure[TRAIN_BENCH_TRAIN] == 1);
    assert_true(isnan(c.figure[TRAIN_BENCH_BEST]));
    assert_true(c.seconds >= 0);
    AUTO(mem_free) char *noted = told();
    char want[1000];
    snprintf(want, sizeof want, "%s\n--data\n%s/told.out/trees/", toy_root, toy_root);
    assert_memory_equal(noted, want, strlen(want));
    snprintf(want, sizeof want,
             "\n--test\n%s/test\n--out\n%s/told.out/runs/%s\n--seed\n3\n--threads\n1\n", toy_root,
             toy_root, c.id);
    assert_non_null(strstr(noted, want));
    snprintf(want, sizeof want, "told.out/runs/%s", c.id);
    assert_false(toy_there(want));
}

/* Whatever goes wrong is the cell's failure, in words. */
static void what_it_does_not_say_fails_the_cell(void **state)
{
    (void)state;
    static const struct {
        const char *does, *why;
    } bad[] = {
        {"echo '{\"test_accuracy\": 0.25}'; echo done\n",
         "the command printed no {\"test_accuracy\""},
        {"echo '{\"test_accuracy\": 25}'\n", "a test accuracy of 25, not of 0 to 1"},
        {"echo '{\"test_accuracy\": null}'\n", "printed no"},
        {":\n", "printed no"},
        {"echo 'no such module' >&2; exit 3\n", "no such module"},
        {"exit 3\n", "the command ended with status 3 and said nothing"},
        {"kill -9 $$\n", "the command was ended by signal 9"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct train_bench_cell c;
        says(bad[i].does);
        struct train_bench_result r = run("bad.out", &c);
        assert_int_equal(r.failed, 1);
        assert_int_equal(c.state, TRAIN_BENCH_FAILED);
        if (!strstr(c.why, bad[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].does, c.why, bad[i].why);
    }
}

/* What it left in its folder before it failed is there the next time. */
static void a_run_finds_what_it_left(void **state)
{
    (void)state;
    struct train_bench_cell c;
    toy_write("left", "", 0);
    says("exit 1\n");
    assert_int_equal(run("left.out", &c).failed, 1);
    assert_int_equal(unlink(toy_path("left")), 0);
    says("echo '{\"test_accuracy\": 0.5}'\n");
    assert_int_equal(run("left.out", &c).done, 1);
    AUTO(mem_free) char *noted = told();
    assert_non_null(strstr(noted, "\nfound\n"));
    assert_true(isnan(c.seconds)); /* of both together: not known */
}

static void id_of(const char *text, char out[DIGEST_HEX_LEN + 1])
{
    write_matrix(text);
    AUTO(train_bench_free) struct train_bench *b = fixture_open("v.ini", "ids", plain);
    memcpy(out, b->cell[0].id, DIGEST_HEX_LEN + 1);
}

static void a_cell_is_known_by_text_and_files(void **state)
{
    (void)state;
    char first[DIGEST_HEX_LEN + 1], now[DIGEST_HEX_LEN + 1];
    static const char text[] = HEAD "[victim mine]\ncommand = bash victim.sh\nfiles = part\n";
    id_of(text, first);
    id_of(HEAD "[victim mine]\nfiles =  part , \ncommand = bash victim.sh\n[train]\nlr = 1\n", now);
    assert_string_equal(now, first); /* options of relearn train do not concern it */
    id_of(HEAD "[victim mine]\ncommand = bash victim.sh\n", now);
    assert_string_not_equal(now, first);
    id_of(HEAD "[victim mine]\ncommand = bash victim.sh -v\nfiles = part\n", now);
    assert_string_not_equal(now, first);
    toy_write("part", "two", 3);
    id_of(text, now);
    assert_string_not_equal(now, first);
    struct train_bench *b = NULL;
    struct errmsg e = {""};
    write_matrix(HEAD "[victim mine]\ncommand = bash victim.sh\nfiles = part, gone\n");
    const struct train_bench_options o = {.matrix = toy_path("v.ini"), .program = "/bin/true"};
    toy_bad(train_bench_open(&o, &b, &e), &e, "v.ini:9: cannot read ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_told_where_everything_is),
        cmocka_unit_test(what_it_does_not_say_fails_the_cell),
        cmocka_unit_test(a_run_finds_what_it_left),
        cmocka_unit_test(a_cell_is_known_by_text_and_files),
    };
    return cmocka_run_group_tests_name("bench victims", tests, set_up, toy_teardown);
}
