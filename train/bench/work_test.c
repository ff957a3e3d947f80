#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bench/fixture.h"

static const struct train_bench_options plain;

static struct train_bench_result run(struct train_bench *b)
{
    struct train_bench_result r = {.done = 0};
    struct errmsg e = {""};
    toy_good(train_bench_run(b, &r, &e), &e);
    return r;
}

static int count(const char *folder)
{
    char command[600], text[32] = "";
    snprintf(command, sizeof command, "ls '%s' 2>/dev/null | wc -l", toy_path(folder));
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    pclose(f);
    return (int)strtol(text, NULL, 10);
}

static void what_cells_share_is_made_once(void **state)
{
    (void)state;
    fixture_calls(NULL);
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "once", plain);
    struct train_bench_result r = run(b);
    assert_int_equal(r.cells, FIXTURE_CELLS);
    assert_int_equal(r.done, FIXTURE_CELLS);
    assert_int_equal(r.failed, 0);
    assert_int_equal(fixture_calls("protect "), 2);
    assert_int_equal(fixture_calls("purify "), 3);
    assert_int_equal(fixture_calls("train "), FIXTURE_CELLS);
    assert_int_equal(count("once/trees"), 0);
    assert_int_equal(count("once/runs"), 0);
    assert_int_equal(count("once/claims"), 0);
    run(b);
    assert_int_equal(fixture_calls("train "), FIXTURE_CELLS); /* none again */
}

static void trees_are_kept_on_request_and_while_others_read_them(void **state)
{
    (void)state;
    AUTO(train_bench_free)
    struct train_bench *b =
        fixture_open("m.ini", "keep", (struct train_bench_options){.keep = true});
    run(b);
    assert_int_equal(count("keep/trees"), 2 * 6); /* with their stamps */
    struct claim reader;
    const char *const needs[CLAIM_NEEDS_MAX] = {b->tree[1].id};
    assert_int_equal(
        claim_take(toy_path("keep/claims"), "reader", needs, CLAIM_STALE_S, &reader, NULL),
        STATUS_OK);
    b->keep = false;
    tree_remove_unneeded(b);
    assert_int_equal(count("keep/trees"), 2);
    assert_true(tree_ready(b, 1));
    claim_release(&reader);
    tree_remove_unneeded(b);
    assert_int_equal(count("keep/trees"), 0);
}

/* They are compared with the clean ones, then used like those that a command protected. */
static void protected_images_may_be_given(void **state)
{
    (void)state;
    static const char text[] =
        "[bench]\ndata = data\ntest = test\nprotections = theirs, others\n"
        "countermeasures = none, own\n[countermeasure own]\nprofile = own.ini\n"
        "[protection theirs]\ntree = theirs\n[protection others]\ntree = others\n";
    toy_tree("theirs", 2, 3, 8, 3, 5);
    toy_tree("others", 2, 2, 8, 3, 5); /* an image of each class is missing */
    toy_write("given.ini", text, sizeof text - 1);
    fixture_calls(NULL);
    AUTO(train_bench_free)
    struct train_bench *b =
        fixture_open("given.ini", "given", (struct train_bench_options){.keep = true});
    struct train_bench_result r = run(b);
    assert_int_equal(r.done, 2);
    assert_int_equal(r.failed, 2);
    assert_non_null(strstr(r.first_why, "/others: 4 images, not 6"));
    assert_int_equal(fixture_calls("purify "), 1);
    assert_int_equal(fixture_calls("protect "), 0);
    struct train_bench_cell c;
    struct errmsg e = {""};
    toy_good(train_bench_cell(b, 0, &c, &e), &e);
    assert_true(c.figure[TRAIN_BENCH_PSNR] > 0 && isfinite(c.figure[TRAIN_BENCH_PSNR]));
    assert_true(isnan(c.purify_s));
    toy_good(train_bench_cell(b, 1, &c, &e), &e);
    assert_true(c.purify_s >= 0 && isnan(c.tune_s));
}

/* Those that a tree was made of are gone when the last cell has its result. */
static void what_trees_took_is_known_when_they_are_gone(void **state)
{
    (void)state;
    static const char text[] = "[bench]\ndata = data\ntest = test\nprotections = lsp\n"
                               "countermeasures = own, other\n[countermeasure own]\n"
                               "profile = own.ini\n[countermeasure other]\nprofile = other.ini\n";
    toy_write("other.ini", "[purify]\nchain = jpeg\n", 22);
    toy_write("gone.ini", text, sizeof text - 1);
    AUTO(train_bench_free) struct train_bench *b = fixture_open("gone.ini", "gone", plain);
    assert_int_equal(run(b).done, 2);
    for (int i = 0; i < b->n_cells; i++) {
        json_t *j = NULL;
        assert_int_equal(bench_read(b, "results", b->cell[i].id, &j, NULL), STATUS_OK);
        const json_t *s = json_object_get(j, "seconds");
        for (const char *const *verb = (const char *const[]){"copy", "protect", "purify", NULL};
             *verb; verb++)
            if (!json_is_number(json_object_get(s, *verb)))
                fail_msg("%s %s is not known", b->matrix.countermeasure[i].name, *verb);
        json_decref(j);
    }
}

