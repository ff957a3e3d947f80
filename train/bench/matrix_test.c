#include "bench/matrix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "toy.h"

static struct matrix m;

static status read_text(const char *text, const char *preset, struct errmsg *e)
{
    toy_write("m.ini", text, strlen(text));
    return matrix_read(toy_path("m.ini"), preset, &m, e);
}

#define LISTS "[bench]\nprotections = clean, lsp,\n  strong\ncountermeasures = none, grey, st\n"
#define SECTIONS                                                                                   \
    "[protection strong]\nmethod = lsp\neps = 12\n[countermeasure st]\nrecipe = staged\n"          \
    "profile = own.ini\ndilute = 30\n"

static void sections_make_members(void **state)
{
    (void)state;
    struct errmsg e = {""};
    toy_good(read_text(LISTS "seeds = 0, 7\n[train]\nepochs = 3\n" SECTIONS
                             "[preset quick]\nepochs = 1\nimages = 40\nvictims = resnet8\n",
                       "quick", &e),
             &e);
    assert_string_equal(m.name, "m");
    assert_int_equal(m.n_protections, 3);
    assert_null(m.protection[0].method);
    assert_string_equal(m.protection[1].method, "lsp");
    assert_string_equal(m.protection[2].method, "lsp");
    assert_string_equal(given_value(&m.protection[2].given, "eps"), "12");
    assert_null(m.countermeasure[0].profile);
    assert_string_equal(m.countermeasure[1].profile, "grey");
    assert_string_equal(m.countermeasure[2].profile, toy_path("own.ini"));
    assert_string_equal(given_value(&m.countermeasure[2].given, "recipe"), "staged");
    assert_string_equal(given_value(&m.train, "epochs"), "1");
    assert_int_equal(m.countermeasure[1].dilute, 0);
    assert_int_equal(m.countermeasure[2].dilute, 30);
    assert_int_equal(m.images, 40);
    assert_string_equal(m.victim[0].name, "resnet8");
    assert_int_equal(m.n_seeds, 2);
    assert_int_equal(m.seed[1], 7);
    matrix_done(&m);
}

static void a_protection_may_be_on_another(void **state)
{
    (void)state;
    struct errmsg e = {""};
    toy_good(read_text("[bench]\nprotections = mixed, ops, plain\ncountermeasures = none\n"
                       "[protection mixed]\nmethod = ops\nclasses = b\non = half\n"
                       "[protection half]\nmethod = lsp\nclasses = a\non = ar\n"
                       "[protection plain]\nmethod = ar\non = clean\n",
                       NULL, &e),
             &e);
    assert_int_equal(m.n_protections, 3);
    assert_int_equal(m.n_more_protections, 3);
    const struct matrix_member *half = m.protection[0].source;
    assert_string_equal(half->name, "half");
    assert_string_equal(half->method, "lsp");
    assert_string_equal(given_value(&half->given, "classes"), "a");
    assert_string_equal(half->source->method, "ar");
    assert_null(half->source->source);
    assert_null(m.protection[1].source);
    assert_null(m.protection[2].source->method);
    matrix_done(&m);
}

static void images_that_are_there_are_a_protection(void **state)
{
    (void)state;
    struct errmsg e = {""};
    toy_good(read_text("[bench]\nprotections = theirs, more\ncountermeasures = none\n"
                       "[protection theirs]\ntree = some where\n"
                       "[protection more]\nmethod = lsp\non = others\n"
                       "[protection others]\ntree = /else/where\n",
                       NULL, &e),
             &e);
    assert_string_equal(m.protection[0].tree, toy_path("some where"));
    assert_null(m.protection[0].method);
    assert_int_equal(m.protection[0].line, 5);
    assert_string_equal(m.protection[1].source->tree, "/else/where");
    matrix_done(&m);
}

static void a_victim_may_be_a_command(void **state)
{
    (void)state;
    struct errmsg e = {""};
    toy_good(read_text("[bench]\nprotections = clean\ncountermeasures = none\n"
                       "victims = resnet8, mine\n[victim other]\ncommand = b\n"
                       "[victim mine]\nfiles = a.py, b.py\ncommand = python3 a.py 'x y'\n",
                       NULL, &e),
             &e);
    assert_int_equal(m.n_victims, 2);
    assert_null(m.victim[0].command);
    assert_string_equal(m.victim[1].name, "mine");
    assert_string_equal(m.victim[1].command, "python3 a.py 'x y'");
    assert_string_equal(m.victim[1].files, "a.py, b.py");
    matrix_done(&m);
}

