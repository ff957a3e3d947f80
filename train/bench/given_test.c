#include "bench/given.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "toy.h"

static void values_are_written_in_one_way(void **state)
{
    (void)state;
    static struct given g;
    struct errmsg e = {""};
    toy_good(given_train(&g, "weight_decay", "0.10", 3, &e), &e);
    toy_good(given_train(&g, "weight-decay", ".1", 4, &e), &e);
    toy_good(given_train(&g, "flip", "off", 5, &e), &e);
    toy_good(given_train(&g, "adversarial_eps", "4.0", 6, &e), &e);
    toy_good(given_train(&g, "recipe", "adversarial", 7, &e), &e);
    json_t *j = given_json(&g);
    char *text = json_dumps(j, JSON_COMPACT);
    assert_string_equal(text, "{\"adversarial-eps\":\"4\",\"flip\":\"no\",\"recipe\":"
                              "\"adversarial\",\"weight-decay\":\"0.1\"}");
    free(text);
    json_decref(j);
    assert_true(g.item[1].flag && !g.item[0].flag);
}

static void mistakes_say_what_there_is(void **state)
{
    (void)state;
    static struct given g;
    struct errmsg e = {""};
    toy_bad(given_train(&g, "epoch", "3", 1, &e), &e, "epochs");
    toy_bad(given_train(&g, "epochs", "many", 1, &e), &e, "whole number");
    toy_bad(given_train(&g, "seed", "3", 1, &e), &e, "has no 'seed'");
    toy_bad(given_train(&g, "recipe", "magic", 1, &e), &e, "staged");
    toy_bad(given_train(&g, "augment", "magic", 1, &e), &e, "magic");
    toy_bad(given_train(&g, "cutmix-beta", "1", 1, &e), &e, "cutmix-alpha");
    toy_bad(given_protect(&g, "magic", "seed", "1", 1, &e), &e, "emn-class");
    toy_bad(given_protect(&g, "lsp", "surrogate", "resnet8", 1, &e), &e, "patch");
    toy_bad(given_protect(&g, "lsp", "quantise", "up", 1, &e), &e, "truncate");
    assert_int_equal(g.n, 0);
    for (int q = 0; q < TRAIN_QUANTISE_COUNT; q++)
        toy_good(given_protect(&g, "lsp", "quantise", train_quantise_name((enum train_quantise)q),
                               1, &e),
                 &e);
    toy_good(given_protect(&g, "emn-class", "surrogate", "resnet8", 1, &e), &e);
    toy_good(given_protect(&g, "lsp", "fraction", ".50", 1, &e), &e);
    assert_string_equal(given_value(&g, "fraction"), "0.5");
    toy_bad(given_protect(&g, "lsp", "fraction", "0", 1, &e), &e, "to 1");
    toy_good(given_protect(&g, "lsp", "classes", "cat,dog", 1, &e), &e);
}

static void pairs_are_a_limit_of_the_restorers_training(void **state)
{
    (void)state;
    static struct given g;
    struct errmsg e = {""};
    toy_good(given_tune(&g, "pairs", "500", 1, &e), &e);
    toy_good(given_tune(&g, "tune-lr", "1e-3", 1, &e), &e);
    assert_string_equal(given_value(&g, "pair-limit"), "500");
    assert_string_equal(given_value(&g, "lr"), "0.001");
    toy_bad(given_tune(&g, "pairs", "0", 1, &e), &e, "from 1");
    toy_bad(given_tune(&g, "tune-data", "x", 1, &e), &e, "it has tune-batch");
    assert_int_equal(given_tune(&g, "lr", "1", 1, &e), STATUS_NOT_FOUND);
    assert_int_equal(g.n, 2);
}

static void parameters_of_another_recipe_are_found(void **state)
{
    (void)state;
    static struct given g, over;
    struct errmsg e = {""};
    int line = 0;
    toy_good(given_train(&g, "cutmix-alpha", "1", 12, &e), &e);
    toy_bad(given_check_recipe(&g, &line, &e), &e, "the recipe is standard");
    assert_int_equal(line, 12);
    toy_good(given_train(&over, "recipe", "cutmix", 13, &e), &e);
    toy_good(given_merge(&g, &over), &e);
    toy_good(given_check_recipe(&g, &line, &e), &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_written_in_one_way),
        cmocka_unit_test(mistakes_say_what_there_is),
        cmocka_unit_test(pairs_are_a_limit_of_the_restorers_training),
        cmocka_unit_test(parameters_of_another_recipe_are_found),
    };
    return cmocka_run_group_tests_name("bench given", tests, NULL, NULL);
}