static void a_failing_child_fails_its_cells_alone(void **state)
{
    (void)state;
    toy_write("fail", "protect*lsp*", 12);
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "unlucky", plain);
    struct train_bench_result r = run(b);
    assert_int_equal(r.failed, 4);
    assert_int_equal(r.done, FIXTURE_CELLS - 4);
    assert_non_null(strstr(r.first_why, "no luck today"));
    assert_null(strstr(r.first_why, "relearn: no"));
    struct train_bench_cell c;
    assert_int_equal(train_bench_cell(b, 4, &c, NULL), STATUS_OK);
    assert_int_equal(c.state, TRAIN_BENCH_FAILED);
    assert_string_equal(c.why, "no luck today");
    assert_int_equal(unlink(toy_path("fail")), 0);
    r = run(b);
    assert_int_equal(r.failed, 0);
    assert_int_equal(r.done, FIXTURE_CELLS);
    assert_int_equal(count("unlucky/failed"), 0);
}

/* Of three images of each class two are protected, and the third is added. */
static void a_diluted_tree_has_clean_images_besides(void **state)
{
    (void)state;
    static const char text[] = "[bench]\ndata = data\ntest = test\nprotections = lsp\nimages = 4\n"
                               "countermeasures = own, diluted\nvictims = resnet8\n"
                               "[countermeasure own]\nprofile = own.ini\n"
                               "[countermeasure diluted]\nprofile = own.ini\ndilute = 2\n";
    toy_write("diluted.ini", text, sizeof text - 1);
    AUTO(train_bench_free)
    struct train_bench *b =
        fixture_open("diluted.ini", "diluted", (struct train_bench_options){.keep = true});
    assert_int_equal(run(b).done, 2);
    assert_int_equal(b->n_trees, 4);
    const struct bench_tree *t = &b->tree[3];
    assert_int_equal(t->kind, BENCH_DILUTED);
    assert_int_equal(b->tree[t->source].kind, BENCH_PURIFIED);
    AUTO(train_set_free) struct train_set *data = NULL;
    AUTO(train_set_free) struct train_set *set = NULL;
    AUTO(mem_free) char *dir = bench_path(b, "trees", t->id, "");
    struct digest want, got;
    struct errmsg e = {""};
    toy_good(tree_open(b, dir, 0, &set, &e), &e);
    toy_good(tree_open(b, b->data, 0, &data, &e), &e);
    toy_good(train_set_digest(set, &got, &e), &e);
    toy_good(train_set_digest(data, &want, &e), &e);
    assert_memory_equal(&got, &want, sizeof want); /* the toy's commands change no image */
    b->keep = false;
    tree_remove_unneeded(b);
    assert_int_equal(count("diluted/trees"), 0);
}

/* A process that runs the bench; its exit status is that of the run. */
static pid_t start(const char *out, int jobs)
{
    pid_t pid = fork();
    if (pid == 0) {
        stop_install();
        struct train_bench *b =
            fixture_open("m.ini", out, (struct train_bench_options){.jobs = jobs});
        struct train_bench_result r;
        status st = train_bench_run(b, &r, NULL);
        _exit(st ? status_exit(st) : r.failed != 0);
    }
    return pid;
}

static int end_of(pid_t pid)
{
    int how = 0;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

static void wait_until_it_hangs(void)
{
    for (int i = 0; !toy_there("hanging"); i++) {
        assert_true(i < 4000);
        usleep(5000);
    }
    unlink(toy_path("hanging"));
}

/* The description and figures of all cells' results. */
static void assert_same_results(const struct train_bench *a, const struct train_bench *b)
{
    for (int i = 0; i < FIXTURE_CELLS; i++) {
        json_t *x = NULL, *y = NULL;
        assert_int_equal(bench_read(a, "results", a->cell[i].id, &x, NULL), STATUS_OK);
        assert_int_equal(bench_read(b, "results", b->cell[i].id, &y, NULL), STATUS_OK);
        assert_true(
            json_equal(json_object_get(x, "description"), json_object_get(y, "description")));
        assert_true(json_equal(json_object_get(x, "figures"), json_object_get(y, "figures")));
        json_decref(x);
        json_decref(y);
    }
}

static void killed_in_any_part_it_goes_on(void **state)
{
    (void)state;
    static const char *const part[] = {"protect*lsp*", "purify*", "train*--seed 1*"};
    AUTO(train_bench_free) struct train_bench *whole = fixture_open("m.ini", "whole", plain);
    run(whole);
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        char out[16];
        snprintf(out, sizeof out, "killed%zu", i);
        toy_write("hang", part[i], strlen(part[i]));
        pid_t pid = start(out, 1);
        wait_until_it_hangs();
        kill(pid, SIGKILL);
        assert_int_equal(end_of(pid), 128 + SIGKILL);
        assert_int_equal(unlink(toy_path("hang")), 0);
        AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", out, plain);
        assert_true(fixture_done(b) < FIXTURE_CELLS);
        fixture_calls(NULL);
        int before = fixture_done(b);
        assert_int_equal(run(b).done, FIXTURE_CELLS);
        assert_int_equal(fixture_calls("train "), FIXTURE_CELLS - before);
        assert_same_results(whole, b);
        snprintf(out, sizeof out, "killed%zu/trees", i);
        assert_int_equal(count(out), 0);
    }
}

