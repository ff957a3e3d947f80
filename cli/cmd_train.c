#include "cli.h"
#include "train/train.h"

#include <math.h>

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

static int print_list(void)
{
    const char *summary;
    const struct train_net *net;
    puts("networks (--arch):");
    for (int i = 0; (net = train_net_at(i)); i++)
        printf("  %-10s %s\n", net->name, net->summary);
    puts("recipes (--recipe):");
    for (int i = 0; train_recipe(i, &summary); i++)
        printf("  %-10s %s\n", train_recipe(i, NULL), summary);
    return 0;
}

int cmd_train(int argc, char **argv)
{
    struct train_options o = train_options_default();
    double lr = 0, momentum = (double)o.momentum, decay = (double)o.weight_decay,
           clip = (double)o.clip;
    struct cli_choice precision = {nn_precision_names, NN_PREC_COUNT, (int)o.precision};
    int flip = o.flip, skip_bad = 0, acm = 0, resume = 0, force = 0, quiet = 0, json = 0, list = 0;
    const struct cli_option options[] = {
        {"data", 'd', CLI_STRING, &o.data_dir, "DIR", "training images, DIR/<class>/<image>"},
        {"test", 't', CLI_STRING, &o.test_dir, "DIR", "test images, the same classes"},
        {"out", 'o', CLI_STRING, &o.out_dir, "RUNDIR", "where the run is kept"},
        {"arch", 'a', CLI_STRING, &o.arch, "NAME", "network; default resnet18"},
        {"recipe", 'r', CLI_STRING, &o.recipe, "NAME", "standard or staged; default standard"},
        {"list", 0, CLI_FLAG, &list, NULL, "list networks and recipes"},
        {"epochs", 'e', CLI_INT, &o.epochs, "N", "default 60"},
        {"batch", 'b', CLI_INT, &o.batch, "N", "images a step; default 128"},
        {"lr", 0, CLI_DOUBLE, &lr, "X", "learning rate at the start; default the network's"},
        {"momentum", 0, CLI_DOUBLE, &momentum, "X", "default 0.9"},
        {"weight-decay", 0, CLI_DOUBLE, &decay, "X", "default 0.0005"},
        {"clip", 0, CLI_DOUBLE, &clip, "X", "limit of the gradient's norm, 0 for none; default 5"},
        {"warmup", 0, CLI_INT, &o.warmup, "N", "steps of linear rise to --lr; default 0"},
        {"pad", 0, CLI_INT, &o.pad, "N", "random crop out of N zeros around; default 4"},
        {"flip", 0, CLI_FLAG, &flip, NULL, "mirror at random (the default; --no-flip: do not)"},
        {"seed", 's', CLI_U64, &o.seed, "N", "default 0"},
        {"limit", 'n', CLI_INT, &o.limit, "N", "at most N training images, balanced over classes"},
        {"test-limit", 0, CLI_INT, &o.test_limit, "N", "the same for test images"},
        {"size", 0, CLI_INT, &o.size, "N", "resize every image to NxN"},
        {"channels", 0, CLI_INT, &o.channels, "N", "convert to 1 (grey) or 3 (colour) channels"},
        {"skip-bad", 0, CLI_FLAG, &skip_bad, NULL, "leave out files that do not decode"},
        {"precision", 0, CLI_CHOICE, &precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &o.threads, "N", "default: all CPUs"},
        {"test-every", 0, CLI_INT, &o.test_every, "N",
         "epochs between tests, 0: last only; default 1"},
        {"acm", 0, CLI_FLAG, &acm, NULL, "log the activation cluster measurement in any recipe"},
        {"staged-rise", 0, CLI_DOUBLE, &o.staged.rise, "X",
         "staged: ACM over its start that signals"},
        {"staged-slow", 0, CLI_DOUBLE, &o.staged.slow, "X", "staged: factor of a slowed stage"},
        {"staged-floor", 0, CLI_DOUBLE, &o.staged.floor, "X", "staged: least factor"},
        {"staged-rollbacks", 0, CLI_INT, &o.staged.rollbacks, "N",
         "staged: epochs that may be undone"},
        {"staged-probe", 0, CLI_INT, &o.staged.probe, "N", "images measured after each epoch"},
        {"resume", 0, CLI_FLAG, &resume, NULL, "go on with the run in RUNDIR"},
        {"force", 0, CLI_FLAG, &force, NULL, "replace the run in RUNDIR"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &json, NULL, "print the result as JSON"},
    };
    const struct cli_spec spec = {
        "relearn train",
        "--data DIR [--test DIR] --out RUNDIR [OPTION…]",
        "Trains a classifier on an ImageFolder tree, mounted or plain. RUNDIR gets config.json, "
        "log.jsonl,\na checkpoint after each epoch and on Ctrl-C, and weights.safetensors at the "
        "end.\n" CLI_PRECISION_ABOUT,
        options,
        ARRAY_LEN(options),
        0,
        0};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (list)
        return print_list();
    if (!o.data_dir || !o.out_dir)
        return cli_usage_error(&spec, "--data and --out are needed");
    o.lr = (float)lr;
    o.momentum = (float)momentum;
    o.weight_decay = (float)decay;
    o.clip = (float)clip;
    o.precision = (enum nn_precision)precision.chosen;
    o.flip = flip;
    o.skip_bad = skip_bad;
    o.acm = acm;
    o.resume = resume;
    o.force = force;
    o.quiet = quiet;
    stop_install();
    struct errmsg e = {""};
    struct train_result r;
    status st = train_run(&o, &r, &e);
    return st ? cli_fail(st, &e) : print_result(&o, &r, json);
}
