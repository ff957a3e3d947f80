#include "train_print.h"

#include <math.h>

int train_print_result(const struct train_options *o, const struct train_result *r, int json)
{
    const char *precision = nn_precision_names[o->precision];
    if (json) {
        json_t *j = json_pack(
            "{s:s, s:i, s:o, s:o, s:o, s:o, s:i, s:f, s:f, s:i}", "precision", precision, "epochs",
            r->epochs, "train_loss", cli_json_real(r->train_loss), "train_accuracy",
            cli_json_real(r->train_accuracy), "test_accuracy", cli_json_real(r->test_accuracy),
            "best_test_accuracy", cli_json_real(r->best_test_accuracy), "best_epoch", r->best_epoch,
            "images_per_s", r->images_per_s, "seconds", r->seconds, "bad_files", r->bad_files);
        cli_print_json(j);
        return 0;
    }
    printf("train accuracy  %.4f  (loss %.4f)\n", r->train_accuracy, r->train_loss);
    if (isfinite(r->test_accuracy))
        printf("test accuracy   %.4f  (best %.4f, epoch %d)\n", r->test_accuracy,
               r->best_test_accuracy, r->best_epoch);
    printf("%d epochs, %.0f images/s in training (%s), %.1f s in all\n", r->epochs, r->images_per_s,
           precision, r->seconds);
    return 0;
}

static json_t *name_and_summary(const char *name, const char *summary)
{
    return json_pack("{s:s, s:s}", "name", name, "summary", summary);
}

static int print_list_json(void)
{
    json_t *nets = json_array(), *recipes = json_array(), *augments = json_array();
    const struct train_recipe *recipe;
    const struct train_augment *augment;
    const struct train_net *net;
    for (int i = 0; (net = train_net_at(i)); i++)
        json_array_append_new(nets, name_and_summary(net->name, net->summary));
    for (int i = 0; (recipe = train_recipe_at(i)); i++)
        json_array_append_new(recipes, name_and_summary(recipe->name, recipe->summary));
    for (int i = 0; (augment = train_augment_at(i)); i++)
        json_array_append_new(augments, name_and_summary(augment->name, augment->summary));
    cli_print_json(json_pack("{s:o, s:o, s:o}", "networks", nets, "recipes", recipes,
                             "augmentations", augments));
    return 0;
}

static void print_keys(const struct param_table *t)
{
    for (int i = 0; i < t->n; i++) {
        AUTO(buf_done) struct buf help = BUF_INIT(4096);
        if (param_help(&t->row[i], &help) == STATUS_OK)
            printf("    %-11s %s\n", t->row[i].key, help.data);
    }
}

int train_print_list(int json)
{
    const struct train_recipe *recipe;
    const struct train_augment *augment;
    const struct train_net *net;
    if (json)
        return print_list_json();
    puts("networks (--arch):");
    for (int i = 0; (net = train_net_at(i)); i++)
        printf("  %-13s %s\n", net->name, net->summary);
    puts("recipes (--recipe):");
    for (int i = 0; (recipe = train_recipe_at(i)); i++)
        printf("  %-13s %s\n", recipe->name, recipe->summary);
    puts("augmentations (--augment), with their keys:");
    for (int i = 0; (augment = train_augment_at(i)); i++) {
        printf("  %-13s %s\n", augment->name, augment->summary);
        print_keys(&augment->params);
    }
    return 0;
}
