#include "params.h"
#include "train/train.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { OWN_MAX = 24 };

static json_t *params_json(const struct param_table *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n; i++) {
        AUTO(buf_done) struct buf wanted = BUF_INIT(4096);
        if (param_wanted(&t->row[i], &wanted) == STATUS_OK)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", t->row[i].key,
                                                  "default", t->row[i].standard, "value",
                                                  wanted.data, "about", t->row[i].about));
    }
    return list;
}

static void print_params(const struct param_table *t)
{
    for (int i = 0; i < t->n; i++) {
        AUTO(buf_done) struct buf help = BUF_INIT(4096);
        char name[64];
        cli_params_name(t->row[i].key, "", name);
        if (param_help(&t->row[i], &help) == STATUS_OK)
            printf("%-10s   --%s: %s\n", "", name, help.data);
    }
}

static int print_list(int json)
{
    const char *name, *summary;
    json_t *list = json ? json_array() : NULL;
    for (int i = 0; (name = train_protect_method(i, &summary)); i++) {
        const struct param_table *t = train_protect_params(i);
        if (json) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", name, "summary",
                                                  summary, "parameters", params_json(t)));
            continue;
        }
        printf("%-10s %s\n", name, summary);
        print_params(t);
    }
    if (json)
        cli_print_json(list);
    return 0;
}

/* -b has been the letter of --batch from the first. */
static void add_letters(struct cli_option *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, "batch") == 0)
            all[i].letter = 'b';
}

static const struct param_table *params_of(const char *method)
{
    const char *name;
    for (int i = 0; (name = train_protect_method(i, NULL)); i++)
        if (strcmp(name, method) == 0)
            return train_protect_params(i);
    return NULL;
}

static int print_result(const struct train_protect_options *o, const struct train_protect_result *r,
                        int json)
{
    if (json) {
        json_t *j =
            json_pack("{s:s, s:i, s:i, s:f, s:f, s:o, s:i, s:f}", "method", o->method, "images",
                      r->images, "protected", r->protected_images, "mean_l2", r->mean_l2, "max_abs",
                      r->max_abs, "psnr_db", cli_json_real(r->psnr_db), "rounds", r->rounds,
                      "surrogate_error", r->surrogate_error);
        if (r->rounds)
            json_object_set_new(j, "precision", json_string(nn_precision_names[r->precision]));
        cli_print_json(j);
        return 0;
    }
    if (r->protected_images < r->images)
        printf("%d of ", r->protected_images);
    printf("%d images protected with %s: mean L2 %.3f, largest %.1f/255, PSNR %.1f dB\n", r->images,
           o->method, r->mean_l2, 255 * r->max_abs, r->psnr_db);
    if (r->rounds)
        printf("surrogate error %.3f after %d rounds\n", r->surrogate_error, r->rounds);
    return 0;
}

static int run(const struct cli_spec *spec, struct train_protect_options *o,
               const struct cli_params *params, int json)
{
    const struct param_table *table = params_of(o->method);
    int rc = table ? cli_params_check(spec, params, o->method, table, "") : CLI_GO;
    if (rc != CLI_GO)
        return rc;
    struct param_arg given[CLI_PARAMS_MAX];
    o->n_params = cli_params_given(params, given);
    o->param = given;
    stop_install();
    struct errmsg e = {""};
    struct train_protect_result r;
    status st = train_protect(o, &r, &e);
    return st ? cli_fail(st, &e) : print_result(o, &r, json);
}

struct args {
    struct train_protect_options o;
    struct cli_params params;
    const char *quantise;
    int force, skip_bad, quiet, json, list, kept;
};

