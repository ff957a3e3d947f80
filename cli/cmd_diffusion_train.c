/* relearn diffusion train and finetune: one command but for where the network comes from. */
#include "cmd_diffusion.h"
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

struct args {
    struct train_diffusion_options o;
    struct cli_choice precision;
    const char *mult, *attn;
    double lr, ema, dropout;
    int t_max, flip, mid_attn, half, resume, force, skip_bad, quiet, json;
};

static struct args args_new(void)
{
    struct train_diffusion_options o = train_diffusion_default();
    return (struct args){.o = o,
                         .precision = {nn_precision_names, NN_PREC_COUNT, (int)o.precision},
                         .lr = (double)o.lr,
                         .ema = (double)o.ema,
                         .flip = o.flip,
                         .mid_attn = o.cfg.mid_attn};
}

enum { OPTIONS_MAX = 40 };

/* Of both commands; --from, the first, is of finetune only. */
static size_t training_options(struct args *a, struct cli_option *out)
{
    const struct cli_option rows[] = {
        {"from", 0, CLI_STRING, &a->o.from, "FILE", "the weights to start from"},
        {"data", 'd', CLI_STRING, &a->o.data_dir, "DIR",
         "images, at any depth; labels are not used"},
        {"out", 'o', CLI_STRING, &a->o.out_file, "FILE", "where the averaged weights go"},
        {"steps", 0, CLI_INT, &a->o.steps, "N", "default 20000"},
        {"batch", 'b', CLI_INT, &a->o.batch, "N", "default 64"},
        {"lr", 0, CLI_DOUBLE, &a->lr, "X", "default 0.0002"},
        {"warmup", 0, CLI_INT, &a->o.warmup, "N", "steps of linear rise to --lr; default 200"},
        {"ema", 0, CLI_DOUBLE, &a->ema, "X", "decay of the weights' average; default 0.9999"},
        {"t-max", 0, CLI_INT, &a->t_max, "N", "train on t < N only; default all"},
        {"flip", 0, CLI_FLAG, &a->flip, NULL, "mirror at random (the default; --no-flip: do not)"},
        {"downscale", 0, CLI_INT, &a->o.downscale, "N", "divide the images' sides by N first"},
        {"limit", 'n', CLI_INT, &a->o.limit, "N", "at most N images"},
        {"seed", 's', CLI_U64, &a->o.seed, "N", "default 0"},
        {"save-every", 0, CLI_INT, &a->o.save_every, "N",
         "steps between checkpoints; default 1000"},
        {"log", 0, CLI_STRING, &a->o.log_file, "FILE", "JSON lines"},
        {"half", 0, CLI_FLAG, &a->half, NULL, "save the weights as 16-bit floats"},
        {"resume", 0, CLI_FLAG, &a->resume, NULL, "go on from FILE.checkpoint"},
        {"force", 0, CLI_FLAG, &a->force, NULL, "replace FILE"},
        {"skip-bad", 0, CLI_FLAG, &a->skip_bad, NULL, "leave out files that do not decode"},
        {"precision", 0, CLI_CHOICE, &a->precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &a->o.threads, "N", "default: all CPUs"},
        {"quiet", 'q', CLI_FLAG, &a->quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print the result as JSON"},
    };
    memcpy(out, rows, sizeof rows);
    return ARRAY_LEN(rows);
}

/* Of train only: the network. */
static size_t network_options(struct args *a, struct cli_option *out)
{
    const struct cli_option rows[] = {
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
    struct train_diffusion_options *o = &a->o;
    if (!o->data_dir || !o->out_file || (tune && !o->from))
        return cli_usage_error(spec, tune ? "--from, --data and --out are needed"
                                          : "--data and --out are needed");
    if (a->mult && !(o->cfg.levels = parse_list(a->mult, o->cfg.ch_mult)))
        return cli_usage_error(spec, "--mult takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (a->attn && !(o->cfg.attn_count = parse_list(a->attn, o->cfg.attn)))
        return cli_usage_error(spec, "--attn takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (a->t_max < 0 || a->t_max > o->cfg.total)
        return cli_usage_error(spec, "--t-max must be 1..%d", o->cfg.total);
    o->cfg.t_max = a->t_max ? a->t_max : o->cfg.total;
    o->cfg.mid_attn = a->mid_attn;
    o->cfg.dropout = (float)a->dropout;
    o->precision = (enum nn_precision)a->precision.chosen;
    o->lr = (float)a->lr;
    o->ema = (float)a->ema;
    o->flip = a->flip;
    o->half = a->half;
    o->resume = a->resume;
    o->skip_bad = a->skip_bad;
    o->quiet = a->quiet;
    return CLI_GO;
}

static int parse(struct args *a, int argc, char **argv, int tune)
{
    struct cli_option options[OPTIONS_MAX];
    size_t shared = training_options(a, options), all = shared;
    all += network_options(a, options + shared);
    CHECK(all <= OPTIONS_MAX);
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
    struct args a = args_new();
    int rc = parse(&a, argc, argv, tune);
    if (rc != CLI_GO)
        return rc;
    struct errmsg e = {""};
    status st = check_output(&a.o, a.force, &e);
    return st ? cli_fail(st, &e) : run_training(&a.o, a.json);
}

int cmd_diffusion_train(int argc, char **argv)
{
    return train_or_tune(argc, argv, 0);
}

int cmd_diffusion_finetune(int argc, char **argv)
{
    return train_or_tune(argc, argv, 1);
}
