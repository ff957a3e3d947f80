#include "cli.h"
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* "1,2,2" -> {1,2,2}; the number of numbers, 0 when it is no such list. "" is no list but none. */
static int parse_list(const char *text, int out[PURIFY_LEVELS_MAX])
{
    int n = 0;
    while (n < PURIFY_LEVELS_MAX) {
        char *end;
        long v = strtol(text, &end, 10);
        if (end == text || v < 1 || v > 1 << 16 || (*end && *end != ','))
            return 0;
        out[n++] = (int)v;
        if (!*end)
            return n;
        text = end + 1;
    }
    return 0;
}

static int run_training(const struct train_diffusion_options *o, int json)
{
    struct errmsg e = {""};
    struct train_diffusion_result r;
    stop_install();
    status st = train_diffusion_run(o, &r, &e);
    if (st)
        return cli_fail(st, &e);
    const char *precision = nn_precision_names[o->precision];
    if (json)
        cli_print_json(json_pack("{s:s, s:s, s:i, s:o, s:f, s:I}", "file", o->out_file, "precision",
                                 precision, "steps", r.steps, "loss",
                                 isfinite(r.loss) ? json_real(r.loss) : json_null(), "images_per_s",
                                 r.images_per_s, "parameters", (json_int_t)r.parameters));
    else
        printf("%d steps, loss %.5f, %lld parameters, %.0f images/s (%s)\n", r.steps, r.loss,
               (long long)r.parameters, r.images_per_s, precision);
    return 0;
}

/* A checkpoint is work that was not finished: to be gone on with, or given up in so many words. */
static status check_output(const struct train_diffusion_options *o, int force, struct errmsg *e)
{
    AUTO(mem_free) char *checkpoint = mem_printf("%s.checkpoint", o->out_file);
    status st =
        checkpoint ? cli_output_check(o->out_file, CLI_OUTPUT_FILE, force, e) : STATUS_NOMEM;
    if (!st && !o->resume && !force && access(checkpoint, F_OK) == 0)
        st =
            errmsg_set(e, STATUS_EXISTS,
                       "%s is of a training that was stopped (go on with --resume, begin anew with "
                       "--force)",
                       checkpoint);
    return st;
}

