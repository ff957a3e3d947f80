#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

static int make_set(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("train", 3, 16, 12, 3, 1);
    return 0;
}

static struct train_options options(const char *out, const struct param_arg *arg, int n)
{
    struct train_options o = train_options_default();
    o.data_dir = toy_path("train");
    o.out_dir = toy_path(out);
    o.arch = "resnet8s2";
    o.recipe = "ueraser";
    o.recipe_arg = arg;
    o.n_recipe_args = n;
    o.epochs = 2;
    o.batch = 16;
    o.threads = 1;
    o.quiet = true;
    return o;
}

static struct train_result run(const char *out, const struct param_arg *arg, int n)
{
    struct train_options o = options(out, arg, n);
    struct train_result r;
    struct errmsg e = {""};
    toy_good(train_run(&o, &r, &e), &e);
    return r;
}

/* Judging one view changes nothing, running statistics included; of many the loss is greater. */
static void the_worst_view_is_learned(void **state)
{
    (void)state;
    static const struct param_arg one[] = {{"draws", "1"}}, never[] = {{"until", "0"}},
                                  many[] = {{"draws", "12"}};
    struct train_result a = run("one", one, 1), b = run("never", never, 1),
                        c = run("many", many, 1);
    toy_assert_same_file(toy_path("one/weights.safetensors"),
                         toy_path("never/weights.safetensors"));
    assert_true(a.train_loss == b.train_loss);
    if (!(c.train_loss > 1.1 * a.train_loss))
        fail_msg("loss %g of the worst of 12, %g of one", c.train_loss, a.train_loss);
}

static void views_are_checked_before_anything_is_written(void **state)
{
    (void)state;
    static const struct param_arg moves[] = {{"augment", "grey,flip"}}, none[] = {{"augment", ""}},
                                  unknown[] = {{"augment", "polish"}};
    static const struct {
        const struct param_arg *arg;
        const char *says;
    } wrong[] = {{moves, "work on pixels"}, {none, "work on pixels"}, {unknown, "polish"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct train_options o = options("wrong", wrong[i].arg, 1);
        struct train_result r;
        struct errmsg e = {""};
        toy_bad(train_run(&o, &r, &e), &e, wrong[i].says);
        assert_false(toy_there("wrong"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worst_view_is_learned),
        cmocka_unit_test(views_are_checked_before_anything_is_written),
    };
    return cmocka_run_group_tests_name("ueraser", tests, make_set, toy_teardown);
}
