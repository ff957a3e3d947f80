#include "cli.h"
#include "params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const fruit[] = {"apple", "pear", "plum"};

static int parse(int *flag, int *number, uint64_t *size, double *real, const char **text,
                 struct cli_list *list, struct cli_choice *choice, const char *line, int *out_first)
{
    static char words[256];
    static char *argv[20];
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    char *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    const struct cli_option options[] = {
        {"flag", 'f', CLI_FLAG, flag, NULL, "a flag"},
        {"number", 'n', CLI_INT, number, "N", "a number"},
        {"size", 0, CLI_SIZE, size, "SIZE", "a size"},
        {"real", 0, CLI_DOUBLE, real, "X", "a real"},
        {"text", 't', CLI_STRING, text, "TEXT", "a text"},
        {"list", 'l', CLI_LIST, list, "ITEM", "items"},
        {"choice", 'c', CLI_CHOICE, choice, "apple|pear|plum", "a choice"},
    };
    const struct cli_spec spec = {"relearn test",     "[OPTION]", "A test.", options,
                                  ARRAY_LEN(options), 0,          2};
    return cli_parse(&spec, argc, argv, out_first);
}

static void parses_every_kind(void **state)
{
    (void)state;
    int flag = 0, number = 7, first = 0;
    uint64_t size = 0;
    double real = 0;
    const char *text = "none";
    struct cli_list list = {{0}, 0};
    struct cli_choice choice = {fruit, 3, 0};
    int rc =
        parse(&flag, &number, &size, &real, &text, &list, &choice,
              "test -f --number -3 --size 2M a --real=0.5 -t hello -l x -l y -c plum b", &first);
    assert_int_equal(rc, CLI_GO);
    assert_int_equal(flag, 1);
    assert_int_equal(number, -3);
    assert_int_equal(size, 2 << 20);
    assert_true(real == 0.5);
    assert_string_equal(text, "hello");
    assert_int_equal(list.n, 2);
    assert_string_equal(list.item[1], "y");
    assert_int_equal(choice.chosen, 2);
    assert_int_equal(first, 15);
}

static void refuses_mistakes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "test --number x",   "test --number 99999999999",
        "test --size 5Q",    "test --size -1",
        "test --real nan",   "test --unknown",
        "test --number",     "test a b c",
        "test --choice fig",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int flag = 0, number = 7, first = -5;
        uint64_t size = 3;
        double real = 0;
        const char *text = NULL;
        struct cli_list list = {{0}, 0};
        struct cli_choice choice = {fruit, 3, 1};
        assert_int_equal(parse(&flag, &number, &size, &real, &text, &list, &choice, bad[i], &first),
                         2);
        assert_int_equal(choice.chosen, 1);
        assert_int_equal(first, -5);
    }
}

static void no_prefix_clears_a_flag(void **state)
{
    (void)state;
    int flag = 1, number = 0, first;
    uint64_t size;
    double real;
    const char *text;
    struct cli_list list = {{0}, 0};
    struct cli_choice choice = {fruit, 3, 1};
    assert_int_equal(
        parse(&flag, &number, &size, &real, &text, &list, &choice, "test --no-flag", &first),
        CLI_GO);
    assert_int_equal(choice.chosen, 1);
    assert_int_equal(flag, 0);
}

static void bytes_read_well(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(text_bytes(0, out), "0 B");
    assert_string_equal(text_bytes(1536, out), "1.5 KiB");
    assert_string_equal(text_bytes(UINT64_C(5) << 40, out), "5.0 TiB");
}

static char where[64];

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static int next;
    char *at = path[next++ % 4];
    snprintf(at, sizeof path[0], "%s/%s", where, name);
    return at;
}

static int make_files(void **state)
{
    (void)state;
    snprintf(where, sizeof where, "/tmp/cli-XXXXXX");
    if (!mkdtemp(where) || io_mkdirs(in_dir("empty"), 0, NULL) ||
        io_mkdirs(in_dir("full/sub"), 0, NULL))
        return -1;
    return io_write_file(in_dir("file"), "x", 1, NULL) ? -1 : 0;
}

