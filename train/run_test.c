#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toy.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static enum nn_precision precision; /* every test runs in each that this CPU has */

static struct train_options options(const char *out)
{
    struct train_options o = train_options_default();
    o.data_dir = toy_path("train");
    o.test_dir = toy_path("test");
    o.out_dir = toy_path(out);
    o.arch = "resnet8";
    o.epochs = 4;
    o.batch = 16;
    o.pad = 1;
    o.flip = false;
    o.seed = 11;
    o.precision = precision;
    o.threads = 1; /* such small steps gain nothing from more */
    o.quiet = true;
    return o;
}

static struct train_options staged_options(const char *out)
{
    static const struct param_arg arg[] = {{"rise", "1.05"}, /* so low that it acts */
                                           {"rollbacks", "1"}};
    struct train_options o = options(out);
    o.recipe = "staged";
    o.recipe_arg = arg;
    o.n_recipe_args = ARRAY_LEN(arg);
    o.probe = 32;
    return o;
}

static struct train_options sal_options(const char *out)
{
    struct train_options o = options(out);
    o.epochs = 4;
    o.sal = true;
    o.sal_images = 12;
    return o;
}

/* Acts whatever it finds. */
static struct train_options detect_options(const char *out)
{
    static const struct param_arg arg[] = {{"from", "0"}};
    struct train_options o = options(out);
    o.recipe = "detect";
    o.recipe_arg = arg;
    o.n_recipe_args = ARRAY_LEN(arg);
    return o;
}

static struct train_options disentangle_options(const char *out)
{
    static const struct param_arg arg[] = {{"epochs", "1"}, {"batch", "16"}, {"width", "4"}};
    struct train_options o = options(out);
    o.recipe = "disentangle";
    o.recipe_arg = arg;
    o.n_recipe_args = ARRAY_LEN(arg);
    return o;
}

static status run_fails(struct train_options o, const char *says)
{
    struct train_result r;
    struct errmsg e = {""};
    return toy_bad(train_run(&o, &r, &e), &e, says);
}

static int make_data(void **state)
{
    if (toy_setup(state))
        return -1;
    toy_tree("train", 4, 24, 12, 1, 1);
    toy_tree("test", 4, 10, 12, 1, 2);
    return 0;
}

/* Line `epoch` of log.jsonl (counting from 0), for json_decref. */
static json_t *log_line(const char *out, int line)
{
    char name[64];
    snprintf(name, sizeof name, "%s/log.jsonl", out);
    size_t len;
    char *text = toy_read(toy_path(name), &len), *at = text;
    for (; line > 0 && at; line--) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    json_t *j = at && *at ? json_loads(at, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    mem_free(text);
    return j;
}

static void learns_a_separable_set(void **state)
{
    (void)state;
    struct train_options o = options("learn");
    o.epochs = 8;
    struct train_result r = toy_run(o);
    if (!(r.test_accuracy > .95))
        fail_msg("test accuracy %g", r.test_accuracy);
    assert_true(r.best_test_accuracy >= r.test_accuracy);
    json_t *last = log_line("learn", 7);
    assert_int_equal(json_integer_value(json_object_get(last, "epoch")), 8);
    assert_true(json_real_value(json_object_get(last, "test_accuracy")) == r.test_accuracy);
    json_decref(last);
    assert_null(log_line("learn", 8));
    /* What was saved is what was measured. */
    struct train_model *m = NULL;
    struct train_eval ev;
    struct errmsg e = {""};
    assert_int_equal(train_model_load(toy_path("learn/weights.safetensors"), NULL, &m, &e),
                     STATUS_OK);
    struct train_eval_options eo = {
        .data = {.dir = toy_path("test")}, .precision = precision, .quiet = true};
    assert_int_equal(train_evaluate(m, &eo, &ev, &e), STATUS_OK);
    assert_true(train_eval_accuracy(&ev) == r.test_accuracy);
    train_eval_done(&ev);
    train_model_free(m);
}

static void the_same_run_gives_the_same_bits(void **state)
{
    (void)state;
    toy_run(options("whole"));
    toy_run(options("again"));
    struct train_options two[2] = {options("two"), options("two-again")};
    for (int i = 0; i < 2; i++) {
        two[i].threads = 2;
        two[i].epochs = 1;
        toy_run(two[i]);
    }
    toy_assert_same_file(toy_path("two/weights.safetensors"),
                         toy_path("two-again/weights.safetensors"));
    toy_assert_same_file(toy_path("whole/weights.safetensors"),
                         toy_path("again/weights.safetensors"));
    struct train_options o = options("other");
    o.seed++;
    toy_run(o);
    size_t na, nb;
    void *a = toy_read(toy_path("whole/weights.safetensors"), &na);
    void *b = toy_read(toy_path("other/weights.safetensors"), &nb);
    assert_true(na != nb || memcmp(a, b, na) != 0);
    mem_free(a);
    mem_free(b);
}

/* ---- interruption: this program runs itself ---- */

/* argv: child DIR OUT RECIPE|tested|sal resume|fresh milliseconds PRECISION */
static int child(char **argv)
{
    snprintf(toy_root, sizeof toy_root, "%s", argv[2]);
    precision = (enum nn_precision)strtol(argv[7], NULL, 10);
    static const struct {
        const char *name;
        struct train_options (*options)(const char *out);
    } of[] = {{"staged", staged_options},
              {"detect", detect_options},
              {"disentangle", disentangle_options},
              {"sal", sal_options}};
    struct train_options o = options(argv[3]);
    for (size_t i = 0; i < ARRAY_LEN(of); i++)
        if (strcmp(argv[4], of[i].name) == 0)
            o = of[i].options(argv[3]);
    if (strcmp(argv[4], "tested") != 0 && strcmp(argv[4], "sal") != 0)
        o.recipe = argv[4];
    o.resume = strcmp(argv[5], "resume") == 0;
    if (strcmp(argv[4], "tested") == 0)
        o.test_dir = toy_path("much");
    struct train_result r;
    struct errmsg e = {""};
    stop_install();
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGINT}; /* Ctrl-C */
    long ms = strtol(argv[6], NULL, 10);
    struct itimerspec it = {.it_value = {ms / 1000, ms % 1000 * 1000000}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &it, NULL))
        return 52;
    status st = train_run(&o, &r, &e);
    if (st && st != STATUS_CANCELLED)
        fprintf(stderr, "child: %s: %s\n", status_text(st), e.text);
    return st == STATUS_CANCELLED ? 50 : st ? 51 : 0;
}

