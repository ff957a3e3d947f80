#include "cli.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

static int print_list(int json)
{
    const char *summary;
    json_t *list = json ? json_array() : NULL;
    for (int i = 0; json && train_protect_method(i, &summary); i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", train_protect_method(i, NULL),
                                              "summary", summary));
    if (json) {
        cli_print_json(list);
        return 0;
    }
    for (int i = 0; train_protect_method(i, &summary); i++)
        printf("%-10s %s\n", train_protect_method(i, NULL), summary);
    return 0;
}

static int print_result(const struct train_protect_options *o, const struct train_protect_result *r,
                        int json)
{
    if (json) {
        json_t *j = json_pack("{s:s, s:i, s:f, s:f, s:o, s:i, s:f}", "method", o->method, "images",
                              r->images, "mean_l2", r->mean_l2, "max_abs", r->max_abs, "psnr_db",
                              isfinite(r->psnr_db) ? json_real(r->psnr_db) : json_null(), "rounds",
                              r->rounds, "surrogate_error", r->surrogate_error);
        if (r->rounds)
            json_object_set_new(j, "precision", json_string(nn_precision_names[o->precision]));
        cli_print_json(j);
        return 0;
    }
    printf("%d images protected with %s: mean L2 %.3f, largest %.1f/255, PSNR %.1f dB\n", r->images,
           o->method, r->mean_l2, 255 * r->max_abs, r->psnr_db);
    if (r->rounds)
        printf("surrogate error %.3f after %d rounds\n", r->surrogate_error, r->rounds);
    return 0;
}

int cmd_protect(int argc, char **argv)
{
    struct train_protect_options o = {.quantise = -1};
    struct cli_choice precision = {nn_precision_names, NN_PREC_COUNT, (int)o.precision};
    const char *quantise = NULL;
    int force = 0, skip_bad = 0, quiet = 0, json = 0, list = 0;
    const struct cli_option options[] = {
        {"method", 'm', CLI_STRING, &o.method, "NAME", "see --list"},
        {"list", 0, CLI_FLAG, &list, NULL, "list the methods"},
        {"seed", 's', CLI_U64, &o.seed, "N", "default 0"},
        {"eps", 0, CLI_DOUBLE, &o.eps, "X", "strength in grey levels; default the method's own"},
        {"quantise", 0, CLI_STRING, &quantise, "RULE", "round, truncate or positive-half"},
        {"patch", 0, CLI_INT, &o.patch, "N", "lsp: side of a block in pixels; default 8"},
        {"surrogate", 0, CLI_STRING, &o.surrogate, "ARCH", "emn-class: network; default resnet18"},
        {"batch", 'b', CLI_INT, &o.batch, "N", "emn-class: default 128"},
        {"stop-error", 0, CLI_DOUBLE, &o.stop_error, "X",
         "emn-class: done at this error; default 0.1"},
        {"rounds", 0, CLI_INT, &o.rounds, "N", "emn-class: at most; default 100"},
        {"precision", 0, CLI_CHOICE, &precision, "f32|bf16",
         "emn-class: see relearn train --help; default f32"},
        {"limit", 'n', CLI_INT, &o.limit, "N", "at most N images, balanced over classes"},
        {"size", 0, CLI_INT, &o.size, "N", "resize every image to NxN; lsp needs no one size"},
        {"channels", 0, CLI_INT, &o.channels, "N", "convert to 1 (grey) or 3 (colour) channels"},
        {"skip-bad", 0, CLI_FLAG, &skip_bad, NULL, "leave out files that do not decode"},
        {"threads", 'j', CLI_INT, &o.threads, "N", "default: all CPUs"},
        {"force", 0, CLI_FLAG, &force, NULL,
         "write into a DST that is not empty, replace what is there"},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &json, NULL, "print the result as JSON"},
    };
    const struct cli_spec spec = {"relearn protect",
                                  "--method NAME SRC DST",
                                  "Writes an unlearnable version of the ImageFolder tree SRC to "
                                  "DST, as PNG. What was added is "
                                  "kept\nbeside it in DST.perturbation.safetensors. Images may "
                                  "differ in size with lsp; the other methods\nneed --size "
                                  "then.",
                                  options,
                                  ARRAY_LEN(options),
                                  0,
                                  2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (list)
        return print_list(json);
    if (!o.method || argc - first != 2)
        return cli_usage_error(&spec, "--method, SRC and DST are needed");
    enum train_quantise q;
    if (quantise && train_quantise_parse(quantise, &q))
        return cli_usage_error(
            &spec, "--quantise must be round, truncate or positive-half, not '%s'", quantise);
    if (quantise)
        o.quantise = (int)q;
    o.src_dir = argv[first];
    o.dst_dir = argv[first + 1];
    o.precision = (enum nn_precision)precision.chosen;
    o.force = force;
    o.skip_bad = skip_bad;
    o.quiet = quiet;
    stop_install();
    struct errmsg e = {""};
    struct train_protect_result r;
    status st = train_protect(&o, &r, &e);
    return st ? cli_fail(st, &e) : print_result(&o, &r, json);
}
