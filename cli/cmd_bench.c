/* relearn bench: a table of experiments. */
#include "cli.h"
#include "shipped.h"
#include "train/train.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/banned.h"

struct benching {
    struct train_bench_options o;
    char *matrix; /* its path */
    struct cli_choice figure;
    int keep, quiet, list, table, csv, json;
};

static int print_list_json(const struct train_bench *b, struct errmsg *e)
{
    AUTO(buf_done) struct buf out = BUF_INIT((size_t)64 << 20);
    status st = train_bench_table(b, TRAIN_BENCH_JSON, TRAIN_BENCH_LAST, &out, e);
    if (st)
        return cli_fail(st, e);
    fputs(out.data, stdout);
    return 0;
}

static void print_count(const int count[TRAIN_BENCH_STATE_COUNT], int cells, double left)
{
    printf("%d cells: %d done, %d open, %d claimed, %d failed", cells, count[TRAIN_BENCH_DONE],
           count[TRAIN_BENCH_OPEN], count[TRAIN_BENCH_CLAIMED], count[TRAIN_BENCH_FAILED]);
    if (isfinite(left) && left > 0)
        printf(left < 120 ? "; about %.0f s of training left" : "; about %.0f min of training left",
               left < 120 ? left : left / 60);
    printf("\n");
}

static int print_list(const struct train_bench *b, int json)
{
    struct errmsg e = {""};
    int count[TRAIN_BENCH_STATE_COUNT] = {0}, n = train_bench_cells(b);
    if (json)
        return print_list_json(b, &e);
    for (int i = 0; i < n; i++) {
        struct train_bench_cell c;
        status st = train_bench_cell(b, i, &c, &e);
        if (st)
            return cli_fail(st, &e);
        count[c.state]++;
        printf("%-8s %s %s %s %" PRIu64, train_bench_states[c.state], c.protection,
               c.countermeasure, c.victim, c.seed);
        if (c.state == TRAIN_BENCH_DONE)
            printf(": %.1f %%", 100 * c.figure[TRAIN_BENCH_LAST]);
        else if (c.why[0])
            printf(": %s", TEXT_SHOWN(c.why));
        printf("\n");
    }
    print_count(count, n, train_bench_time_left(b));
    return 0;
}

static int print_table(const struct benching *a, const struct train_bench *b)
{
    struct errmsg e = {""};
    AUTO(buf_done) struct buf out = BUF_INIT((size_t)64 << 20);
    status st = train_bench_table(b,
                                  a->json  ? TRAIN_BENCH_JSON
                                  : a->csv ? TRAIN_BENCH_CSV
                                           : TRAIN_BENCH_MARKDOWN,
                                  (enum train_bench_figure)a->figure.chosen, &out, &e);
    if (st)
        return cli_fail(st, &e);
    fputs(out.data, stdout);
    return 0;
}

static int run(const struct benching *a, struct train_bench *b)
{
    struct errmsg e = {""};
    struct train_bench_result r = {.done = 0};
    status st = train_bench_run(b, &r, &e);
    if (st == STATUS_CANCELLED) {
        fprintf(stderr, "relearn: stopped with %d of %d cells done (the same command goes on)\n",
                r.done, r.cells);
        return status_exit(st);
    }
    if (st)
        return cli_fail(st, &e);
    int rc = print_table(a, b);
    if (r.failed)
        fprintf(stderr, "relearn: %d of %d cells failed (the same command tries them again): %s\n",
                r.failed, r.cells, TEXT_SHOWN(r.first_why));
    return r.failed ? 1 : rc;
}