static int spawn(const char *out, const char *recipe, const char *how, int ms, const char *fault)
{
    char ms_text[16], precision_text[16];
    snprintf(ms_text, sizeof ms_text, "%d", ms);
    snprintf(precision_text, sizeof precision_text, "%d", (int)precision);
    pid_t pid = fork();
    if (pid == 0) {
        if (fault)
            setenv("RELEARN_FAULT", fault, 1);
        execl("/proc/self/exe", "run_test", "child", toy_root, out, recipe, how, ms_text,
              precision_text, (char *)NULL);
        _exit(127);
    }
    int ws;
    assert_int_equal(waitpid(pid, &ws, 0), pid);
    assert_true(WIFEXITED(ws));
    return WEXITSTATUS(ws);
}

/* Stopped before the first step there is nothing to resume. */
static const char *how_to_go_on(const char *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s/checkpoint.safetensors", out);
    return toy_there(name) ? "resume" : "fresh";
}

static void interrupted_runs_end_with_the_same_bits(void **state)
{
    (void)state;
    int rc = spawn("stopped", "standard", "fresh", 60, NULL), stops = rc == 50;
    for (int ms = 80; rc == 50; ms += 20) {
        rc = spawn("stopped", "standard", how_to_go_on("stopped"), ms, NULL);
        stops += rc == 50;
    }
    assert_int_equal(rc, 0);
    print_message("# stopped %d times\n", stops);
    toy_assert_same_file(toy_path("whole/weights.safetensors"),
                         toy_path("stopped/weights.safetensors"));
}

/* The log without what a clock said. */
static char *log_text(const char *out)
{
    struct buf text = BUF_INIT(1 << 20);
    json_t *j;
    for (int line = 0; (j = log_line(out, line)); line++) {
        json_object_del(j, "seconds");
        json_object_del(j, "ended");
        json_object_del(j, "images_per_s");
        char *one = json_dumps(j, JSON_SORT_KEYS);
        assert_int_equal(buf_addf(&text, "%s\n", one), STATUS_OK);
        free(one);
        json_decref(j);
    }
    return text.data;
}

/* Most of the time goes into the test after each epoch, so that is where most stops fall. */
static void a_stop_while_testing_loses_no_epoch(void **state)
{
    (void)state;
    toy_tree("much", 4, 400, 12, 1, 5);
    struct train_options o = options("much-whole");
    o.test_dir = toy_path("much");
    toy_run(o);
    int rc = spawn("much-stopped", "tested", "fresh", 100, NULL), between = 0;
    for (int ms = 120; rc == 50; ms += 20) {
        const char *how = how_to_go_on("much-stopped");
        struct nn_file *f = NULL;
        if (*how == 'r') {
            assert_int_equal(
                nn_file_open(toy_path("much-stopped/checkpoint.safetensors"), &f, NULL), STATUS_OK);
            between += strcmp(nn_file_meta(f, "run.batch"), "6") == 0; /* 96 images, 16 a step */
            nn_file_close(f);
        }
        rc = spawn("much-stopped", "tested", how, ms, NULL);
    }
    assert_int_equal(rc, 0);
    print_message("# stopped %d times while it was tested\n", between);
    toy_assert_same_file(toy_path("much-whole/weights.safetensors"),
                         toy_path("much-stopped/weights.safetensors"));
    char *whole = log_text("much-whole"), *stopped = log_text("much-stopped");
    assert_string_equal(whole, stopped);
    mem_free(whole);
    mem_free(stopped);
}