static void a_signal_stops_it_within_a_second(void **state)
{
    (void)state;
    toy_write("hang", "train*", 6);
    pid_t pid = start("stopped", 2);
    wait_until_it_hangs();
    uint64_t began = time_mono_ns();
    kill(pid, SIGTERM);
    assert_int_equal(end_of(pid), 130);
    assert_true(time_mono_ns() - began < UINT64_C(1500000000));
    assert_int_equal(unlink(toy_path("hang")), 0);
    assert_int_equal(count("stopped/claims"), 0);
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "stopped", plain);
    assert_int_equal(run(b).done, FIXTURE_CELLS);
}

static void processes_divide_the_cells(void **state)
{
    (void)state;
    enum { PROCESSES = 3 };
    pid_t pid[PROCESSES];
    fixture_calls(NULL);
    for (int i = 0; i < PROCESSES; i++)
        pid[i] = start("shared", 2);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(end_of(pid[i]), 0);
    assert_int_equal(fixture_calls("train "), FIXTURE_CELLS);
    assert_int_equal(fixture_calls("protect "), 2);
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "shared", plain);
    assert_int_equal(fixture_done(b), FIXTURE_CELLS);
    run(b);
    assert_int_equal(count("shared/trees"), 0);
}

/* At each sync there is: before a result has its name, after it has, between a tree and its stamp. */
static void ended_at_any_sync_it_goes_on(void **state)
{
    (void)state;
    AUTO(train_bench_free) struct train_bench *whole = fixture_open("m.ini", "synced", plain);
    run(whole);
    int crashed = 0;
    for (unsigned long n = 1; n < 1000; n = n < 8 ? n + 1 : n + n / 3) {
        pid_t pid = fork();
        if (pid == 0) {
            struct train_bench *b = fixture_open("m.ini", "crashed", plain);
            struct train_bench_result r;
            fault_set(FAULT_CRASH, n, 0, 0);
            _exit(train_bench_run(b, &r, NULL) ? 1 : 0);
        }
        int code = end_of(pid);
        assert_true(code == 0 || code == 99);
        crashed += code == 99;
        AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "crashed", plain);
        assert_int_equal(run(b).done, FIXTURE_CELLS);
        assert_same_results(whole, b);
        assert_int_equal(count("crashed/trees"), 0);
        assert_int_equal(count("crashed/runs"), 0);
        assert_int_equal(count("crashed/claims"), 0);
        assert_int_equal(count("crashed/results"), FIXTURE_CELLS);
        tree_remove_folder(toy_path("crashed"));
        if (code == 0)
            break;
    }
    assert_true(crashed > 8);
}

/* A write that fails fails cells, and the next call does them. */
static void a_full_disk_fails_what_it_meets(void **state)
{
    (void)state;
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "full", plain);
    struct train_bench_result r = {.done = 0};
    fault_set(FAULT_SYNC, 5, 7, ENOSPC);
    status st = train_bench_run(b, &r, NULL);
    fault_clear();
    assert_true(st || r.failed > 0);
    assert_int_equal(run(b).done, FIXTURE_CELLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cells_share_is_made_once),
        cmocka_unit_test(trees_are_kept_on_request_and_while_others_read_them),
        cmocka_unit_test(a_diluted_tree_has_clean_images_besides),
        cmocka_unit_test(protected_images_may_be_given),
        cmocka_unit_test(what_trees_took_is_known_when_they_are_gone),
        cmocka_unit_test(a_failing_child_fails_its_cells_alone),
        cmocka_unit_test(killed_in_any_part_it_goes_on),
        cmocka_unit_test(a_signal_stops_it_within_a_second),
        cmocka_unit_test(processes_divide_the_cells),
        cmocka_unit_test(ended_at_any_sync_it_goes_on),
        cmocka_unit_test(a_full_disk_fails_what_it_meets),
    };
    return cmocka_run_group_tests_name("bench work", tests, fixture_setup, toy_teardown);
}
