#include "cli.h"
#include "params.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

static json_t *real_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static int print_result(const struct train_options *o, const struct train_result *r, int json)
{
    const char *precision = nn_precision_names[o->precision];
    if (json) {
        json_t *j = json_pack(
            "{s:s, s:i, s:o, s:o, s:o, s:o, s:i, s:f, s:f, s:i}", "precision", precision, "epochs",
            r->epochs, "train_loss", real_or_null(r->train_loss), "train_accuracy",
            real_or_null(r->train_accuracy), "test_accuracy", real_or_null(r->test_accuracy),
            "best_test_accuracy", real_or_null(r->best_test_accuracy), "best_epoch", r->best_epoch,
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

static int print_list(int json)
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

/* What is parsed into, beginning with what holds when an option is absent. */
struct args {
    struct train_options o;
    double lr, momentum, decay, clip;
    struct cli_choice precision;
    int flip, skip_bad, acm, resume, force, quiet, json, list;
    struct cli_params params;             /* of all recipes: --RECIPE-KEY */
    struct param_arg arg[CLI_PARAMS_MAX]; /* of the chosen one: o's, then what was given */
    int n_args;
};

static struct args args_from(struct train_options o)
{
    return (struct args){.o = o,
                         .lr = (double)o.lr,
                         .momentum = (double)o.momentum,
                         .decay = (double)o.weight_decay,
                         .clip = (double)o.clip,
                         .precision = {nn_precision_names, NN_PREC_COUNT, (int)o.precision},
                         .flip = o.flip,
                         .skip_bad = o.skip_bad,
                         .acm = o.acm};
}

static void recipe_prefix(const struct train_recipe *r, char out[64])
{
    snprintf(out, 64, "%s-", r->name);
}

/* Each recipe's parameters are options --RECIPE-KEY. */
static void add_params(struct cli_params *p)
{
    const struct train_recipe *r;
    char prefix[64];
    for (int i = 0; (r = train_recipe_at(i)); i++) {
        recipe_prefix(r, prefix);
        cli_params_add(p, r->name, &r->params, prefix);
    }
}

/* Those of the chosen recipe; what was given for another has no effect. before: the recipe that
   o's are of. */
static void take_params(struct args *a, const char *before)
{
    const struct train_recipe *r;
    char prefix[64];
    int kept = strcmp(before, a->o.recipe) == 0 ? a->o.n_recipe_args : 0;
    CHECK(kept <= CLI_PARAMS_MAX);
    for (a->n_args = 0; a->n_args < kept; a->n_args++)
        a->arg[a->n_args] = a->o.recipe_arg[a->n_args];
    for (int i = 0; (r = train_recipe_at(i)); i++) {
        if (strcmp(r->name, a->o.recipe) != 0)
            continue;
        recipe_prefix(r, prefix);
        a->n_args += cli_params_given_with(&a->params, prefix, a->arg + a->n_args,
                                           CLI_PARAMS_MAX - a->n_args);
    }
}

static int parse(struct args *a, int argc, char **argv)
{
    const struct cli_option own[] = {
        {"data", 'd', CLI_STRING, &a->o.data_dir, "DIR", "training images, DIR/<class>/<image>"},
        {"test", 't', CLI_STRING, &a->o.test_dir, "DIR", "test images, the same classes"},
        {"out", 'o', CLI_STRING, &a->o.out_dir, "RUNDIR", "where the run is kept"},
        {"arch", 'a', CLI_STRING, &a->o.arch, "NAME", "network; default resnet18"},
        {"recipe", 'r', CLI_STRING, &a->o.recipe, "NAME", "see --list; default standard"},
        {"list", 0, CLI_FLAG, &a->list, NULL, "list networks, recipes and augmentations"},
        {"epochs", 'e', CLI_INT, &a->o.epochs, "N", "default 60"},
        {"batch", 'b', CLI_INT, &a->o.batch, "N", "images a step; default 128"},
        {"lr", 0, CLI_DOUBLE, &a->lr, "X", "learning rate at the start; default the network's"},
        {"momentum", 0, CLI_DOUBLE, &a->momentum, "X", "default 0.9"},
        {"weight-decay", 0, CLI_DOUBLE, &a->decay, "X", "default 0.0005"},
        {"clip", 0, CLI_DOUBLE, &a->clip, "X",
         "limit of the gradient's norm, 0 for none; default 5"},
        {"warmup", 0, CLI_INT, &a->o.warmup, "N", "steps of linear rise to --lr; default 0"},
        {"pad", 0, CLI_INT, &a->o.pad, "N", "random crop out of N zeros around; default 4"},
        {"flip", 0, CLI_FLAG, &a->flip, NULL, "mirror at random (the default; --no-flip: do not)"},
        {"augment", 0, CLI_STRING, &a->o.augment, "LIST",
         "what else happens to training images: NAME[:KEY=VALUE…][,NAME…], see --list"},
        {"seed", 's', CLI_U64, &a->o.seed, "N", "default 0"},
        {"limit", 'n', CLI_INT, &a->o.limit, "N",
         "at most N training images, balanced over classes"},
        {"test-limit", 0, CLI_INT, &a->o.test_limit, "N", "the same for test images"},
        {"size", 0, CLI_INT, &a->o.size, "N", "resize every image to NxN"},
        {"channels", 0, CLI_INT, &a->o.channels, "N", "convert to 1 (grey) or 3 (colour) channels"},
        {"skip-bad", 0, CLI_FLAG, &a->skip_bad, NULL, "leave out files that do not decode"},
        {"precision", 0, CLI_CHOICE, &a->precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &a->o.threads, "N", "default: all CPUs"},
        {"test-every", 0, CLI_INT, &a->o.test_every, "N",
         "epochs between tests, 0: last only; default 1"},
        {"acm", 0, CLI_FLAG, &a->acm, NULL, "log the activation cluster measurement in any recipe"},
        {"staged-probe", 0, CLI_INT, &a->o.probe, "N", "images of that measurement; default 1000"},
        {"resume", 0, CLI_FLAG, &a->resume, NULL, "go on with the run in RUNDIR, as it was begun"},
        {"force", 0, CLI_FLAG, &a->force, NULL, "replace the run in RUNDIR"},
        {"quiet", 'q', CLI_FLAG, &a->quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print the result as JSON"},
    };
    const char *before = a->o.recipe;
    struct cli_option options[ARRAY_LEN(own) + CLI_PARAMS_MAX];
    add_params(&a->params);
    const struct cli_spec spec = {
        "relearn train",
        "--data DIR [--test DIR] --out RUNDIR [OPTION…] | --resume RUNDIR",
        "Trains a classifier on an ImageFolder tree, mounted or plain. RUNDIR gets config.json, "
        "log.jsonl,\na checkpoint after each epoch and on Ctrl-C, and weights.safetensors at the "
        "end. A run that was\nstopped goes on with --resume RUNDIR alone: its options are in "
        "config.json, and any that are given\nagain must be the same.\n" CLI_PRECISION_ABOUT,
        options,
        cli_options_join(own, ARRAY_LEN(own), &a->params, options, ARRAY_LEN(options)),
        0,
        1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO || a->list)
        return rc;
    if (first < argc && !a->resume)
        return cli_usage_error(&spec, "unexpected argument '%s'", argv[first]);
    if (first < argc)
        a->o.out_dir = argv[first];
    if (a->resume && a->force)
        return cli_usage_error(&spec, "--resume goes on with a run, --force replaces it: not both");
    if (a->resume && !a->o.out_dir)
        return cli_usage_error(&spec, "which run is to be resumed?");
    if (!a->resume && (!a->o.data_dir || !a->o.out_dir))
        return cli_usage_error(&spec, "--data and --out are needed");
    take_params(a, before);
    return CLI_GO;
}

static int run(const struct args *a)
{
    struct train_options o = a->o;
    o.recipe_arg = a->arg;
    o.n_recipe_args = a->n_args;
    o.lr = (float)a->lr;
    o.momentum = (float)a->momentum;
    o.weight_decay = (float)a->decay;
    o.clip = (float)a->clip;
    o.precision = (enum nn_precision)a->precision.chosen;
    o.flip = a->flip;
    o.skip_bad = a->skip_bad;
    o.acm = a->acm;
    o.resume = a->resume;
    o.force = a->force;
    o.quiet = a->quiet;
    stop_install();
    struct errmsg e = {""};
    struct train_result r;
    status st = train_run(&o, &r, &e);
    return st ? cli_fail(st, &e) : print_result(&o, &r, a->json);
}

int cmd_train(int argc, char **argv)
{
    struct args a = args_from(train_options_default());
    int rc = parse(&a, argc, argv);
    if (rc != CLI_GO)
        return rc;
    if (a.list)
        return print_list(a.json);
    if (!a.resume)
        return run(&a);
    /* Once more, on top of what the run was begun with. */
    struct errmsg e = {""};
    AUTO(train_config_free) struct train_config *config = NULL;
    status st = train_config_open(a.o.out_dir, &config, &e);
    if (st)
        return cli_fail(st, &e);
    a = args_from(train_config_options(config));
    rc = parse(&a, argc, argv);
    return rc == CLI_GO ? run(&a) : rc;
}