static void crashed_runs_end_with_the_same_bits(void **state)
{
    (void)state;
    static const char *const recipe[] = {"standard", "staged"};
    toy_run(staged_options("whole-st"));
    for (int k = 0; k < 2; k++)
        for (int sync = 2; sync < 30; sync += 9) { /* a file syncs twice */
            char fault[32];
            snprintf(fault, sizeof fault, "crash:%d", sync);
            const char *out = k ? "crash-st" : "crash";
            toy_mkdir(out);
            nftw(toy_path(out), toy_remove_one, 16, FTW_DEPTH | FTW_PHYS);
            int rc = spawn(out, recipe[k], "fresh", 0, fault);
            if (rc == 99)
                rc = spawn(out, recipe[k], "resume", 0, NULL);
            assert_int_equal(rc, 0);
            char weights[64];
            snprintf(weights, sizeof weights, "%s/weights.safetensors", out);
            toy_assert_same_file(
                toy_path(k ? "whole-st/weights.safetensors" : "whole/weights.safetensors"),
                toy_path(weights));
            /* no line twice, none lost */
            for (int line = 0; line < 4 + k; line++) {
                json_t *j = log_line(out, line);
                assert_int_equal(json_integer_value(json_object_get(j, "epoch")), line + 1 - k);
                json_decref(j);
            }
            assert_null(log_line(out, 4 + k));
        }
}

static bool same_weights(const char *a, const char *b)
{
    size_t na, nb;
    void *da = toy_read(toy_path(a), &na), *db = toy_read(toy_path(b), &nb);
    bool same = na == nb && memcmp(da, db, na) == 0;
    mem_free(da);
    mem_free(db);
    return same;
}

/* Whatever a recipe does in its hooks, and whatever it keeps between steps. */
static void every_recipe_resumes_with_the_same_bits(void **state)
{
    (void)state;
    const struct train_recipe *recipe;
    int recipes = 0;
    for (int i = 0; (recipe = train_recipe_at(i)); i++, recipes++) {
        char whole[64], crashed[64], a[96], b[96];
        snprintf(whole, sizeof whole, "every-%s", recipe->name);
        snprintf(crashed, sizeof crashed, "every-%s-crashed", recipe->name);
        assert_int_equal(spawn(whole, recipe->name, "fresh", 0, NULL), 0);
        assert_int_equal(spawn(crashed, recipe->name, "fresh", 0, "crash:13"), 99);
        assert_int_equal(spawn(crashed, recipe->name, "resume", 0, NULL), 0);
        snprintf(a, sizeof a, "%s/weights.safetensors", whole);
        snprintf(b, sizeof b, "%s/weights.safetensors", crashed);
        toy_assert_same_file(toy_path(a), toy_path(b));
        assert_true(same_weights(a, "whole/weights.safetensors") ==
                    (strcmp(recipe->name, "standard") == 0));
    }
    assert_true(recipes >= 6);
    json_t *acted = log_line("every-detect", 3); /* it had something to do again */
    assert_true(json_is_true(json_object_get(acted, "broken")));
    json_decref(acted);
}

/* ---- staged ---- */

static void staged_runs_log_measure_and_control(void **state)
{
    (void)state;
    int signals = 0, rollbacks = 0, slowed = 0;
    for (int line = 0; line < 5; line++) {
        json_t *j = log_line("whole-st", line);
        assert_non_null(j);
        const json_t *acm = json_object_get(j, "acm");
        assert_int_equal(json_array_size(acm), 3);
        for (size_t s = 0; s < 3; s++)
            assert_true(json_real_value(json_array_get(acm, s)) > 0);
        for (size_t s = 0; s < 3 && line > 0; s++) {
            signals += json_is_true(json_array_get(json_object_get(j, "signal"), s));
            slowed += json_real_value(json_array_get(json_object_get(j, "scale"), s)) < 1;
        }
        rollbacks += json_is_true(json_object_get(j, "rollback"));
        json_decref(j);
    }
    assert_true(signals > 0);
    assert_true(slowed > 0);
    assert_int_equal(rollbacks, 1);
}

static void acm_can_be_watched_without_control(void **state)
{
    (void)state;
    struct train_options o = options("watch");
    o.acm = true;
    o.epochs = 4;
    toy_run(o);
    /* Watching changes nothing. */
    toy_assert_same_file(toy_path("whole/weights.safetensors"),
                         toy_path("watch/weights.safetensors"));
    json_t *j = log_line("watch", 2);
    assert_int_equal(json_array_size(json_object_get(j, "acm")), 3);
    assert_null(json_object_get(j, "scale"));
    json_decref(j);
}

/* ---- sharpness of layers ---- */