/* What is given together: CLI_GO, or an exit status. */
static int take(const struct cli_spec *spec, struct args *a, char **place, int places)
{
    struct train_protect_options *o = &a->o;
    if (o->delta_file && o->method)
        return cli_usage_error(spec, "--apply is a method of its own: leave out --method");
    o->method = o->delta_file ? "apply" : o->method;
    if (!o->method || places != 2)
        return cli_usage_error(spec, "--method or --apply, SRC and DST are needed");
    if (!(o->fraction > 0) || o->fraction > 1)
        return cli_usage_error(spec, "--fraction must be above 0 and at most 1");
    enum train_quantise q;
    if (a->quantise && train_quantise_parse(a->quantise, &q))
        return cli_usage_error(
            spec, "--quantise must be round, truncate or positive-half, not '%s'", a->quantise);
    if (a->quantise)
        o->quantise = (int)q;
    o->src_dir = place[0];
    o->dst_dir = place[1];
    o->discard = !a->kept;
    o->force = a->force;
    o->skip_bad = a->skip_bad;
    o->quiet = a->quiet;
    return CLI_GO;
}

/* The options that all methods have, then those of each; how many there are. */
static size_t options_of(struct args *a, struct cli_option *out, size_t room)
{
    struct train_protect_options *o = &a->o;
    const struct cli_option own[] = {
        {"method", 'm', CLI_STRING, &o->method, "NAME", "see --list"},
        {"apply", 0, CLI_STRING, &o->delta_file, "FILE",
         "add the perturbation of FILE (.safetensors, .pt, .npy or .npz) instead"},
        {"list", 0, CLI_FLAG, &a->list, NULL, "list the methods, each with what it takes"},
        {"seed", 's', CLI_U64, &o->seed, "N", "default 0"},
        {"eps", 0, CLI_DOUBLE, &o->eps, "X", "strength in grey levels; default the method's own"},
        {"quantise", 0, CLI_STRING, &a->quantise, "RULE", "round, truncate or positive-half"},
        {"fraction", 0, CLI_DOUBLE, &o->fraction, "X",
         "protect this part of each class's images; the others stay as they are (default 1)"},
        {"after", 0, CLI_DOUBLE, &o->after, "X",
         "leave out the first part X, which --fraction X protects with the same seed"},
        {"classes", 0, CLI_STRING, &o->classes, "LIST",
         "protect images of these classes alone (names parted by commas)"},
        {"limit", 'n', CLI_INT, &o->limit, "N", "at most N images, balanced over classes"},
        {"size", 0, CLI_INT, &o->size, "N", "resize every image to NxN"},
        {"channels", 0, CLI_INT, &o->channels, "N", "convert to 1 (grey) or 3 (colour) channels"},
        {"perturbation", 0, CLI_FLAG, &a->kept, NULL,
         "keep what was added beside DST: the default; --no-perturbation does not"},
        {"skip-bad", 0, CLI_FLAG, &a->skip_bad, NULL, "leave out files that do not decode"},
        {"threads", 'j', CLI_INT, &o->threads, "N", "default: all CPUs"},
        {"force", 0, CLI_FLAG, &a->force, NULL,
         "write into a DST that is not empty, replace what is there"},
        {"quiet", 'q', CLI_FLAG, &a->quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print the result as JSON"},
    };
    static_assert(ARRAY_LEN(own) <= OWN_MAX, "there is no room for these rows");
    for (int i = 0; train_protect_method(i, NULL); i++)
        cli_params_add(&a->params, train_protect_method(i, NULL), train_protect_params(i), "");
    size_t n = cli_options_join(own, ARRAY_LEN(own), &a->params, out, room);
    add_letters(out, n);
    return n;
}

int cmd_protect(int argc, char **argv)
{
    struct args a = {.o = {.quantise = -1, .fraction = 1}, .kept = 1};
    struct cli_option options[OWN_MAX + CLI_PARAMS_MAX];
    size_t n = options_of(&a, options, ARRAY_LEN(options));
    const struct cli_spec spec = {"relearn protect",
                                  "--method NAME | --apply FILE SRC DST",
                                  "Writes an unlearnable version of the ImageFolder tree SRC to "
                                  "DST, as PNG. What was added, if\n"
                                  "anything was, is kept beside it in "
                                  "DST.perturbation.safetensors. Images may differ in size with\n"
                                  "lsp, ar and cuda; the other methods need --size then.",
                                  options,
                                  n,
                                  0,
                                  2};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (a.list)
        return print_list(a.json);
    rc = take(&spec, &a, argv + first, argc - first);
    return rc == CLI_GO ? run(&spec, &a.o, &a.params, a.json) : rc;
}