/* clang-format off */
static const char about[] =
    "Measures a table of experiments: what a victim learns of each protection behind each countermeasure.\n"
    "Each protection, countermeasure, victim and seed of a matrix file is a cell, whose figure is the\n"
    "accuracy on clean test images. relearn-matrix(5) says what the file looks like, and what DIR then\n"
    "holds; table1, table2, table3, table5, table6, pairs and torch come with the program.\n"
    "Cells that are measured are not measured again, and whatever ends it, the same command goes on. Several may\n"
    "run on one DIR, also on hosts that share it: they divide the cells. Exit status 1: a cell failed; the\n"
    "others are done, and the same command tries it again.";
/* clang-format on */

static int parse(struct benching *a, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"preset", 0, CLI_STRING, &a->o.preset, "NAME", "of the matrix: what it says goes first"},
        {"data", 'd', CLI_STRING, &a->o.data_dir, "DIR", "clean training images"},
        {"test", 't', CLI_STRING, &a->o.test_dir, "DIR", "clean test images"},
        {"out", 'o', CLI_STRING, &a->o.out_dir, "DIR",
         "where all is kept; default bench-NAME of NAME.ini"},
        {"cache", 'c', CLI_STRING, &a->o.cache_dir, "DIR",
         "of the purifier, on a local file system; default cache in --out"},
        {"cells", 0, CLI_STRING, &a->o.cells, "PATTERN",
         "only those: a pattern of 'PROTECTION COUNTERMEASURE VICTIM SEED', such as 'lsp *' or "
         "'@(lsp|emn) * 0'"},
        {"jobs", 0, CLI_INT, &a->o.jobs, "N", "cells at a time; default 1"},
        {"threads", 'j', CLI_INT, &a->o.threads, "N", "of all of them; default: all CPUs"},
        {"list", 0, CLI_FLAG, &a->list, NULL,
         "only say which cells are done, open, claimed, failed"},
        {"table", 0, CLI_FLAG, &a->table, NULL, "only print the table of what is measured"},
        {"figure", 0, CLI_CHOICE, &a->figure, "NAME",
         "of the table: last (accuracy after the last epoch), best, train (on training images), "
         "psnr, coherent (what images of a class have in common of their difference to the clean "
         "ones)"},
        {"csv", 0, CLI_FLAG, &a->csv, NULL, "print the table as CSV, with all figures"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print table and cells as JSON"},
        {"keep", 0, CLI_FLAG, &a->keep, NULL, "keep images that cells share"},
        CLI_ROW_QUIET(a->quiet),
    };
    const struct cli_spec spec = {
        "relearn bench", "[OPTION]… MATRIX.ini|NAME", about, options, ARRAY_LEN(options), 1, 1};
    int first, rc = cli_parse(&spec, argc, argv, &first);
    if (rc != CLI_GO)
        return rc;
    if (a->list && a->table)
        return cli_usage_error(&spec, "--list or --table, not both");
    if (a->csv && (a->json || a->list))
        return cli_usage_error(&spec, "--csv is of the table, and in place of --json");
    struct errmsg e = {""};
    status st = shipped_file(argv[first], "matrices", "ini", &a->matrix, &e);
    if (st)
        return cli_fail(st, &e);
    a->o.matrix = a->matrix;
    a->o.keep = a->keep;
    a->o.quiet = a->quiet;
    return CLI_GO;
}

static int bench(struct benching *a)
{
    stop_install();
    stop_waits_for("what runs has been told to stop");
    struct errmsg e = {""};
    AUTO(train_bench_free) struct train_bench *b = NULL;
    status st = train_bench_open(&a->o, &b, &e);
    if (st)
        return cli_fail(st, &e);
    if (a->list)
        return print_list(b, a->json);
    return a->table ? print_table(a, b) : run(a, b);
}

int cmd_bench(int argc, char **argv)
{
    struct benching a = {.figure = {train_bench_figures, TRAIN_BENCH_FIGURE_COUNT, 0},
                         .o = {.program = "/proc/self/exe"}};
    int rc = parse(&a, argc, argv);
    if (rc == CLI_GO)
        rc = bench(&a);
    mem_free(a.matrix);
    return rc;
}
