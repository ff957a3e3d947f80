/* relearn diffusion train and finetune: one command but for where the network comes from. */
#include "cmd_diffusion.h"
#include "fit_args.h"

#include <math.h>
#include <string.h>

struct args {
    struct train_diffusion_options o;
    struct fit_args fit;
    const char *mult, *attn;
    struct cli_choice weighting;
    double dropout, snr_gamma;
    int t_max, mid_attn;
};

enum { SHARED_ROWS = 4 + FIT_ROWS_MAX }; /* at most */
/* Of both commands; --from, the first, is of finetune only. */
static size_t training_options(struct args *a, struct cli_option *out)
{
    out[0] = (struct cli_option){"from",         0,      CLI_STRING,
                                 &a->o.fit.from, "FILE", "the weights to start from"};
    size_t n = 1 + fit_args_rows(&a->fit, out + 1);
    const struct cli_option rows[] = {
        {"t-max", 0, CLI_INT, &a->t_max, "N", "train on t < N only; default all"},
        {"weighting", 0, CLI_CHOICE, &a->weighting, "constant|min-snr",
         "of the loss at each t: min-snr counts small t less; default constant"},
        {"snr-gamma", 0, CLI_DOUBLE, &a->snr_gamma, "X",
         "of min-snr: less where the signal-to-noise ratio is above X; default 5"},
    };
    memcpy(out + n, rows, sizeof rows);
    return n + ARRAY_LEN(rows);
}

enum { NETWORK_ROWS = 9 };
/* Of train only: the network. */
static size_t network_options(struct args *a, struct cli_option *out)
{
    const struct cli_option rows[NETWORK_ROWS] = {
        {"size", 0, CLI_INT, &a->o.cfg.size, "N",
         "side in pixels; larger images are cropped; default 32"},
        {"channels", 0, CLI_INT, &a->o.cfg.in_channels, "N", "1 or 3; default as the first image"},
        {"ch", 0, CLI_INT, &a->o.cfg.ch, "N", "base channels; default 64"},
        {"mult", 0, CLI_STRING, &a->mult, "A,B,…", "channel multipliers; default 1,2,2"},
        {"res-blocks", 0, CLI_INT, &a->o.cfg.res_blocks, "N", "per level; default 1"},
        {"attn", 0, CLI_STRING, &a->attn, "A,B,…", "sides with attention; default none"},
        {"mid-attn", 0, CLI_FLAG, &a->mid_attn, NULL, "attention in the middle (the default)"},
        {"groups", 0, CLI_INT, &a->o.cfg.groups, "N", "of group normalisation; default 32"},
        {"dropout", 0, CLI_DOUBLE, &a->dropout, "X", "default 0"},
    };
    memcpy(out, rows, sizeof rows);
    return ARRAY_LEN(rows);
}

/* What was parsed, into the options of the library: CLI_GO, or an exit status. */
static int take(struct args *a, const struct cli_spec *spec, int tune)
{
    struct purify_unet *cfg = &a->o.cfg;
    if (!a->o.fit.data_dir || !a->o.fit.out_file || (tune && !a->o.fit.from))
        return cli_usage_error(spec, tune ? "--from, --data and --out are needed"
                                          : "--data and --out are needed");
    if (a->mult && !(cfg->levels = fit_args_list(a->mult, cfg->ch_mult, PURIFY_LEVELS_MAX)))
        return cli_usage_error(spec, "--mult takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (a->attn && !(cfg->attn_count = fit_args_list(a->attn, cfg->attn, PURIFY_LEVELS_MAX)))
        return cli_usage_error(spec, "--attn takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (a->t_max < 0 || a->t_max > cfg->total)
        return cli_usage_error(spec, "--t-max must be 1..%d", cfg->total);
    if (!isnan(a->snr_gamma) && a->weighting.chosen != TRAIN_WEIGHT_MIN_SNR)
        return cli_usage_error(spec, "--snr-gamma is of --weighting min-snr");
    a->o.weighting = (enum train_weighting)a->weighting.chosen;
    if (!isnan(a->snr_gamma))
        a->o.snr_gamma = (float)a->snr_gamma;
    cfg->t_max = a->t_max ? a->t_max : cfg->total;
    cfg->mid_attn = a->mid_attn;
    cfg->dropout = (float)a->dropout;
    fit_args_take(&a->fit);
    return CLI_GO;
}

static int parse(struct args *a, int argc, char **argv, int tune)
{
    struct cli_option options[SHARED_ROWS + NETWORK_ROWS];
    size_t shared = training_options(a, options), all = shared;
    all += network_options(a, options + shared);
    const struct cli_spec train = {
        "relearn diffusion train",
        "--data DIR --out FILE [OPTION…]",
        "Trains a noise predictor. "
        "A purifier that starts at t* needs t < t* only: --t-max.\n" CLI_PRECISION_ABOUT,
        options + 1,
        all - 1,
        0,
        0};
    const struct cli_spec finetune = {
        "relearn diffusion finetune",
        "--from FILE --data DIR --out FILE [OPTION…]",
        "Goes on training a noise predictor on other images.\n" CLI_PRECISION_ABOUT,
        options,
        shared,
        0,
        0};
    const struct cli_spec *spec = tune ? &finetune : &train;
    int first, rc = cli_parse(spec, argc, argv, &first);
    return rc == CLI_GO ? take(a, spec, tune) : rc;
}

static int train_or_tune(int argc, char **argv, int tune)
{
    struct args a = {.o = train_diffusion_default(),
                     .weighting = {train_weighting_names, TRAIN_WEIGHTING_COUNT, 0},
                     .snr_gamma = NAN};
    fit_args_init(&a.fit, &a.o.fit);
    a.mid_attn = a.o.cfg.mid_attn;
    int rc = parse(&a, argc, argv, tune);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    struct train_fit_result r;
    status st = fit_args_check_output(&a.fit, &e);
    stop_install();
    if (!st)
        st = train_diffusion_run(&a.o, &r, &e);
    if (st)
        return cli_fail(st, &e);
    if (a.fit.json)
        cli_print_json(fit_result_json(&a.fit, &r));
    else
        fit_result_print(&a.fit, &r);
    return 0;
}

int cmd_diffusion_train(int argc, char **argv)
{
    return train_or_tune(argc, argv, 0);
}

int cmd_diffusion_finetune(int argc, char **argv)
{
    return train_or_tune(argc, argv, 1);
}