static void sal_is_logged_of_each_layer_and_changes_nothing(void **state)
{
    (void)state;
    toy_run(sal_options("sharp"));
    toy_assert_same_file(toy_path("whole/weights.safetensors"),
                         toy_path("sharp/weights.safetensors"));
    double last = -1;
    for (int line = 0; line < 4; line++) {
        json_t *j = log_line("sharp", line), *sal = json_object_get(j, "sal");
        assert_int_equal(json_object_size(sal), 10);
        double conv = json_real_value(json_object_get(sal, "layer1.0.conv1"));
        assert_true(conv > 0 && conv != last); /* of this epoch's weights */
        assert_true(json_real_value(json_object_get(sal, "fc")) > 0);
        last = conv;
        json_decref(j);
    }
    assert_null(log_line("sharp", 4));
    json_t *j = log_line("whole", 0);
    assert_null(json_object_get(j, "sal"));
    json_decref(j);
}

/* Most of the time goes into the measurement, so that is where the stop falls. */
static void a_stop_while_sal_is_measured_loses_no_epoch(void **state)
{
    (void)state;
    int rc = spawn("sharp-stopped", "sal", "fresh", 400, NULL), stops = rc == 50;
    for (int ms = 900; rc == 50; ms += 500) {
        rc = spawn("sharp-stopped", "sal", how_to_go_on("sharp-stopped"), ms, NULL);
        stops += rc == 50;
    }
    assert_int_equal(rc, 0);
    print_message("# stopped %d times\n", stops);
    toy_assert_same_file(toy_path("whole/weights.safetensors"),
                         toy_path("sharp-stopped/weights.safetensors"));
    char *whole = log_text("sharp"), *stopped = log_text("sharp-stopped");
    assert_string_equal(whole, stopped);
    mem_free(whole);
    mem_free(stopped);
}

/* ---- refusals ---- */

static void refuses_contradictions(void **state)
{
    (void)state;
    struct train_options o = options("whole");
    assert_int_equal(run_fails(o, "--resume"), STATUS_EXISTS);
    o.resume = true;
    o.lr = .05f;
    assert_int_equal(run_fails(o, "\"lr\""), STATUS_INVALID);
    o = options("nowhere");
    o.resume = true;
    assert_int_equal(run_fails(o, "nothing to resume"), STATUS_NOT_FOUND);
    o = options("x");
    o.arch = "resnet9000";
    run_fails(o, "resnet9000");
    o = options("x");
    o.recipe = "prayer";
    run_fails(o, "prayer");
    static const struct param_arg wrong[] = {{"slow", "1"}}, unknown[] = {{"fast", "1"}};
    o = options("x");
    o.recipe = "staged";
    o.recipe_arg = wrong;
    o.n_recipe_args = 1;
    assert_int_equal(run_fails(o, "recipe staged: slow"), STATUS_INVALID);
    o.recipe_arg = unknown;
    run_fails(o, "rise, slow, floor, rollbacks");
    o.recipe = "standard";
    run_fails(o, "recipe standard: unknown key");
    o = staged_options("whole-st");
    o.resume = true;
    o.recipe_arg = NULL;
    o.n_recipe_args = 0;
    assert_int_equal(run_fails(o, "\"rise\" 1.05"), STATUS_INVALID);
    o = options("x");
    o.augment = "polish";
    run_fails(o, "polish");
    assert_false(toy_there("x"));
    o = options("x");
    o.epochs = 0;
    run_fails(o, "positive");
    toy_tree("test3", 3, 2, 12, 1, 3);
    toy_tree("test8", 4, 2, 8, 1, 3);
    o = options("x");
    o.test_dir = toy_path("test3");
    run_fails(o, "3 classes");
    o.test_dir = toy_path("test8");
    run_fails(o, "8x8");
    o.test_dir = NULL;
    o.data_dir = toy_path("gone");
    run_fails(o, "gone");
}

/* Fails in the first epoch, when the one image of another size is met. */
static void what_fails_leaves_nothing(void **state)
{
    (void)state;
    uint8_t pixels[16 * 16] = {0};
    toy_tree("odd", 4, 8, 12, 1, 1);
    toy_image("odd/d/007.png", 16, 16, 1, pixels);
    struct train_options o = options("deep/odd-run");
    o.data_dir = toy_path("odd");
    run_fails(o, "--size");
    assert_false(toy_there("deep"));
    o.recipe = "staged";
    run_fails(o, "--size");
    assert_false(toy_there("deep"));
    o.size = 12;
    toy_run(o); /* nothing is in the way */

    o = options("replaced");
    o.epochs = 1;
    toy_run(o);
    static const char *const kept[] = {"replaced/weights.safetensors", "replaced/config.json",
                                       "replaced/log.jsonl"};
    void *before[3];
    size_t len[3], now;
    for (int i = 0; i < 3; i++)
        before[i] = toy_read(toy_path(kept[i]), &len[i]);
    o.data_dir = toy_path("odd");
    o.force = true;
    run_fails(o, "--size");
    for (int i = 0; i < 3; i++) {
        void *after = toy_read(toy_path(kept[i]), &now);
        assert_int_equal(now, len[i]);
        assert_memory_equal(after, before[i], now);
        mem_free(after);
        mem_free(before[i]);
    }
    o.size = 12;
    toy_run(o);
    assert_false(toy_there("replaced/weights.safetensors.replaced"));
}

