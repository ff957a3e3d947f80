#ifndef TRAIN_TOY_FIT_H
#define TRAIN_TOY_FIT_H
/* For tests of trainings by steps: every test in each precision that this CPU has, and runs in a
   process of their own, which may crash. Include after <cmocka.h>. */
#include "toy.h"

#include <sys/wait.h>

static enum nn_precision precision; /* of the tests under way */

/* A training into `out` of the scratch directory, as the test program does it in a process of its
   own. */
typedef status toy_fit_fn(const char *out, bool resume, struct errmsg *e);

/* argv: child DIR OUT resume|fresh PRECISION */
static int toy_fit_child(char **argv, toy_fit_fn *run)
{
    snprintf(toy_root, sizeof toy_root, "%s", argv[2]);
    precision = (enum nn_precision)strtol(argv[5], NULL, 10);
    struct errmsg e = {""};
    status st = run(argv[3], strcmp(argv[4], "resume") == 0, &e);
    if (st)
        fprintf(stderr, "child: %s\n", e.text);
    return st != STATUS_OK;
}

/* The exit status of such a process; fault as RELEARN_FAULT has it, or NULL. */
static int toy_fit_spawn(const char *out, const char *how, const char *fault)
{
    char precision_text[16];
    snprintf(precision_text, sizeof precision_text, "%d", (int)precision);
    pid_t pid = fork();
    if (pid == 0) {
        if (fault)
            setenv("RELEARN_FAULT", fault, 1);
        execl("/proc/self/exe", "test", "child", toy_root, out, how, precision_text, (char *)NULL);
        _exit(127);
    }
    int ws;
    assert_int_equal(waitpid(pid, &ws, 0), pid);
    assert_true(WIFEXITED(ws));
    return WEXITSTATUS(ws);
}

/* A run that crashed after its 10th step and went on is the one that did not, which `run` does. */
static void toy_fit_assert_resumes(toy_fit_fn *run)
{
    struct errmsg e = {""};
    toy_good(run("whole.safetensors", false, &e), &e);
    toy_good(run("again.safetensors", false, &e), &e);
    toy_assert_same_file(toy_path("whole.safetensors"), toy_path("again.safetensors"));
    assert_int_equal(toy_fit_spawn("crash.safetensors", "fresh", "crash:5"), 99);
    assert_int_equal(toy_fit_spawn("crash.safetensors", "resume", NULL), 0);
    toy_assert_same_file(toy_path("whole.safetensors"), toy_path("crash.safetensors"));
}

/* main() of a test program: of a child, or of n tests. */
static int toy_fit_main(int argc, char **argv, toy_fit_fn *run, const char *name,
                        const struct CMUnitTest *tests, size_t n, CMFixtureFunction set_up)
{
    if (argc == 6 && strcmp(argv[1], "child") == 0)
        return toy_fit_child(argv, run);
    int failed = 0;
    for (precision = 0; precision < NN_PREC_COUNT; precision++)
        if (nn_precision_supported(NULL, precision)) {
            print_message("# in %s\n", nn_precision_names[precision]);
            failed += _cmocka_run_group_tests(name, tests, n, set_up, toy_teardown);
        }
    return failed;
}

#endif
