#include "cli.h"
#include "train/train.h"

#include <string.h>

enum { SHEETS_MAX = 16 };

/* "A,B,C" cut in place at its commas; false unless it has three parts. */
static int split_sheet(char *text, struct train_report_sheet *o)
{
    char *second = strchr(text, ','), *third = second ? strchr(second + 1, ',') : NULL;
    if (!third || strchr(third + 1, ','))
        return 0;
    *second++ = 0;
    *third++ = 0;
    o->clean_dir = text;
    o->protected_dir = second;
    o->purified_dir = third;
    return 1;
}

struct args {
    struct train_report_options o;
    struct cli_list fact, sheet, protected, purified, clean;
    int force, json;
    const char **runs; /* the RUNDIRs, and those that an option says the kind of */
    char *sheet_text[SHEETS_MAX];
    struct train_report_sheet sheets[SHEETS_MAX];
};

static int take_sheets(struct args *a, const struct cli_spec *spec)
{
    if (a->sheet.n > SHEETS_MAX)
        return cli_usage_error(spec, "--sheet may be given %d times", SHEETS_MAX);
    for (int i = 0; i < a->sheet.n; i++) {
        a->sheet_text[i] = mem_strdup(a->sheet.item[i]);
        if (!a->sheet_text[i] || !split_sheet(a->sheet_text[i], &a->sheets[i]))
            return cli_usage_error(spec, "--sheet takes three directories joined by commas");
    }
    a->o.sheets = a->sheets;
    a->o.n_sheets = a->sheet.n;
    if (a->o.lpips_file && !a->sheet.n)
        return cli_usage_error(spec, "--lpips measures what --sheet shows");
    return CLI_GO;
}

static void add_run(struct args *a, const char *dir)
{
    for (int i = 0; i < a->o.n_runs; i++)
        if (strcmp(a->runs[i], dir) == 0)
            return;
    a->runs[a->o.n_runs++] = dir;
}

static int take_runs(struct args *a, int argc, char **argv)
{
    const struct cli_list *const said[] = {&a->protected, &a->purified, &a->clean};
    int n = argc;
    for (size_t k = 0; k < ARRAY_LEN(said); k++)
        n += said[k]->n;
    a->runs = mem_zalloc((size_t)n + 1, sizeof *a->runs);
    if (!a->runs)
        return cli_fail(STATUS_NOMEM, NULL);
    for (int i = 0; i < argc; i++)
        add_run(a, argv[i]);
    for (size_t k = 0; k < ARRAY_LEN(said); k++)
        for (int i = 0; i < said[k]->n; i++)
            add_run(a, said[k]->item[i]);
    a->o.run_dirs = a->runs;
    a->o.roles = (struct train_report_roles){.protected_dirs = a->protected.item,
                                             .n_protected = a->protected.n,
                                             .purified_dirs = a->purified.item,
                                             .n_purified = a->purified.n,
                                             .clean_dirs = a->clean.item,
                                             .n_clean = a->clean.n};
    return CLI_GO;
}

static int take(struct args *a, const struct cli_spec *spec, int argc, char **argv)
{
    for (int i = 0; i < a->fact.n; i++)
        if (!strchr(a->fact.item[i], '='))
            return cli_usage_error(spec, "--fact takes KEY=VALUE, not '%s'", a->fact.item[i]);
    a->o.facts = a->fact.item;
    a->o.n_facts = a->fact.n;
    if (!a->o.out_file)
        a->o.out_file = "report.html";
    int rc = take_sheets(a, spec);
    if (rc == CLI_GO)
        rc = take_runs(a, argc, argv);
    if (rc == CLI_GO && !a->o.n_runs && !a->sheet.n && !a->fact.n)
        return cli_usage_error(spec, "nothing to report");
    return rc;
}

static int write_report(struct args *a)
{
    struct errmsg e = {""};
    stop_install();
    status st = cli_output_check(a->o.out_file, CLI_OUTPUT_FILE, a->force, &e);
    if (!st)
        st = train_report(&a->o, &e);
    if (st)
        return cli_fail(st, &e);
    if (a->json)
        cli_print_json(json_pack("{s:s, s:i}", "file", a->o.out_file, "runs", a->o.n_runs));
    else
        printf("%s\n", a->o.out_file);
    return 0;
}

/* clang-format off */
static const char about[] =
    "Writes one self-contained HTML page about training runs. It shows what networks learned from\n"
    "protected, purified and clean images and how much of what a protection took is recovered, the\n"
    "curves, what test images were taken for, a table of the runs, also as CSV, and what exactly was\n"
    "done. Runs that differ in nothing but the seed are shown as one, with mean and standard deviation.\n\n"
    "A run says itself whether a mount or relearn purify purified its images or relearn protect made\n"
    "them; images of a run are protected, too, when another run's were purified from them, and otherwise\n"
    "count as clean. --protected, --purified and --clean say it of runs that do not. What runs of older versions took test images for,\n"
    "relearn eval --json --confusion --data TEST --weights RUNDIR/weights.safetensors > RUNDIR/test.json\n"
    "tells.";
/* clang-format on */

int cmd_report(int argc, char **argv)
{
    struct args a = {.force = 0};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, &a.o.out_file, "FILE", "the HTML page; default report.html"},
        {"title", 0, CLI_STRING, &a.o.title, "TEXT", "its title"},
        {"protected", 0, CLI_LIST, &a.protected, "RUNDIR", "a run on protected images"},
        {"purified", 0, CLI_LIST, &a.purified, "RUNDIR", "a run on purified images"},
        {"clean", 0, CLI_LIST, &a.clean, "RUNDIR", "a run on clean images"},
        {"fact", 0, CLI_LIST, &a.fact, "KEY=VALUE", "a row of the table of facts; may be repeated"},
        {"sheet", 0, CLI_LIST, &a.sheet, "CLEAN,PROTECTED,PURIFIED",
         "three trees for a contact sheet, with PSNR and SSIM; may be repeated"},
        {"columns", 0, CLI_INT, &a.o.sheet_columns, "N", "images in the sheet; default 10"},
        {"lpips", 0, CLI_STRING, &a.o.lpips_file, "FILE",
         "measure sheets by this distance, too (relearn model import --lpips)"},
        {"force", 0, CLI_FLAG, &a.force, NULL, "replace FILE"},
        {"json", 0, CLI_FLAG, &a.json, NULL, "print the result as JSON"},
    };
    const struct cli_spec spec = {
        "relearn report", "[--out FILE] [RUNDIRâ¦]", about, options, ARRAY_LEN(options), 0, -1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc == CLI_GO)
        rc = take(&a, &spec, argc - first, argv + first);
    if (rc == CLI_GO)
        rc = write_report(&a);
    mem_free(a.runs);
    for (int i = 0; i < SHEETS_MAX; i++)
        mem_free(a.sheet_text[i]);
    return rc;
}
