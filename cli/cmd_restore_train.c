/* relearn restore train */
#include "cmd_restore.h"
#include "fit_args.h"

#include <math.h>
#include <string.h>

struct args {
    struct train_restore_options o;
    struct fit_args fit;
    const char *width, *pairs;
    double coherence, noise, noise_share, pair_share, pair_transfer;
    int list;
};

static struct args args_new(void)
{
    struct train_restore_options o = train_restore_default();
    return (struct args){.o = o,
                         .coherence = (double)o.coherence,
                         .noise = (double)o.noise,
                         .noise_share = (double)o.noise_share,
                         .pair_share = (double)o.pair_share,
                         .pair_transfer = (double)o.pair_transfer};
}

enum { OWN_ROWS = 15 };
static size_t own_options(struct args *a, struct cli_option *out)
{
    const struct cli_option rows[OWN_ROWS] = {
        {"from", 0, CLI_STRING, &a->o.fit.from, "FILE",
         "start from these weights; the network is theirs"},
        {"size", 0, CLI_INT, &a->o.size, "N",
         "side in pixels; larger images are cropped; default 32"},
        {"channels", 0, CLI_INT, &a->o.cfg.in_channels, "N", "1 or 3; default as the first image"},
        {"width", 0, CLI_STRING, &a->width, "A,B,…",
         "channels of each level, multiples of 32; default 64,96,128"},
        {"blocks", 0, CLI_INT, &a->o.cfg.blocks, "N", "residual blocks of a level; default 2"},
        {"families", 0, CLI_STRING, &a->o.families, "NAME:SHARE,…",
         "what is put on images; default all, as in --list"},
        {"group", 0, CLI_INT, &a->o.group, "N",
         "images of a batch with one perturbation, or pairs of one folder; default 4"},
        {"coherence", 0, CLI_DOUBLE, &a->coherence, "X",
         "weight of what is left alike in a group; default 1"},
        {"noise", 0, CLI_DOUBLE, &a->noise, "X",
         "noise is added of up to X grey levels (deviation), which the network is to find as well"},
        {"noise-share", 0, CLI_DOUBLE, &a->noise_share, "X",
         "groups that noise is added to; default 0.5"},
        {"pairs", 0, CLI_STRING, &a->pairs, "CLEAN,PROTECTED",
         "two trees of the same images, with and without"},
        {"pair-limit", 0, CLI_INT, &a->o.pair_limit, "N",
         "at most N pairs, evenly spaced over their paths"},
        {"pair-share", 0, CLI_DOUBLE, &a->pair_share, "X",
         "groups made of pairs, not of families; default 0.8"},
        {"pair-transfer", 0, CLI_DOUBLE, &a->pair_transfer, "X",
         "of these, those of one pair's perturbation on other images; default 0.5"},
        {"list", 0, CLI_FLAG, &a->list, NULL, "list the families"},
    };
    memcpy(out, rows, sizeof rows);
    return ARRAY_LEN(rows);
}

/* What was parsed, into the options of the library: CLI_GO, or an exit status. *out_text owns what
   the options then refer to. */
static int take(struct args *a, const struct cli_spec *spec, char **out_text)
{
    struct train_restore_options *o = &a->o;
    if (!o->fit.data_dir || !o->fit.out_file)
        return cli_usage_error(spec, "--data and --out are needed");
    if (a->width && !(o->cfg.levels = fit_args_list(a->width, o->cfg.width, PURIFY_LEVELS_MAX)))
        return cli_usage_error(spec, "--width takes up to %d numbers", PURIFY_LEVELS_MAX);
    if (a->pairs) {
        char *comma = (*out_text = mem_strdup(a->pairs)) ? strchr(*out_text, ',') : NULL;
        if (!comma || comma == *out_text || !comma[1] || strchr(comma + 1, ','))
            return cli_usage_error(spec, "--pairs takes two trees: CLEAN,PROTECTED");
        *comma = 0;
        o->pairs_clean = *out_text;
        o->pairs_protected = comma + 1;
    }
    o->coherence = (float)a->coherence;
    o->noise = (float)a->noise;
    o->noise_share = (float)a->noise_share;
    o->pair_share = (float)a->pair_share;
    o->pair_transfer = (float)a->pair_transfer;
    fit_args_take(&a->fit);
    return CLI_GO;
}

static int print_list(int json)
{
    const struct train_family *family;
    json_t *all = json_array();
    for (int i = 0; (family = train_family_at(i)); i++) {
        if (!json)
            printf("  %-15s %3.0f  %s\n", family->name, family->share, family->summary);
        json_array_append_new(all, json_pack("{s:s, s:s, s:f}", "name", family->name, "summary",
                                             family->summary, "share", family->share));
    }
    if (json)
        cli_print_json(json_pack("{s:o}", "families", all));
    else
        json_decref(all);
    return 0;
}

static void print_families(const struct train_restore_result *r)
{
    puts("removed of each family (of what is alike in a group; left, grey levels):");
    for (int i = 0; i < r->families; i++) {
        const struct train_restore_family *f = &r->family[i];
        printf("  %-15s", f->name);
        if (isfinite(f->removed))
            printf(" %6.1f %%", 100 * f->removed);
        else
            printf(" %8s", "");
        if (isfinite(f->removed_coherent))
            printf("  (%6.1f %%;", 100 * f->removed_coherent);
        else
            printf("  (%8s;", "");
        printf(" %5.2f)\n", f->rest);
    }
}

static int print_result(const struct fit_args *fit, const struct train_restore_result *r)
{
    if (!fit->json) {
        print_families(r);
        fit_result_print(fit, &r->fit);
        return 0;
    }
    json_t *families = json_object(), *result = fit_result_json(fit, &r->fit);
    for (int i = 0; i < r->families; i++) {
        const struct train_restore_family *f = &r->family[i];
        json_object_set_new(families, f->name,
                            json_pack("{s:I, s:o, s:o, s:f}", "images", (json_int_t)f->images,
                                      "removed", cli_json_real(f->removed), "coherent",
                                      cli_json_real(f->removed_coherent), "rest", f->rest));
    }
    json_object_set_new(result, "families", families);
    cli_print_json(result);
    return 0;
}

static int run_training(const struct args *a)
{
    struct errmsg e = {""};
    struct train_restore_result r;
    status st = fit_args_check_output(&a->fit, &e);
    stop_install();
    if (!st)
        st = train_restore_run(&a->o, &r, &e);
    return st ? cli_fail(st, &e) : print_result(&a->fit, &r);
}

int cmd_restore_train(int argc, char **argv)
{
    struct cli_option options[FIT_ROWS_MAX + OWN_ROWS];
    struct args a = args_new();
    fit_args_init(&a.fit, &a.o.fit);
    size_t n = fit_args_rows(&a.fit, options);
    n += own_options(&a, options + n);
    const struct cli_spec spec = {
        "relearn restore train",
        "--data DIR --out FILE [OPTION…]",
        "Trains a restorer: a network that predicts what a protection added to an image. It learns "
        "from\nunprotected images with perturbations of known families put on, so it knows the "
        "kinds of\npublished protections, not their keys. With --pairs it also learns from images "
        "that are there\nboth clean and protected.\n" CLI_PRECISION_ABOUT,
        options,
        n,
        0,
        0};
    AUTO(mem_free) char *text = NULL;
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc == CLI_GO && a.list)
        return print_list(a.fit.json);
    if (rc == CLI_GO)
        rc = take(&a, &spec, &text);
    return rc == CLI_GO ? run_training(&a) : rc;
}
