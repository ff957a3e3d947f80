#include "cmd_diffusion.h"
#include "train/train.h"

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
