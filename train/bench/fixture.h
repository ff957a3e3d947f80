#ifndef TRAIN_BENCH_FIXTURE_H
#define TRAIN_BENCH_FIXTURE_H
/*
 * For tests: a matrix with three protections and two countermeasures, toy images, and a program in
 * the place of relearn that notes its command line in `calls`, copies trees, and prints an accuracy.
 * A file `fail` or `hang` has a pattern: what matches it fails, or never ends. Include after
 * <cmocka.h>.
 */
#include "bench/work.h"
#include "toy.h"

static const char fixture_program[] =
    "#!/bin/bash\n"
    "cd \"${0%/*}\" || exit 9\n"
    "exec 3>>calls; flock 3; echo \"$*\" >&3; exec 3>&-\n"
    "if [ -e fail ] && [[ \"$*\" == $(cat fail) ]]; then\n"
    "    echo 'first line' >&2; echo 'relearn: no luck today' >&2; exit 1\n"
    "fi\n"
    "if [ -e hang ] && [[ \"$*\" == $(cat hang) ]]; then\n"
    "    echo >hanging; exec sleep 1000\n"
    "fi\n"
    "if [ \"$1\" = train ]; then\n"
    "    echo '{\"test_accuracy\": 0.5, \"best_test_accuracy\": 0.75, \"best_epoch\": 3,'\n"
    "    echo '\"train_accuracy\": 0.875, \"train_loss\": 0.1}'\n"
    "else\n"
    "    mkdir -p \"${@: -1}\" && cp -r \"${@: -2:1}\"/. \"${@: -1}\"\n"
    "fi\n";

static const char fixture_matrix[] =
    "[bench]\ndata = data\ntest = test\nprotections = clean, lsp, ops\n"
    "countermeasures = none, own\nvictims = resnet8\nseeds = 0, 1\n"
    "[countermeasure own]\nprofile = own.ini\n"
    "[train]\nepochs = 2\n";

enum { FIXTURE_CELLS = 12 };

__attribute__((unused)) static int fixture_setup(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("data", 2, 3, 8, 3, 1);
    toy_tree("test", 2, 2, 8, 3, 2);
    toy_write("own.ini", "[purify]\nchain = grey\n", 22);
    toy_write("m.ini", fixture_matrix, sizeof fixture_matrix - 1);
    toy_write("program", fixture_program, sizeof fixture_program - 1);
    return chmod(toy_path("program"), 0755);
}

/* A bench in a folder of its own; m is the matrix's name. */
__attribute__((unused)) static struct train_bench *fixture_open(const char *m, const char *out,
                                                                struct train_bench_options o)
{
    struct train_bench *b = NULL;
    struct errmsg e = {""};
    o.matrix = toy_path(m);
    o.out_dir = toy_path(out);
    o.program = toy_path("program");
    o.threads = 1;
    o.quiet = true;
    toy_good(train_bench_open(&o, &b, &e), &e);
    return b;
}

/* How many command lines since the last reset have this beginning; NULL resets. */
__attribute__((unused)) static int fixture_calls(const char *beginning)
{
    if (!beginning) {
        toy_write("calls", "", 0);
        return 0;
    }
    size_t len;
    char *text = toy_read(toy_path("calls"), &len);
    int n = 0;
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at != NULL)
        n += strncmp(at, beginning, strlen(beginning)) == 0;
    mem_free(text);
    return n;
}

__attribute__((unused)) static int fixture_done(const struct train_bench *b)
{
    int n = 0;
    for (int i = 0; i < train_bench_cells(b); i++) {
        struct train_bench_cell c;
        struct errmsg e = {""};
        toy_good(train_bench_cell(b, i, &c, &e), &e);
        n += c.state == TRAIN_BENCH_DONE;
    }
    return n;
}

#endif