static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct train_options o = options("disk/run");
    for (unsigned long n = 1; n <= 3; n++) { /* config.json, the log, the checkpoint */
        fault_set(FAULT_WRITE, n, 1, ENOSPC);
        status st = run_fails(o, "no space left");
        fault_clear();
        assert_int_equal(st, STATUS_NO_SPACE);
        assert_false(toy_there("disk"));
    }
}

/* The options that the configuration gives back are those that the run was started with. */
static void assert_same_options(const struct train_options *o, const struct train_options *got)
{
    char data[PATH_MAX], test[PATH_MAX];
    assert_string_equal(got->data_dir, realpath(o->data_dir, data));
    assert_string_equal(got->test_dir, realpath(o->test_dir, test));
    assert_string_equal(got->out_dir, o->out_dir);
    assert_string_equal(got->arch, o->arch);
    assert_string_equal(got->recipe, o->recipe);
    assert_true(got->resume);
    assert_int_equal(got->epochs, o->epochs);
    assert_int_equal(got->batch, o->batch);
    assert_true(got->lr == o->lr && got->momentum == o->momentum && got->clip == o->clip &&
                got->weight_decay == o->weight_decay);
    assert_int_equal(got->warmup, o->warmup);
    assert_int_equal(got->pad, o->pad);
    assert_int_equal(got->flip, o->flip);
    assert_string_equal(got->augment, o->augment);
    assert_true(got->seed == o->seed);
    assert_int_equal(got->limit, o->limit);
    assert_int_equal(got->test_limit, o->test_limit);
    assert_int_equal(got->size, o->size);
    assert_int_equal(got->channels, o->channels);
    assert_int_equal(got->skip_bad, o->skip_bad);
    assert_int_equal(got->precision, o->precision);
    assert_int_equal(got->threads, o->threads);
    assert_int_equal(got->acm, o->acm);
    assert_int_equal(got->test_every, o->test_every);
    assert_int_equal(got->probe, o->probe);
    assert_int_equal(got->sal, o->sal);
    assert_int_equal(got->sal_images, o->sal_images);
    static const struct param_arg params[] = {
        {"rise", "1.05"}, {"slow", "0.1"}, {"floor", "0.001"}, {"rollbacks", "1"}};
    assert_int_equal(got->n_recipe_args, ARRAY_LEN(params));
    for (int i = 0; i < got->n_recipe_args; i++) {
        assert_string_equal(got->recipe_arg[i].key, params[i].key);
        assert_true(strtod(got->recipe_arg[i].value, NULL) == strtod(params[i].value, NULL));
    }
}

static void a_runs_options_are_in_its_config(void **state)
{
    (void)state;
    struct train_options o = staged_options("odd-options");
    o.epochs = 2;
    o.lr = .03f;
    o.momentum = .8f;
    o.weight_decay = 1e-3f;
    o.clip = 2;
    o.warmup = 3;
    o.seed = 12345678901234567890u;
    o.limit = 60;
    o.test_limit = 20;
    o.size = 11;
    o.channels = 3;
    o.skip_bad = true;
    o.augment = "noise:sigma=3,grey";
    o.test_every = 0;
    o.acm = true;
    o.sal = true;
    o.sal_images = 3;
    toy_run(o);
    struct train_config *c = NULL;
    struct errmsg e = {""};
    toy_good(train_config_open(toy_path("odd-options"), &c, &e), &e);
    struct train_options got = train_config_options(c);
    assert_same_options(&o, &got);
    got.quiet = true;
    toy_run(got); /* a finished run agrees with itself */
    got.augment = NULL;
    assert_int_equal(run_fails(got, "\"augment\" \"noise:sigma=3,grey\""), STATUS_INVALID);
    got.augment = o.augment;
    got.test_limit = 8;
    assert_int_equal(run_fails(got, "\"test_limit\" 20"), STATUS_INVALID);
    train_config_free(c);
    assert_int_equal(train_config_open(toy_path("nowhere"), &c, &e), STATUS_NOT_FOUND);
}

/*
 * Runs of before recipes had tables: the same layout, and "probe" once more among the recipe's
 * options. The checkpoint's keys are those of then as well.
 */