static int train_or_tune(int argc, char **argv, int tune)
{
    struct train_diffusion_options o = train_diffusion_default();
    struct cli_choice precision = {nn_precision_names, NN_PREC_COUNT, (int)o.precision};
    const char *mult = NULL, *attn = NULL;
    double lr = (double)o.lr, ema = (double)o.ema, dropout = 0;
    int flip = o.flip, mid_attn = o.cfg.mid_attn, half = 0, resume = 0, force = 0, skip_bad = 0,
        quiet = 0, json = 0, t_max = 0;
    /* The first row is of finetune only, those after SHARED of train only. */
    const struct cli_option options[] = {
        {"from", 0, CLI_STRING, &o.from, "FILE", "the weights to start from"},
        {"data", 'd', CLI_STRING, &o.data_dir, "DIR", "images, at any depth; labels are not used"},
        {"out", 'o', CLI_STRING, &o.out_file, "FILE", "where the averaged weights go"},
        {"steps", 0, CLI_INT, &o.steps, "N", "default 20000"},
        {"batch", 'b', CLI_INT, &o.batch, "N", "default 64"},
        {"lr", 0, CLI_DOUBLE, &lr, "X", "default 0.0002"},
        {"warmup", 0, CLI_INT, &o.warmup, "N", "steps of linear rise to --lr; default 200"},
        {"ema", 0, CLI_DOUBLE, &ema, "X", "decay of the weights' average; default 0.9999"},
        {"t-max", 0, CLI_INT, &t_max, "N", "train on t < N only; default all"},
        {"flip", 0, CLI_FLAG, &flip, NULL, "mirror at random (the default; --no-flip: do not)"},
        {"downscale", 0, CLI_INT, &o.downscale, "N", "divide the images' sides by N first"},
        {"limit", 'n', CLI_INT, &o.limit, "N", "at most N images"},
        {"seed", 's', CLI_U64, &o.seed, "N", "default 0"},
        {"save-every", 0, CLI_INT, &o.save_every, "N", "steps between checkpoints; default 1000"},
        {"log", 0, CLI_STRING, &o.log_file, "FILE", "JSON lines"},
        {"half", 0, CLI_FLAG, &half, NULL, "save the weights as 16-bit floats"},
        {"resume", 0, CLI_FLAG, &resume, NULL, "go on from FILE.checkpoint"},
        {"force", 0, CLI_FLAG, &force, NULL, "replace FILE"},
        {"skip-bad", 0, CLI_FLAG, &skip_bad, NULL, "leave out files that do not decode"},
        {"precision", 0, CLI_CHOICE, &precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &o.threads, "N", "default: all CPUs"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &json, NULL, "print the result as JSON"},
        {"size", 0, CLI_INT, &o.cfg.size, "N",
         "side in pixels; larger images are cropped; default 32"},
        {"channels", 0, CLI_INT, &o.cfg.in_channels, "N", "1 or 3; default as the first image"},
        {"ch", 0, CLI_INT, &o.cfg.ch, "N", "base channels; default 64"},
        {"mult", 0, CLI_STRING, &mult, "A,B,…", "channel multipliers; default 1,2,2"},
        {"res-blocks", 0, CLI_INT, &o.cfg.res_blocks, "N", "per level; default 1"},
        {"attn", 0, CLI_STRING, &attn, "A,B,…", "sides with attention; default none"},
        {"mid-attn", 0, CLI_FLAG, &mid_attn, NULL, "attention in the middle (the default)"},
        {"groups", 0, CLI_INT, &o.cfg.groups, "N", "of group normalisation; default 32"},
        {"dropout", 0, CLI_DOUBLE, &dropout, "X", "default 0"},
    };
    enum { SHARED = 23 };
    const struct cli_spec train = {
        "relearn diffusion train",
        "--data DIR --out FILE [OPTION…]",
        "Trains a noise predictor. "
        "A purifier that starts at t* needs t < t* only: --t-max.\n" CLI_PRECISION_ABOUT,
        options,
        ARRAY_LEN(options),
        0,
        0};
    const struct cli_spec finetune = {
        "relearn diffusion finetune",
        "--from FILE --data DIR --out FILE [OPTION…]",
        "Goes on training a noise predictor on other images.\n" CLI_PRECISION_ABOUT,
        options,
        SHARED,
        0,
        0};
    const struct cli_spec *spec = tune ? &finetune : &train;
    int first, rc = cli_parse(spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (!o.data_dir || !o.out_file || (tune && !o.from))
        return cli_usage_error(spec, tune ? "--from, --data and --out are needed"
                                          : "--data and --out are needed");
    if (mult && !(o.cfg.levels = parse_list(mult, o.cfg.ch_mult)))
        return cli_usage_error(spec, "--mult takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (attn && !(o.cfg.attn_count = parse_list(attn, o.cfg.attn)))
        return cli_usage_error(spec, "--attn takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (t_max < 0 || t_max > o.cfg.total)
        return cli_usage_error(spec, "--t-max must be 1..%d", o.cfg.total);
    o.cfg.t_max = t_max ? t_max : o.cfg.total;
    o.cfg.mid_attn = mid_attn;
    o.cfg.dropout = (float)dropout;
    o.precision = (enum nn_precision)precision.chosen;
    o.lr = (float)lr;
    o.ema = (float)ema;
    o.flip = flip;
    o.half = half;
    o.resume = resume;
    o.skip_bad = skip_bad;
    o.quiet = quiet;
    struct errmsg e = {""};
    status st = check_output(&o, force, &e);
    return st ? cli_fail(st, &e) : run_training(&o, json);
}

static int cmd_diffusion_train(int argc, char **argv)
{
    return train_or_tune(argc, argv, 0);
}

static int cmd_diffusion_finetune(int argc, char **argv)
{
    return train_or_tune(argc, argv, 1);
}

static int cmd_diffusion_sample(int argc, char **argv)
{
    struct train_sample_options o = {.rows = 4, .columns = 8};
    struct cli_choice precision = {nn_precision_names, NN_PREC_COUNT, (int)o.precision};
    int force = 0, quiet = 0, json = 0;
    const struct cli_option options[] = {
        {"weights", 'w', CLI_STRING, &o.weights, "FILE", "a trained noise predictor"},
        {"out", 'o', CLI_STRING, &o.out_file, "PNG", "the grid"},
        {"data", 'd', CLI_STRING, &o.data_dir, "DIR", "start from these images, diffused to t-max"},
        {"rows", 0, CLI_INT, &o.rows, "N", "default 4"},
        {"columns", 0, CLI_INT, &o.columns, "N", "default 8"},
        {"steps", 0, CLI_INT, &o.steps, "N", "evaluations; default every t"},
        {"seed", 's', CLI_U64, &o.seed, "N", "default 0"},
        {"precision", 0, CLI_CHOICE, &precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &o.threads, "N", "default: all CPUs"},
        {"force", 0, CLI_FLAG, &force, NULL, "replace PNG"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &json, NULL, "print the result as JSON"},
    };
    const struct cli_spec spec = {
        "relearn diffusion sample",
        "--weights FILE --out PNG [OPTION…]",
        "Draws images with the ancestral chain. A model trained on t < t-max only cannot start "
        "from\n"
        "noise: with --data it starts from images diffused that far, shown above its "
        "results.\n" CLI_PRECISION_ABOUT,
        options,
        ARRAY_LEN(options),
        0,
        0};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (!o.weights || !o.out_file)
        return cli_usage_error(&spec, "--weights and --out are needed");
    o.precision = (enum nn_precision)precision.chosen;
    o.quiet = quiet;
    stop_install();
    struct errmsg e = {""};
    status st = cli_output_check(o.out_file, CLI_OUTPUT_FILE, force, &e);
    if (!st)
        st = train_diffusion_sample(&o, &e);
    if (st)
        return cli_fail(st, &e);
    if (json)
        cli_print_json(json_pack("{s:s, s:i}", "file", o.out_file, "images", o.rows * o.columns));
    else
        printf("%s\n", o.out_file);
    return 0;
}

int cmd_diffusion(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {"train", cmd_diffusion_train, "train a noise predictor from scratch"},
        {"finetune", cmd_diffusion_finetune, "go on training one on other images"},
        {"sample", cmd_diffusion_sample, "draw images, to see what was learned"},
    };
    return cli_dispatch("relearn diffusion", "Diffusion models.", commands, ARRAY_LEN(commands),
                        argc, argv);
}