static void mistakes_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *preset, *says;
    } bad[] = {
        {"[bench]\nprotection = lsp\n", NULL, "m.ini:2: [bench] has no 'protection'; it has data"},
        {"[bemch]\nx = 1\n", NULL, "m.ini:2: there is no section [bemch]; there are [bench]"},
        {"[bench]\nimages = 3\n", NULL, "must list protections"},
        {LISTS "[train]\nepoch = 3\n", NULL, "m.ini:6: training has no 'epoch'"},
        {LISTS "images = many\n", NULL, "m.ini:5: images must be a whole number"},
        {LISTS "victims = lenet\n", NULL, "m.ini:5: no network is called \"lenet\"; there are"},
        {LISTS SECTIONS "[victim mine]\nfiles = a\n", NULL, "m.ini:13: victim mine has no command"},
        {LISTS SECTIONS "[victim mine]\ncommand =\n", NULL, "m.ini:13: command: it is empty"},
        {LISTS SECTIONS "[victim mine]\ncommand = a\nlr = 1\n", NULL,
         "m.ini:14: a victim has no 'lr'; it has command, files"},
        {LISTS SECTIONS "[victim resnet8]\ncommand = a\n", NULL,
         "m.ini:13: resnet8 is a network of relearn train"},
        {LISTS "victims = mine\n" SECTIONS "[victim mine]\ncommand = a\n", NULL,
         "m.ini:10: recipe is an option of relearn train, and victim mine is a command"},
        {LISTS "victims = mine\nsize = 8\n" SECTIONS "[victim mine]\ncommand = a\n", NULL,
         "m.ini:15: victim mine is a command, which gets the images as they are"},
        {LISTS "seeds = one\n", NULL, "m.ini:5: 'one' is no seed"},
        {LISTS "seeds = 1\nseeds = 2\n", NULL, "m.ini:6: seeds is given twice"},
        {LISTS "images = 1\n  2\n", NULL, "m.ini:6: images is given twice"},
        {LISTS "[protection strong]\nmethod = lsp\nrounds = 2\n", NULL, "m.ini:7: lsp has no"},
        {LISTS, NULL, "m.ini:2: no protection is called \"strong\""},
        {LISTS SECTIONS "[protection unused]\nmethod = magic\n", NULL, "no protection is called"},
        {LISTS SECTIONS "[protection unused]\nmethod = lsp\nx = 1\n", NULL, "m.ini:14: lsp has no"},
        {LISTS SECTIONS "[protection theirs]\ntree = a\neps = 4\n", NULL,
         "m.ini:14: images that are there (tree) take no 'eps'"},
        {LISTS SECTIONS "[protection theirs]\ntree = a\non = lsp\n", NULL, "take no 'on'"},
        {LISTS SECTIONS "[protection theirs]\nmethod = lsp\ntree = a\n", NULL, "take no 'method'"},
        {LISTS SECTIONS "[countermeasure none]\nrecipe = staged\n", NULL, "m.ini:13: none is what"},
        {LISTS SECTIONS "[countermeasure unused]\nprofile = a\ntune-lr = 1\n", NULL,
         "m.ini:14: tune-lr without pairs"},
        {LISTS SECTIONS "[countermeasure unused]\npairs = 9\n", NULL, "without a profile"},
        {LISTS SECTIONS "[countermeasure unused]\ndilute = 0\n", NULL,
         "m.ini:13: dilute is \"0\", not a whole"},
        {LISTS SECTIONS "[protection unused]\nmethod = lsp\ndilute = 9\n", NULL, "lsp has no"},
        {LISTS SECTIONS "[protection unused]\nmethod = lsp\non = magic\n", NULL,
         "m.ini:14: no protection is called \"magic\""},
        {LISTS SECTIONS
         "[protection lsp]\non = other\n[protection other]\nmethod = ops\non = lsp\n",
         NULL, "m.ini:13: lsp is made on other, and that in the end on itself"},
        {LISTS SECTIONS "[countermeasure unused]\non = lsp\n", NULL, "training has no 'on'"},
        {LISTS SECTIONS "[preset a]\nepochs = x\n", NULL, "m.ini:13: epochs"},
        {LISTS SECTIONS "[preset a]\nepochs = 1\n", "b", "has no preset 'b'; it has a"},
        {"[bench]\nprotections = clean, clean\ncountermeasures = none\n", NULL, "listed twice"},
        {"[bench]\nprotections = clean lsp\ncountermeasures = none\n", NULL, "is no name"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct errmsg e = {""};
        assert_int_equal(toy_bad(read_text(bad[i].text, bad[i].preset, &e), &e, bad[i].says),
                         STATUS_INVALID);
        matrix_done(&m);
    }
}

static void without_memory_nothing_is_left(void **state)
{
    (void)state;
    for (unsigned long n = 1;; n++) {
        struct errmsg e = {""};
        static const char text[] =
            LISTS SECTIONS "[protection lsp]\non = strong\n[victim mine]\ncommand = a\nfiles = b\n";
        toy_write("m.ini", text, strlen(text));
        fault_set(FAULT_MEM, n, 0, 0);
        status st = matrix_read(toy_path("m.ini"), NULL, &m, &e);
        fault_clear();
        matrix_done(&m);
        if (!st)
            return;
        assert_int_equal(st, STATUS_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_make_members),
        cmocka_unit_test(a_protection_may_be_on_another),
        cmocka_unit_test(images_that_are_there_are_a_protection),
        cmocka_unit_test(a_victim_may_be_a_command),
        cmocka_unit_test(mistakes_name_their_line),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests_name("bench matrix", tests, toy_setup, toy_teardown);
}
