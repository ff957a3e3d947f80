#include "params.h"
#include "train_print.h"

#include <string.h>

/* What is parsed into, beginning with what holds when an option is absent. */
struct args {
    struct train_options o;
    double lr, momentum, decay, clip;
    struct cli_choice precision;
    int flip, skip_bad, acm, sal, resume, force, quiet, json, list;
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
                         .acm = o.acm,
                         .sal = o.sal};
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

static const struct train_recipe *find_recipe(const char *name)
{
    const struct train_recipe *r = NULL;
    for (int i = 0; (r = train_recipe_at(i)) && strcmp(r->name, name) != 0;)
        i++;
    return r;
}

/* Those of the chosen recipe; another's are an error. before: the recipe that o's are of. A recipe
   that there is not is train_run's to refuse. */
static int take_params(struct args *a, const char *before, const struct cli_spec *spec)
{
    const struct train_recipe *r = find_recipe(a->o.recipe);
    char prefix[64];
    int kept = strcmp(before, a->o.recipe) == 0 ? a->o.n_recipe_args : 0;
    CHECK(kept <= CLI_PARAMS_MAX);
    for (a->n_args = 0; a->n_args < kept; a->n_args++)
        a->arg[a->n_args] = a->o.recipe_arg[a->n_args];
    if (!r)
        return CLI_GO;
    recipe_prefix(r, prefix);
    a->n_args +=
        cli_params_given_with(&a->params, prefix, a->arg + a->n_args, CLI_PARAMS_MAX - a->n_args);
    return cli_params_check(spec, &a->params, r->name, &r->params, prefix);
}

/* All options of the command, those of recipes among them; how many. */
enum { OPTIONS_MAX = 48 };
static size_t list_options(struct args *a, struct cli_option all[OPTIONS_MAX + CLI_PARAMS_MAX])
{
    const struct cli_option own[] = {
        {"data", 'd', CLI_STRING, &a->o.data_dir, "DIR", "training images, DIR/<class>/<image>"},
        {"test", 't', CLI_STRING, &a->o.test_dir, "DIR", "test images, the same classes"},
        {"out", 'o', CLI_STRING, &a->o.out_dir, "RUNDIR", "where the run is kept"},
        {"arch", 'a', CLI_STRING, &a->o.arch, "NAME", "network; default resnet18"},
        {"init", 0, CLI_STRING, &a->o.init_file, "FILE",
         "weights of the same network to begin with; its last layer begins anew for other classes"},
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
        {"sal", 0, CLI_FLAG, &a->sal, NULL, "log the sharpness-aware learnability of each layer"},
        {"sal-images", 0, CLI_INT, &a->o.sal_images, "N", "images of that; default 256"},
        {"resume", 0, CLI_FLAG, &a->resume, NULL, "go on with the run in RUNDIR, as it was begun"},
        {"force", 0, CLI_FLAG, &a->force, NULL, "replace the run in RUNDIR"},
        {"quiet", 'q', CLI_FLAG, &a->quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print the result as JSON"},
    };
    _Static_assert(ARRAY_LEN(own) <= OPTIONS_MAX, "room for the options");
    add_params(&a->params);
    return cli_options_join(own, ARRAY_LEN(own), &a->params, all, OPTIONS_MAX + CLI_PARAMS_MAX);
}

/* Whether what was given goes together: CLI_GO, or an exit status. */
static int check(const struct args *a, const struct cli_spec *spec)
{
    if (a->resume && a->force)
        return cli_usage_error(spec, "--resume goes on with a run, --force replaces it: not both");
    if (a->resume && !a->o.out_dir)
        return cli_usage_error(spec, "which run is to be resumed?");
    if (!a->resume && (!a->o.data_dir || !a->o.out_dir))
        return cli_usage_error(spec, "--data and --out are needed");
    return CLI_GO;
}

/* clang-format off */
#define SAL_ABOUT \
    "\n\n--sal measures after each epoch how sharply the loss answers each layer (sharpness-aware learnability,\n" \
    "Ye et al., ICLR 2025): the layer's weights alone walk ten times through some training images, in steps\n" \
    "of 0.1, once down the loss and once up, but no farther than 5 % of their norm; logged is how far the loss\n" \
    "went, the larger of the two. Theirs are all images, augmented, in batches of 256; these are --sal-images\n" \
    "of them, as they are, in batches of 64. The weights stay as they are. With resnet8s2 and 2,000 images an\n" \
    "epoch takes 13 s of one CPU more (1 s without), and larger networks take more by their layers and their\n" \
    "size. relearn report draws it, and compares runs (relearn audit --distance)."
/* clang-format on */

/* known: a's options are those of the run that is resumed, so that its recipe is known. */
static int parse(struct args *a, int argc, char **argv, int known)
{
    const char *before = a->o.recipe;
    struct cli_option options[OPTIONS_MAX + CLI_PARAMS_MAX];
    const struct cli_spec spec = {
        "relearn train",
        "--data DIR [--test DIR] --out RUNDIR [OPTION…] | --resume RUNDIR",
        "Trains a classifier on an ImageFolder tree, mounted or plain. RUNDIR gets config.json, "
        "log.jsonl,\ntest.json (what test images were taken for), a checkpoint after each epoch and on "
        "Ctrl-C, and\nweights.safetensors at the end. A run that was stopped goes on with --resume RUNDIR alone: its options are in "
        "config.json, and any that are given\nagain must be the same.\n" CLI_PRECISION_ABOUT SAL_ABOUT,
        options,
        list_options(a, options),
        0,
        1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO || a->list)
        return rc;
    if (first < argc && !a->resume)
        return cli_usage_error(&spec, "unexpected argument '%s'", argv[first]);
    if (first < argc)
        a->o.out_dir = argv[first];
    rc = check(a, &spec);
    if (rc != CLI_GO || (a->resume && !known))
        return rc;
    return take_params(a, before, &spec);
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
    o.sal = a->sal;
    o.resume = a->resume;
    o.force = a->force;
    o.quiet = a->quiet;
    stop_install();
    struct errmsg e = {""};
    struct train_result r;
    status st = train_run(&o, &r, &e);
    return st ? cli_fail(st, &e) : train_print_result(&o, &r, a->json);
}

int cmd_train(int argc, char **argv)
{
    struct args a = args_from(train_options_default());
    int rc = parse(&a, argc, argv, 0);
    if (rc != CLI_GO)
        return rc;
    if (a.list)
        return train_print_list(a.json);
    if (!a.resume)
        return run(&a);
    /* Once more, on top of what the run was begun with. */
    struct errmsg e = {""};
    AUTO(train_config_free) struct train_config *config = NULL;
    status st = train_config_open(a.o.out_dir, &config, &e);
    if (st)
        return cli_fail(st, &e);
    a = args_from(train_config_options(config));
    rc = parse(&a, argc, argv, 1);
    return rc == CLI_GO ? run(&a) : rc;
}