static int remove_files(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", where);
    return system(command);
}

static void output_is_not_overwritten(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum cli_output kind;
        status plain, forced;
    } want[] = {
        {"new", CLI_OUTPUT_FILE, STATUS_OK, STATUS_OK},
        {"file", CLI_OUTPUT_FILE, STATUS_EXISTS, STATUS_OK},
        {"empty", CLI_OUTPUT_FILE, STATUS_EXISTS, STATUS_EXISTS},
        {"absent/new", CLI_OUTPUT_FILE, STATUS_NOT_FOUND, STATUS_NOT_FOUND},
        {"new", CLI_OUTPUT_DIR, STATUS_OK, STATUS_OK},
        {"absent/new", CLI_OUTPUT_DIR, STATUS_OK, STATUS_OK},
        {"empty", CLI_OUTPUT_DIR, STATUS_OK, STATUS_OK},
        {"empty/", CLI_OUTPUT_DIR, STATUS_OK, STATUS_OK},
        {"full", CLI_OUTPUT_DIR, STATUS_EXISTS, STATUS_OK},
        {"file", CLI_OUTPUT_DIR, STATUS_EXISTS, STATUS_EXISTS},
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        for (int force = 0; force < 2; force++) {
            struct errmsg e = {""};
            status st = cli_output_check(in_dir(want[i].name), want[i].kind, force, &e);
            if (st != (force ? want[i].forced : want[i].plain))
                fail_msg("%s, force %d: %s", want[i].name, force, errmsg_text(&e, st));
            bool would_help = !st ? false : !force && !want[i].forced;
            assert_int_equal(strstr(e.text, "--force") != NULL, would_help);
        }
    assert_int_not_equal(access(in_dir("new"), F_OK), 0);
    assert_int_not_equal(access(in_dir("absent"), F_OK), 0);
    assert_int_equal(cli_output_check("/dev/null", CLI_OUTPUT_FILE, 0, NULL), STATUS_OK);
}

static int ran;

static int run_one(int argc, char **argv)
{
    (void)argv;
    ran++;
    return argc;
}

/* What dispatching one word says to stderr. */
static int dispatch(const char *word, char said[512])
{
    static const struct cli_command table[] = {{"train", run_one, "x"}, {"status", run_one, "y"}};
    char name[] = "relearn", arg[32], *argv[] = {name, arg, NULL};
    snprintf(arg, sizeof arg, "%s", word);
    fflush(stderr);
    int kept = dup(2);
    assert_non_null(freopen(in_dir("said"), "w", stderr));
    int rc = cli_dispatch("relearn", "A test.", table, ARRAY_LEN(table), 2, argv);
    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    AUTO(mem_free) void *data = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file(in_dir("said"), 511, &data, &len, NULL), STATUS_OK);
    memcpy(said, data, len + 1);
    return rc;
}

static void an_unknown_command_is_answered_with_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *word, *meant;
    } near[] = {{"tarin", "train"}, {"trian", "train"}, {"stat", "status"}, {"statu", "status"}};
    char said[512];
    for (size_t i = 0; i < ARRAY_LEN(near); i++) {
        char want[64];
        snprintf(want, sizeof want, "did you mean 'relearn %s'?", near[i].meant);
        assert_int_equal(dispatch(near[i].word, said), 2);
        if (!strstr(said, want))
            fail_msg("%s: %s", near[i].word, said);
    }
    assert_int_equal(dispatch("frobnicate", said), 2);
    assert_null(strstr(said, "did you mean"));
    assert_int_equal(dispatch("x", said), 2);
    assert_null(strstr(said, "did you mean"));
    assert_int_equal(ran, 0);
    assert_int_equal(dispatch("train", said), 1);
    assert_int_equal(ran, 1);
}

