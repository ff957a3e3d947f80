#include "cli.h"

#include <setjmp.h>
#include <stdarg.h>
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
    assert_string_equal(cli_bytes(0, out), "0 B");
    assert_string_equal(cli_bytes(1536, out), "1.5 KiB");
    assert_string_equal(cli_bytes(UINT64_C(5) << 40, out), "5.0 TiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_every_kind),
        cmocka_unit_test(refuses_mistakes),
        cmocka_unit_test(no_prefix_clears_a_flag),
        cmocka_unit_test(bytes_read_well),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