static void runs_of_before_recipes_had_tables_resume(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "run.epoch",  "run.batch",  "run.log_bytes",     "st.start.0",   "st.start.2",
        "st.scale.0", "st.scale.2", "st.rollbacks_left", "st.signalled", "architecture"};
    int rc = spawn("before", "staged", "fresh", 0, "crash:11");
    assert_int_equal(rc, 99);
    json_t *config = json_load_file(toy_path("before/config.json"), 0, NULL);
    json_t *j = json_object_get(config, "options"), *staged = json_object_get(j, "staged");
    assert_int_equal(json_object_size(staged), 4);
    assert_int_equal(json_object_set_new(staged, "probe", json_integer(32)), 0);
    assert_int_equal(json_object_del(j, "probe"), 0);
    assert_int_equal(json_object_del(j, "augment"), 0);
    assert_int_equal(json_dump_file(config, toy_path("before/config.json"), 0), 0);
    json_decref(config);
    struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(toy_path("before/checkpoint.safetensors"), &f, NULL), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!nn_file_meta(f, keys[i]))
            fail_msg("no \"%s\"", keys[i]);
    nn_file_close(f);
    struct train_config *c = NULL;
    struct errmsg e = {""};
    toy_good(train_config_open(toy_path("before"), &c, &e), &e);
    struct train_options o = train_config_options(c);
    assert_int_equal(o.probe, 32);
    o.quiet = true;
    toy_run(o);
    train_config_free(c);
    toy_assert_same_file(toy_path("whole-st/weights.safetensors"),
                         toy_path("before/weights.safetensors"));
}

/* The rate falls by half a cosine from what was asked for; each option of the optimiser counts. */
static void the_optimiser_does_what_it_is_told(void **state)
{
    (void)state;
    for (int e = 1; e <= 4; e++) { /* of "whole": lr .1, 4 epochs */
        json_t *j = log_line("whole", e - 1);
        double want = .1 * .5 * (1 + cos(3.14159265358979323846 * (e - 1) / 4));
        double got = json_real_value(json_object_get(j, "lr"));
        if (!(fabs(got / want - 1) < 1e-6))
            fail_msg("epoch %d: %g, not %g", e, got, want);
        json_decref(j);
    }
    struct train_options o = options("warm");
    o.warmup = 12; /* of 24 steps: the third epoch begins at the full rate */
    toy_run(o);
    json_t *j = log_line("warm", 1);
    double got = json_real_value(json_object_get(j, "lr"));
    double want = .1 * .5 * (1 + cos(3.14159265358979323846 / 4)) * 7 / 12; /* step 6 */
    assert_true(fabs(got / want - 1) < 1e-6);
    json_decref(j);
    assert_false(same_weights("warm/weights.safetensors", "whole/weights.safetensors"));
    for (int i = 0; i < 5; i++) {
        o = options("told");
        o.force = true;
        o.weight_decay = i == 0 ? .01f : o.weight_decay;
        o.momentum = i == 1 ? .5f : o.momentum;
        o.clip = i == 2 ? .01f : o.clip;
        o.flip = i == 3;
        o.pad = i == 4 ? 2 : o.pad;
        toy_run(o);
        if (same_weights("told/weights.safetensors", "whole/weights.safetensors"))
            fail_msg("option %d changes nothing", i);
    }
}

/* As a mount shows it, in its root only. */
static void a_run_records_what_purified_its_images(void **state)
{
    (void)state;
    static const char said[] =
        "{\"mountpoint\":\"/m\",\"source\":\"/s\",\"version\":\"7.7\",\"pid\":1,"
        "\"profile\":{\"name\":\"mine\",\"id\":\"abc\",\"chain\":\"jcdp\",\"weights\":"
        "[{\"file\":\"m\",\"sha256\":\"ff\"}]}}";
    static const char protection[] =
        "{\"method\":\"lsp\",\"eps\":8.0,\"filters\":[[1,2],[3,4]],\"seed\":3}";
    toy_tree("mount/sub/train", 4, 6, 12, 1, 1);
    toy_mkdir("mount/.relearn");
    toy_write("mount/.relearn/status.json", said, sizeof said - 1);
    toy_write("mount/.relearn/profile.ini", "[purify]\n", 9);
    toy_write("mount/sub/train/protection.json", protection, sizeof protection - 1);
    struct train_options o = options("origin");
    o.data_dir = toy_path("mount/sub/train");
    o.epochs = 1;
    toy_run(o);
    json_t *c = json_load_file(toy_path("origin/config.json"), 0, NULL);
    json_t *by = json_object_get(c, "purified_by");
    assert_string_equal(json_string_value(json_object_get(by, "profile")), "mine");
    assert_string_equal(json_string_value(json_object_get(by, "profile_id")), "abc");
    assert_string_equal(json_string_value(json_object_get(by, "version")), "7.7");
    assert_string_equal(json_string_value(json_object_get(by, "chain")), "jcdp");
    assert_string_equal(json_string_value(json_object_get(by, "profile_text")), "[purify]\n");
    assert_int_equal(json_array_size(json_object_get(by, "weights")), 1);
    assert_string_equal(json_string_value(json_object_get(by, "mountpoint")), "/m");
    const json_t *protected_by = json_object_get(c, "protected_by");
    assert_string_equal(json_string_value(json_object_get(protected_by, "method")), "lsp");
    assert_int_equal(json_integer_value(json_object_get(protected_by, "seed")), 3);
    assert_null(json_object_get(protected_by, "filters"));
    assert_non_null(strstr(json_string_value(json_object_get(c, "machine")), "CPU"));
    json_decref(c);
    c = json_load_file(toy_path("whole/config.json"), 0, NULL);
    assert_null(json_object_get(c, "purified_by"));
    assert_null(json_object_get(c, "protected_by"));
    assert_string_equal(json_string_value(json_object_get(c, "version")), RELEARN_VERSION);
    json_decref(c);
}

