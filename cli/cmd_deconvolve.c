/* relearn deconvolve train */
#include "cli.h"
#include "fit_args.h"

#include <string.h>

struct args {
    struct train_estimator_options o;
    struct fit_args fit;
    const char *width;
    double blur, plain, perturbed, large;
};

enum { OWN_ROWS = 10 };
static size_t own_options(struct args *a, struct cli_option *out)
{
    const struct cli_option rows[OWN_ROWS] = {
        {"from", 0, CLI_STRING, &a->o.fit.from, "FILE",
         "start from these weights; the network is theirs"},
        {"size", 0, CLI_INT, &a->o.cfg.size, "N",
         "side of the squares that it looks at, in pixels; larger images are cropped; default 32"},
        {"channels", 0, CLI_INT, &a->o.cfg.in_channels, "N", "1 or 3; default as the first image"},
        {"side", 0, CLI_INT, &a->o.cfg.side, "N", "of the kernels: 3, 5, 7 or 9; default 3"},
        {"width", 0, CLI_STRING, &a->width, "A,B,…",
         "channels of each level, multiples of 32; default 32,64,96,128"},
        {"blur", 0, CLI_DOUBLE, &a->blur, "X",
         "largest entry of a kernel beside its 1; default 0.6"},
        {"plain", 0, CLI_DOUBLE, &a->plain, "X", "share of images without a filter; default 0.4"},
        {"perturbed", 0, CLI_DOUBLE, &a->perturbed, "X",
         "share of these that a perturbation is put on; default 0.75"},
        {"families", 0, CLI_STRING, &a->o.families, "NAME:SHARE,…",
         "of which kind, as relearn restore train --list names them"},
        {"large", 0, CLI_DOUBLE, &a->large, "X",
         "share of squares that are put together as a large image's corners are; default 0.3"},
    };
    memcpy(out, rows, sizeof rows);
    return ARRAY_LEN(rows);
}

/* What was parsed, into the options of the library: CLI_GO, or an exit status. */
static int take(struct args *a, const struct cli_spec *spec)
{
    struct train_estimator_options *o = &a->o;
    if (!o->fit.data_dir || !o->fit.out_file)
        return cli_usage_error(spec, "--data and --out are needed");
    if (a->width && !(o->cfg.levels = fit_args_list(a->width, o->cfg.width, PURIFY_LEVELS_MAX)))
        return cli_usage_error(spec, "--width takes up to %d numbers", PURIFY_LEVELS_MAX);
    o->blur = (float)a->blur;
    o->plain = (float)a->plain;
    o->perturbed = (float)a->perturbed;
    o->large = (float)a->large;
    fit_args_take(&a->fit);
    return CLI_GO;
}

static int run_training(const struct args *a)
{
    struct errmsg e = {""};
    struct train_fit_result r;
    status st = fit_args_check_output(&a->fit, &e);
    stop_install();
    if (!st)
        st = train_estimator_run(&a->o, &r, &e);
    if (st)
        return cli_fail(st, &e);
    if (a->fit.json)
        cli_print_json(fit_result_json(&a->fit, &r));
    else
        fit_result_print(&a->fit, &r);
    return 0;
}

static int cmd_deconvolve_train(int argc, char **argv)
{
    struct cli_option options[FIT_ROWS_MAX + OWN_ROWS];
    struct train_estimator_options o = train_estimator_default();
    struct args a = {.o = o,
                     .blur = (double)o.blur,
                     .plain = (double)o.plain,
                     .perturbed = (double)o.perturbed,
                     .large = (double)o.large};
    fit_args_init(&a.fit, &a.o.fit);
    size_t n = fit_args_rows(&a.fit, options);
    n += own_options(&a, options + n);
    const struct cli_spec spec = {
        "relearn deconvolve train",
        "--data DIR --out FILE [OPTION…]",
        "Trains a filter estimator: a network that says through which small filter an image went, "
        "which\npurifier deconvolve then undoes. It learns from unprotected images that went "
        "through "
        "random\nkernels, so it knows the kind that CUDA is, and no protection's "
        "kernels.\n" CLI_PRECISION_ABOUT,
        options,
        n,
        0,
        0};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc == CLI_GO)
        rc = take(&a, &spec);
    return rc == CLI_GO ? run_training(&a) : rc;
}

int cmd_deconvolve(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"train", cmd_deconvolve_train, "train a filter estimator, or go on training one"},
    };
    return cli_dispatch("relearn deconvolve",
                        "Filter estimators: networks that say which small filter an image went "
                        "through.",
                        commands, ARRAY_LEN(commands), argc, argv);
}
