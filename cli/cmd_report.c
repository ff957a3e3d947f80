#include "cli.h"
#include "train/train.h"

#include <string.h>

/* "A,B,C" cut in place at its commas; false unless it has three parts. */
static int split_sheet(char *text, struct train_report_options *o)
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

int cmd_report(int argc, char **argv)
{
    struct train_report_options o = {.out_file = NULL};
    const char *sheet = NULL;
    struct cli_list fact = {{0}, 0};
    int force = 0, json = 0;
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, &o.out_file, "FILE", "the HTML page; default report.html"},
        {"title", 0, CLI_STRING, &o.title, "TEXT", "its title"},
        {"fact", 0, CLI_LIST, &fact, "KEY=VALUE", "a row of the table of facts; may be repeated"},
        {"sheet", 0, CLI_STRING, &sheet, "CLEAN,PROTECTED,PURIFIED",
         "three trees for a contact sheet"},
        {"columns", 0, CLI_INT, &o.sheet_columns, "N", "images in the sheet; default 10"},
        {"force", 0, CLI_FLAG, &force, NULL, "replace FILE"},
        {"json", 0, CLI_FLAG, &json, NULL, "print the result as JSON"},
    };
    const struct cli_spec spec = {"relearn report",
                                  "[--out FILE] [RUNDIR…]",
                                  "Writes one self-contained HTML page about training runs.",
                                  options,
                                  ARRAY_LEN(options),
                                  0,
                                  -1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    AUTO(mem_free) char *sheet_text = sheet ? mem_strdup(sheet) : NULL;
    if (sheet && (!sheet_text || !split_sheet(sheet_text, &o)))
        return cli_usage_error(&spec, "--sheet takes three directories joined by commas");
    for (int i = 0; i < fact.n; i++)
        if (!strchr(fact.item[i], '='))
            return cli_usage_error(&spec, "--fact takes KEY=VALUE, not '%s'", fact.item[i]);
    if (argc == first && !sheet && !fact.n)
        return cli_usage_error(&spec, "nothing to report");
    if (!o.out_file)
        o.out_file = "report.html";
    o.run_dirs = (const char *const *)argv + first;
    o.n_runs = argc - first;
    o.facts = fact.item;
    o.n_facts = fact.n;
    stop_install();
    struct errmsg e = {""};
    status st = cli_output_check(o.out_file, CLI_OUTPUT_FILE, force, &e);
    if (!st)
        st = train_report(&o, &e);
    if (st)
        return cli_fail(st, &e);
    if (json)
        cli_print_json(json_pack("{s:s, s:i}", "file", o.out_file, "runs", o.n_runs));
    else
        printf("%s\n", o.out_file);
    return 0;
}