static void a_run_records_what_purified_a_tree(void **state)
{
    (void)state;
    static const char said[] = "{\"source\":\"/s\",\"version\":\"7.8\",\"profile_text\":\"[x]\\n\","
                               "\"profile\":{\"name\":\"mine\",\"id\":\"abc\",\"chain\":\"grey\"}}";
    toy_tree("pure/train", 4, 6, 12, 1, 1);
    toy_write("pure.purification.json", said, sizeof said - 1);
    struct train_options o = options("pure-origin");
    o.data_dir = toy_path("pure/train");
    o.epochs = 1;
    toy_run(o);
    json_t *c = json_load_file(toy_path("pure-origin/config.json"), 0, NULL);
    const json_t *by = json_object_get(c, "purified_by");
    assert_string_equal(json_string_value(json_object_get(by, "source")), "/s");
    assert_string_equal(json_string_value(json_object_get(by, "profile")), "mine");
    assert_string_equal(json_string_value(json_object_get(by, "version")), "7.8");
    assert_string_equal(json_string_value(json_object_get(by, "profile_text")), "[x]\n");
    json_decref(c);
}

/* The matrix of the last test: its rows are the test images of each class, its diagonal those that
   the log counts as right. */
static void a_run_keeps_what_its_test_images_were_taken_for(void **state)
{
    (void)state;
    struct train_options o = options("matrix");
    o.test_dir = toy_path("five");
    o.epochs = 2;
    toy_tree("five", 4, 5, 12, 1, 9);
    toy_run(o);
    json_t *t = json_load_file(toy_path("matrix/test.json"), 0, NULL);
    json_t *line = log_line("matrix", 1);
    const json_t *m = json_object_get(t, "confusion");
    json_int_t right = 0;
    assert_int_equal(json_integer_value(json_object_get(t, "epoch")), 2);
    assert_int_equal(json_integer_value(json_object_get(t, "images")), 20);
    assert_int_equal(json_array_size(m), 4);
    for (size_t k = 0; k < 4; k++) {
        json_int_t sum = 0;
        for (size_t j = 0; j < 4; j++)
            sum += json_integer_value(json_array_get(json_array_get(m, k), j));
        assert_int_equal(sum, 5);
        right += json_integer_value(json_array_get(json_array_get(m, k), k));
    }
    assert_true(fabs(json_real_value(json_object_get(line, "test_accuracy")) - (double)right / 20) <
                1e-9);
    json_decref(line);
    json_decref(t);
}

/* A precision other than that of the tests at present. */
static enum nn_precision another(void)
{
    return precision == NN_PREC_F32 ? NN_PREC_BF16 : NN_PREC_F32;
}

static void the_precision_is_recorded_and_kept(void **state)
{
    (void)state;
    const char *name = nn_precision_names[precision];
    json_t *config = json_load_file(toy_path("whole/config.json"), 0, NULL);
    json_t *line = log_line("whole", 1);
    struct nn_file *f = NULL;
    assert_int_equal(nn_file_open(toy_path("whole/weights.safetensors"), &f, NULL), STATUS_OK);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(config, "options"), "precision")), name);
    assert_string_equal(json_string_value(json_object_get(line, "precision")), name);
    assert_string_equal(nn_file_meta(f, "precision"), name);
    nn_file_close(f);
    json_decref(line);
    json_decref(config);

    struct train_options o = options("whole");
    o.resume = true;
    o.precision = another();
    if (!nn_precision_supported(NULL, o.precision)) {
        assert_int_equal(run_fails(o, "--precision f32"), STATUS_UNSUPPORTED);
        return;
    }
    char says[64];
    snprintf(says, sizeof says, "\"precision\" \"%s\"", name);
    assert_int_equal(run_fails(o, says), STATUS_INVALID);
    struct train_result r = toy_run(options("whole-again")), other;
    o = options("other-precision");
    o.precision = another();
    other = toy_run(o);
    assert_true(r.train_loss != other.train_loss); /* it was computed in the other */
}

