#include "certify_print.h"
#include "cli.h"
#include "train/train.h"

static const char *class_name(const struct train_model *m, int k, char buf[16])
{
    if (m->class_name)
        return m->class_name[k];
    snprintf(buf, 16, "%d", k);
    return buf;
}

static void print_json(const struct train_model *m, const struct train_eval *ev,
                       const char *precision, int confusion)
{
    json_t *per = json_object(), *rows = json_array();
    for (int k = 0; k < ev->classes; k++) {
        char buf[16];
        double a = train_eval_class_accuracy(ev, k);
        json_object_set_new(per, class_name(m, k, buf), cli_json_real(a));
        json_t *row = json_array();
        for (int j = 0; j < ev->classes; j++)
            json_array_append_new(
                row, json_integer(ev->confusion[(size_t)k * (size_t)ev->classes + (size_t)j]));
        json_array_append_new(rows, row);
    }
    json_t *out = json_pack("{s:s, s:I, s:I, s:f, s:f, s:o, s:f}", "precision", precision, "images",
                            (json_int_t)ev->samples, "correct", (json_int_t)ev->correct, "accuracy",
                            train_eval_accuracy(ev), "loss", ev->loss, "class_accuracy", per,
                            "images_per_s", ev->images_per_s);
    if (confusion)
        json_object_set(out, "confusion", rows);
    cli_print_json(out);
    json_decref(rows);
}

static void print_text(const struct train_model *m, const struct train_eval *ev,
                       const char *precision, int confusion)
{
    char buf[16];
    printf("accuracy  %.4f  (%lld of %lld, loss %.4f, %.0f images/s, %s)\n",
           train_eval_accuracy(ev), (long long)ev->correct, (long long)ev->samples, ev->loss,
           ev->images_per_s, precision);
    for (int k = 0; k < ev->classes; k++)
        printf("  %-24s %.4f\n", class_name(m, k, buf), train_eval_class_accuracy(ev, k));
    if (!confusion)
        return;
    puts("confusion (rows: label, columns: prediction)");
    for (int k = 0; k < ev->classes; k++) {
        for (int j = 0; j < ev->classes; j++)
            printf("%7lld", (long long)ev->confusion[(size_t)k * (size_t)ev->classes + (size_t)j]);
        putchar('\n');
    }
}

/* "1,2,3" into at most `most` numbers: how many there are, or 0 when it is none of that. */
static int parse_numbers(const char *text, double *out, int most)
{
    for (int n = 0; n < most; text++) {
        char *end;
        out[n++] = strtod(text, &end);
        if (end == text || (*end && *end != ','))
            return 0;
        if (!*end)
            return n;
        text = end;
    }
    return 0;
}

/* "a" for all channels or "a,b,c"; false when it is neither. */
static bool parse_scaling(const char *text, float out[TRAIN_CHANNELS_MAX])
{
    double v[TRAIN_CHANNELS_MAX] = {0};
    int n = parse_numbers(text, v, TRAIN_CHANNELS_MAX);
    for (int c = 0; c < TRAIN_CHANNELS_MAX; c++)
        out[c] = (float)v[n == 1 ? 0 : c];
    return n == 1 || n == TRAIN_CHANNELS_MAX;
}

struct args {
    struct train_eval_options o;
    struct train_certify_options certify;
    struct train_model_hint hint;
    struct cli_choice precision;
    const char *weights, *mean, *std, *eta;
    float mean_value[TRAIN_CHANNELS_MAX], std_value[TRAIN_CHANNELS_MAX];
    int skip_bad, confusion, certificate, quiet, json;
};

/* An option of a certificate without one, or the other way round. */
static int mixed(const struct args *a, const struct cli_spec *spec)
{
    const struct train_certify_options *c = &a->certify, usual = train_certify_default();
    if (a->certificate)
        return a->confusion ? cli_usage_error(spec, "--certify has no confusion matrix") : CLI_GO;
    if (a->eta || c->draws != usual.draws || c->sigma != usual.sigma || c->seed != usual.seed ||
        c->quantile != usual.quantile || c->confidence != usual.confidence)
        return cli_usage_error(spec, "that is of a certificate: --certify");
    return CLI_GO;
}

/* What was parsed, into the options of the library: CLI_GO, or an exit status. */
static int take(struct args *a, const struct cli_spec *spec)
{
    if (!a->o.data.dir || !a->weights)
        return cli_usage_error(spec, "--data and --weights are needed");
    if ((a->mean && !parse_scaling(a->mean, a->mean_value)) ||
        (a->std && !parse_scaling(a->std, a->std_value)))
        return cli_usage_error(spec, "--mean and --std take one number or one for each channel");
    int rc = mixed(a, spec);
    if (rc != CLI_GO)
        return rc;
    if (a->eta &&
        !(a->certify.etas = parse_numbers(a->eta, a->certify.eta, TRAIN_CERTIFY_ETAS_MAX)))
        return cli_usage_error(spec, "--eta takes 1 to %d numbers, parted by commas",
                               (int)TRAIN_CERTIFY_ETAS_MAX);
    a->hint.mean = a->mean ? a->mean_value : NULL;
    a->hint.std = a->std ? a->std_value : NULL;
    a->hint.size = a->o.data.size;
    a->o.data.skip_bad = a->skip_bad;
    a->o.precision = (enum nn_precision)a->precision.chosen;
    a->o.quiet = a->quiet;
    a->certify.eval = a->o;
    return CLI_GO;
}

