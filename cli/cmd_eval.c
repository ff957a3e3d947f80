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

/* "a" for all channels or "a,b,c"; false when it is neither. */
static int parse_scaling(const char *text, float out[TRAIN_CHANNELS_MAX])
{
    int n = 0;
    while (n < TRAIN_CHANNELS_MAX) {
        char *end;
        out[n++] = strtof(text, &end);
        if (end == text || (*end && *end != ','))
            return 0;
        if (!*end)
            break;
        text = end + 1;
    }
    for (int c = 1; n == 1 && c < TRAIN_CHANNELS_MAX; c++)
        out[c] = out[0];
    return 1;
}

struct args {
    struct train_eval_options o;
    struct train_model_hint hint;
    struct cli_choice precision;
    const char *weights, *mean, *std;
    float mean_value[TRAIN_CHANNELS_MAX], std_value[TRAIN_CHANNELS_MAX];
    int skip_bad, confusion, quiet, json;
};

/* What was parsed, into the options of the library: CLI_GO, or an exit status. */
static int take(struct args *a, const struct cli_spec *spec)
{
    if (!a->o.data.dir || !a->weights)
        return cli_usage_error(spec, "--data and --weights are needed");
    if ((a->mean && !parse_scaling(a->mean, a->mean_value)) ||
        (a->std && !parse_scaling(a->std, a->std_value)))
        return cli_usage_error(spec, "--mean and --std take one number or one for each channel");
    a->hint.mean = a->mean ? a->mean_value : NULL;
    a->hint.std = a->std ? a->std_value : NULL;
    a->hint.size = a->o.data.size;
    a->o.data.skip_bad = a->skip_bad;
    a->o.precision = (enum nn_precision)a->precision.chosen;
    a->o.quiet = a->quiet;
    return CLI_GO;
}

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
        {"arch", 'a', CLI_STRING, &a->hint.arch, "NAME",
         "for weights that do not say: the network"},
        {"channels", 0, CLI_INT, &a->hint.shape.channels, "N", "for weights that do not say"},
        {"classes", 0, CLI_INT, &a->hint.shape.classes, "N", "for weights that do not say"},
        {"mean", 0, CLI_STRING, &a->mean, "X[,X,X]", "the network sees (pixel/255 - mean) / std"},
        {"std", 0, CLI_STRING, &a->std, "X[,X,X]", "see --mean"},
        {"quiet", 'q', CLI_FLAG, &a->quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print a JSON object"},
    };
    const struct cli_spec spec = {
        "relearn eval",
        "--data DIR --weights FILE [OPTION…]",
        "Measures a classifier's accuracy on an ImageFolder tree. Weights may be those of a run, "
        "or a\nclassifier that others trained with PyTorch: its names are translated where it is "
        "one of ours\n(relearn train --list); say --size, and --mean and --std where it scales "
        "pixels otherwise.\n" CLI_PRECISION_ABOUT,
        options,
        ARRAY_LEN(options),
        0,
        0};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    return rc == CLI_GO ? take(a, &spec) : rc;
}

int cmd_eval(int argc, char **argv)
{
    struct args a = {.precision = {nn_precision_names, NN_PREC_COUNT, 0}};
    a.precision.chosen = (int)a.o.precision;
    int rc = parse(&a, argc, argv);
    if (rc != CLI_GO)
        return rc;
    stop_install();
    struct errmsg e = {""};
    AUTO(train_model_free) struct train_model *m = NULL;
    struct train_eval ev;
    status st = train_model_load(a.weights, &a.hint, &m, &e);
    if (!st)
        st = train_evaluate(m, &a.o, &ev, &e);
    if (st)
        return cli_fail(st, &e);
    (a.json ? print_json : print_text)(m, &ev, nn_precision_names[a.o.precision], a.confusion);
    train_eval_done(&ev);
    return 0;
}