static void runs_that_name_no_precision_were_f32(void **state)
{
    (void)state;
    struct train_options o = options("old");
    toy_run(o);
    json_t *config = json_load_file(toy_path("old/config.json"), 0, NULL);
    assert_int_equal(json_object_del(json_object_get(config, "options"), "precision"), 0);
    assert_int_equal(json_dump_file(config, toy_path("old/config.json"), 0), 0);
    json_decref(config);
    o.resume = true;
    if (precision == NN_PREC_F32)
        toy_run(o);
    else
        assert_int_equal(run_fails(o, "\"f32\""), STATUS_INVALID);
}

static void diverging_training_stops(void **state)
{
    (void)state;
    struct train_options o = options("nan");
    o.lr = 1e30f;
    o.clip = 0;
    assert_int_equal(run_fails(o, "not a number"), STATUS_CORRUPT);
}

static void a_damaged_checkpoint_is_refused(void **state)
{
    (void)state;
    struct train_options o = options("damaged");
    o.epochs = 1;
    toy_run(o);
    size_t len;
    uint8_t *data = toy_read(toy_path("damaged/checkpoint.safetensors"), &len);
    toy_write("damaged/checkpoint.safetensors", data, len / 2);
    mem_free(data);
    o.resume = true;
    run_fails(o, "checkpoint");
}

static void a_finished_run_resumes_to_itself(void **state)
{
    (void)state;
    struct train_options o = options("again");
    o.resume = true;
    struct train_result r = toy_run(o);
    assert_int_equal(r.epochs, 4);
    toy_assert_same_file(toy_path("whole/weights.safetensors"),
                         toy_path("again/weights.safetensors"));
}

static void small_sets_and_no_test_set(void **state)
{
    (void)state;
    struct train_options o = options("few");
    o.limit = 6; /* fewer than a batch */
    o.test_dir = NULL;
    o.epochs = 1;
    struct train_result r = toy_run(o);
    assert_true(isnan(r.test_accuracy));
}

static void percept_trains_into_a_distance(void **state)
{
    (void)state;
    struct train_options o = options("percept");
    o.arch = "percept";
    o.epochs = 1;
    toy_run(o);
    struct nn_file *f = NULL;
    struct purify_percept_cfg cfg;
    struct errmsg e = {""};
    assert_int_equal(nn_file_open(toy_path("percept/weights.safetensors"), &f, &e), STATUS_OK);
    if (purify_percept_from_file(f, &cfg, &e))
        fail_msg("%s", e.text);
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
    struct nn_val a = nn_input(g, "a", NN_F32, nn_shape4(1, 12, 12, 1));
    purify_percept_distance(g, &cfg, a, a);
    assert_int_equal(nn_graph_status(g, &e), STATUS_OK);
    if (nn_params_load(p, f, "", &e))
        fail_msg("%s", e.text);
    assert_true(nn_params_find(p, "lin.0.weight")->value[0] == 1);
    nn_graph_free(g);
    nn_params_free(p);
    nn_file_close(f);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "child") == 0)
        return child(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_a_separable_set),
        cmocka_unit_test(the_same_run_gives_the_same_bits),
        cmocka_unit_test(interrupted_runs_end_with_the_same_bits),
        cmocka_unit_test(a_stop_while_testing_loses_no_epoch),
        cmocka_unit_test(crashed_runs_end_with_the_same_bits),
        cmocka_unit_test(every_recipe_resumes_with_the_same_bits),
        cmocka_unit_test(staged_runs_log_measure_and_control),
        cmocka_unit_test(acm_can_be_watched_without_control),
        cmocka_unit_test(sal_is_logged_of_each_layer_and_changes_nothing),
        cmocka_unit_test(a_stop_while_sal_is_measured_loses_no_epoch),
        cmocka_unit_test(refuses_contradictions),
        cmocka_unit_test(what_fails_leaves_nothing),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(a_runs_options_are_in_its_config),
        cmocka_unit_test(runs_of_before_recipes_had_tables_resume),
        cmocka_unit_test(the_optimiser_does_what_it_is_told),
        cmocka_unit_test(a_run_records_what_purified_its_images),
        cmocka_unit_test(a_run_records_what_purified_a_tree),
        cmocka_unit_test(a_run_keeps_what_its_test_images_were_taken_for),
        cmocka_unit_test(diverging_training_stops),
        cmocka_unit_test(the_precision_is_recorded_and_kept),
        cmocka_unit_test(runs_that_name_no_precision_were_f32),
        cmocka_unit_test(a_damaged_checkpoint_is_refused),
        cmocka_unit_test(a_finished_run_resumes_to_itself),
        cmocka_unit_test(small_sets_and_no_test_set),
        cmocka_unit_test(percept_trains_into_a_distance),
    };
    int failed = 0;
    for (precision = 0; precision < NN_PREC_COUNT; precision++)
        if (nn_precision_supported(NULL, precision)) {
            print_message("# in %s\n", nn_precision_names[precision]);
            failed += cmocka_run_group_tests_name("run", tests, make_data, toy_teardown);
        }
    return failed;
}