/* clang-format off */
static const char about[] =
    "Measures a classifier's accuracy on an ImageFolder tree. Weights may be those of a run, or a\n"
    "classifier that others trained with PyTorch: its names are translated where it is one of ours\n"
    "(relearn train --list); say --size, and --mean and --std where it scales pixels otherwise.\n"
    CLI_PRECISION_ABOUT "\n"
    "\n"
    "With --certify, a bound on what networks near it reach, after \"Provably Unlearnable Data Examples\"\n"
    "(Wang et al. 2024). The weights are then of a network that was trained on protected images, and the\n"
    "images are clean ones. Normal noise of deviation --sigma is put on all weights that are trained, --draws\n"
    "times. For each --eta an accuracy is told: take any weights within that distance of these (L2, of all\n"
    "together); of the networks that such noise makes of them a share of --quantile or more have no higher\n"
    "accuracy than that. It is true with --confidence, which is about the draws. Nothing is said of a network\n"
    "without noise, nor of where a training ends, which as a rule is farther away; and where the noise takes\n"
    "most of the accuracy, the bound is of the noise and not of the images.";
/* clang-format on */

static int parse(struct args *a, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"data", 'd', CLI_STRING, &a->o.data.dir, "DIR", "images, DIR/<class>/<image>"},
        {"weights", 'w', CLI_STRING, &a->weights, "FILE",
         "weights.safetensors of a run, or what torch.save wrote"},
        {"limit", 'n', CLI_INT, &a->o.data.limit, "N", "at most N images, balanced over classes"},
        {"size", 0, CLI_INT, &a->o.data.size, "N", "resize every image to NxN"},
        {"batch", 'b', CLI_INT, &a->o.batch, "N", "default 256"},
        {"precision", 0, CLI_CHOICE, &a->precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &a->o.threads, "N", "default: all CPUs"},
        {"skip-bad", 0, CLI_FLAG, &a->skip_bad, NULL, "leave out files that do not decode"},
        {"confusion", 0, CLI_FLAG, &a->confusion, NULL, "print the confusion matrix"},
        {"certify", 0, CLI_FLAG, &a->certificate, NULL, "bound what networks near it do"},
        {"draws", 0, CLI_INT, &a->certify.draws, "N", "networks for that; default 1000"},
        {"sigma", 0, CLI_DOUBLE, &a->certify.sigma, "X", "deviation of their noise; default 0.25"},
        {"quantile", 0, CLI_DOUBLE, &a->certify.quantile, "Q",
         "share of networks that the bound is of; default 0.9"},
        {"confidence", 0, CLI_DOUBLE, &a->certify.confidence, "C", "of the bound; default 0.99"},
        {"eta", 0, CLI_STRING, &a->eta, "X[,X…]",
         "how near; default: nine from .004 to 8 times sigma"},
        {"seed", 's', CLI_U64, &a->certify.seed, "N", "of the noise; default 0"},
        {"arch", 'a', CLI_STRING, &a->hint.arch, "NAME",
         "for weights that do not say: the network"},
        {"channels", 0, CLI_INT, &a->hint.shape.channels, "N", "for weights that do not say"},
        {"classes", 0, CLI_INT, &a->hint.shape.classes, "N", "for weights that do not say"},
        {"mean", 0, CLI_STRING, &a->mean, "X[,X,X]", "the network sees (pixel/255 - mean) / std"},
        {"std", 0, CLI_STRING, &a->std, "X[,X,X]", "see --mean"},
        CLI_ROW_QUIET(a->quiet),
        CLI_ROW_JSON(a->json),
    };
    const struct cli_spec spec = {"relearn eval",
                                  "--data DIR --weights FILE [--certify] [OPTION…]",
                                  about,
                                  options,
                                  ARRAY_LEN(options),
                                  0,
                                  0};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    return rc == CLI_GO ? take(a, &spec) : rc;
}

static status evaluate(const struct args *a, struct train_model *m, struct errmsg *e)
{
    struct train_eval ev;
    status st = train_evaluate(m, &a->o, &ev, e);
    if (st)
        return st;
    (a->json ? print_json : print_text)(m, &ev, nn_precision_names[a->o.precision], a->confusion);
    train_eval_done(&ev);
    return STATUS_OK;
}

static status certify(const struct args *a, struct train_model *m, struct errmsg *e)
{
    struct train_certify_result r;
    status st = train_certify(m, &a->certify, &r, e);
    if (st)
        return st;
    (a->json ? certify_print_json : certify_print)(&a->certify, &r);
    return STATUS_OK;
}

int cmd_eval(int argc, char **argv)
{
    struct args a = {.certify = train_certify_default(),
                     .precision = {nn_precision_names, NN_PREC_COUNT, 0}};
    a.precision.chosen = (int)a.o.precision;
    int rc = parse(&a, argc, argv);
    if (rc != CLI_GO)
        return rc;
    stop_install();
    struct errmsg e = {""};
    AUTO(train_model_free) struct train_model *m = NULL;
    status st = train_model_load(a.weights, &a.hint, &m, &e);
    if (!st)
        st = (a.certificate ? certify : evaluate)(&a, m, &e);
    return st ? cli_fail(st, &e) : 0;
}