static void parameters_of_members_are_options(void **state)
{
    (void)state;
    static const struct param lsp[] = {
        {"block_side", PARAM_INT, 0, .lo = 1, .hi = 64, .standard = "8", .about = "of a block"},
        {"eps", PARAM_INT, 0, .lo = 0, .hi = 255, .standard = "6", .about = "strength"},
    };
    static const struct param emn[] = {
        {"eps", PARAM_INT, 0, .lo = 0, .hi = 255, .standard = "8", .about = "strength"},
    };
    const struct param_table tables[] = {{lsp, 2, 4}, {emn, 1, 4}};
    struct cli_params p = {0};
    cli_params_add(&p, "lsp", &tables[0], "");
    cli_params_add(&p, "emn", &tables[1], "");
    cli_params_add(&p, "aue", &tables[1], "");
    cli_params_add(&p, "tap", &tables[0], "");
    assert_int_equal(p.n, 2);
    assert_string_equal(p.row[0].help, "lsp, tap: of a block, 1 to 64; default 8");
    assert_string_equal(p.row[1].help, "lsp, tap: strength, 0 to 255; default 6\n"
                                       "emn, aue: strength, 0 to 255; default 8");
    int flag = 0, first;
    const struct cli_option own[] = {{"flag", 'f', CLI_FLAG, &flag, NULL, "a flag"}};
    struct cli_option all[ARRAY_LEN(own) + CLI_PARAMS_MAX];
    size_t n = cli_options_join(own, ARRAY_LEN(own), &p, all, ARRAY_LEN(all));
    const struct cli_spec spec = {"relearn test", "", "A test.", all, n, 0, 0};
    char w0[] = "test", w1[] = "-f", w2[] = "--block-side", w3[] = "16";
    char *argv[] = {w0, w1, w2, w3, NULL};
    assert_int_equal(cli_parse(&spec, 4, argv, &first), CLI_GO);
    struct param_arg given[CLI_PARAMS_MAX];
    assert_int_equal(cli_params_given(&p, given), 1);
    assert_string_equal(given[0].key, "block_side");
    assert_string_equal(given[0].value, "16");
    assert_int_equal(cli_params_check(&spec, &p, "lsp", &tables[0], ""), CLI_GO);
    assert_int_equal(cli_params_check(&spec, &p, "emn", &tables[1], ""), 2); /* has no such key */
    p.row[0].value = "65";
    assert_int_equal(cli_params_check(&spec, &p, "lsp", &tables[0], ""), 2);
}

/* Members that have keys of one name, with a prefix each. */
static void another_members_options_are_refused(void **state)
{
    (void)state;
    static const struct param rows[] = {
        {"alpha", PARAM_DOUBLE, 0, .lo = 0, .hi = 2, .standard = "1", .about = "share"},
    };
    const struct param_table table = {rows, 1, 8}, none = PARAM_NONE;
    struct cli_params p = {0};
    cli_params_add(&p, "mixup", &table, "mixup-");
    cli_params_add(&p, "cutmix", &table, "cutmix-");
    assert_int_equal(p.n, 2);
    const struct cli_spec spec = {"relearn test", "", "A test.", NULL, 0, 0, 0};
    assert_int_equal(cli_params_check(&spec, &p, "standard", &none, "standard-"), CLI_GO);
    p.row[0].value = "0.5";
    assert_int_equal(cli_params_check(&spec, &p, "mixup", &table, "mixup-"), CLI_GO);
    assert_int_equal(cli_params_check(&spec, &p, "cutmix", &table, "cutmix-"), 2);
    assert_int_equal(cli_params_check(&spec, &p, "standard", &none, "standard-"), 2);
}

static void a_stopped_command_ends_with_130(void **state)
{
    (void)state;
    assert_int_equal(status_exit(STATUS_CANCELLED), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_every_kind),
        cmocka_unit_test(refuses_mistakes),
        cmocka_unit_test(no_prefix_clears_a_flag),
        cmocka_unit_test(bytes_read_well),
        cmocka_unit_test(output_is_not_overwritten),
        cmocka_unit_test(an_unknown_command_is_answered_with_the_nearest),
        cmocka_unit_test(parameters_of_members_are_options),
        cmocka_unit_test(another_members_options_are_refused),
        cmocka_unit_test(a_stopped_command_ends_with_130),
    };
    return cmocka_run_group_tests_name("cli", tests, make_files, remove_files);
}
