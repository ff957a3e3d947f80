/* What cells are called, and the tables of what was measured. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "bench/fixture.h"

static const struct train_bench_options plain;

#define HEAD "[bench]\ndata = data\ntest = test\nprotections = clean, lsp\ncountermeasures = "

/* The id of the last cell of a matrix. */
static void id_of(const char *text, char id[DIGEST_HEX_LEN + 1])
{
    toy_write("id.ini", text, strlen(text));
    AUTO(train_bench_free) struct train_bench *b = fixture_open("id.ini", "id", plain);
    memcpy(id, b->cell[b->n_cells - 1].id, DIGEST_HEX_LEN + 1);
}

static void write_weights(const char *name, float value)
{
    struct nn_params *p = NULL;
    struct nn_graph *g = NULL;
    struct errmsg e = {""};
    assert_int_equal(nn_params_new(&p), STATUS_OK);
    assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
    nn_param(g, "w", nn_shape1(1), NN_INIT_ZERO);
    nn_params_at(p, 0)->value[0] = value;
    toy_good(nn_params_save(p, toy_path(name), NULL, 0, false, &e), &e);
    nn_graph_free(g);
    nn_params_free(p);
}

static void what_decides_a_cell_is_in_its_name(void **state)
{
    (void)state;
    static const char first[] =
        HEAD "none, own\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.10\n";
    static const char *const same[] = {
        HEAD "none, another\n[countermeasure another]\nprofile = own.ini\n[train]\nlr = .1\n",
        HEAD "own\nvictims = resnet18\nseeds = 0\n[countermeasure own]\nlr = 0.1\n"
             "profile = own.ini\n",
    };
    static const char *const other[] = {
        HEAD "none, own\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.2\n",
        HEAD "own, none\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.1\n",
        HEAD "own\nseeds = 1\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.1\n",
        HEAD "own\nimages = 4\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.1\n",
        HEAD "own\nvictims = vgg16\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.1\n",
        HEAD "own\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.1\n"
             "[protection lsp]\nseed = 2\n",
        HEAD "own\n[countermeasure own]\nprofile = own.ini\n[train]\nlr = 0.1\n"
             "[protection lsp]\non = ops\n",
    };
    static const char fewer[] = HEAD "none, d\nimages = 4\n[countermeasure d]\npad = 1\n";
    static const char diluted[] =
        HEAD "none, d\nimages = 4\n[countermeasure d]\npad = 1\ndilute = 1\n";
    static const char more[] =
        HEAD "none, d\nimages = 4\n[countermeasure d]\npad = 1\ndilute = 2\n";
    char id[DIGEST_HEX_LEN + 1], now[DIGEST_HEX_LEN + 1], without[DIGEST_HEX_LEN + 1];
    id_of(first, id);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        id_of(same[i], now);
        assert_string_equal(now, id);
    }
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        id_of(other[i], now);
        if (strcmp(now, id) == 0)
            fail_msg("not another cell: %s", other[i]);
    }
    /* First weights count by what is in the file, not by its name. */
    static const char *const begins[] = {
        HEAD "none, own\n[train]\ninit = w1.pt\n[countermeasure own]\npad = 1\n",
        HEAD "none, own\n[countermeasure own]\npad = 1\ninit = w2.pt\n",
        HEAD "none, own\n[countermeasure own]\npad = 1\n"};
    write_weights("w1.pt", 1);
    write_weights("w2.pt", 1);
    id_of(begins[0], id);
    id_of(begins[1], now);
    assert_string_equal(id, now);
    id_of(begins[2], now);
    assert_string_not_equal(id, now);
    write_weights("w2.pt", 2);
    id_of(begins[1], now);
    assert_string_not_equal(id, now);
    id_of(fewer, without);
    id_of(diluted, id);
    id_of(more, now);
    assert_string_not_equal(without, id);
    assert_string_not_equal(now, id);
    toy_class_image("data/b/002.png", 8, 3, 1, 98); /* the last that `more` adds */
    id_of(fewer, id);
    assert_string_equal(id, without);
    id_of(more, id);
    assert_string_not_equal(now, id);
    id_of(first, id);
    toy_class_image("test/a/000.png", 8, 3, 0, 99); /* other pixels */
    id_of(first, now);
    assert_string_not_equal(now, id);
}

static void mistakes_are_refused_before_anything_is_made(void **state)
{
    (void)state;
    static const struct {
        const char *text, *cells, *says;
    } bad[] = {
        {HEAD "absent\n", NULL, "bad.ini:5: no profile is named \"absent\""},
        {HEAD "none\n", "emn *", "no cell is called 'emn *'"},
        {HEAD "none\n[train]\ncutmix-alpha = 1\n", NULL, "bad.ini:7: cutmix-alpha belongs to"},
        {HEAD "d\n[countermeasure d]\ninit = gone\n", NULL, "bad.ini:7: "},
        {HEAD "d\n[countermeasure d]\ndilute = 1\n", NULL, "bad.ini:7: dilute = 1: without images"},
        {HEAD "d\nimages = 4\n[countermeasure d]\ndilute = 3\n", NULL, "images = 4 leaves 2"},
        {"[bench]\nprotections = clean\ncountermeasures = none\n", NULL, "does not say where"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        toy_write("bad.ini", bad[i].text, strlen(bad[i].text));
        struct train_bench_options o = {.matrix = toy_path("bad.ini"),
                                        .out_dir = toy_path("bad"),
                                        .program = "relearn",
                                        .cells = bad[i].cells};
        struct train_bench *b = NULL;
        struct errmsg e = {""};
        toy_bad(train_bench_open(&o, &b, &e), &e, bad[i].says);
        assert_null(b);
        assert_false(toy_there("bad"));
    }
}

/* Protected images that are there are known by their pixels, not by where they lie. */
static void given_images_are_in_the_name(void **state)
{
    (void)state;
    static const char in[] = "[bench]\ndata = data\ntest = test\nprotections = theirs\n"
                             "countermeasures = none\n[protection theirs]\ntree = ";
    char text[512], id[DIGEST_HEX_LEN + 1], now[DIGEST_HEX_LEN + 1];
    toy_tree("theirs", 2, 3, 8, 3, 5);
    toy_tree("same", 2, 3, 8, 3, 5);
    snprintf(text, sizeof text, "%stheirs\n", in);
    id_of(text, id);
    snprintf(text, sizeof text, "%ssame\n", in);
    id_of(text, now);
    assert_string_equal(now, id);
    toy_class_image("same/a/000.png", 8, 3, 0, 77);
    id_of(text, now);
    assert_string_not_equal(now, id);
    struct train_bench *b = NULL;
    struct errmsg e = {""};
    toy_write("id.ini", text, strlen(text));
    const struct train_bench_options o = {
        .matrix = toy_path("id.ini"), .out_dir = toy_path("same/out"), .program = "relearn"};
    toy_bad(train_bench_open(&o, &b, &e), &e, "which is never written");
    snprintf(text, sizeof text, "%sabsent\n", in);
    toy_write("id.ini", text, strlen(text));
    toy_bad(train_bench_open(&o, &b, &e), &e, "id.ini:7: cannot read");
}

static void measure(struct train_bench *b, int cell, double last)
{
    char printed[256];
    struct errmsg e = {""};
    snprintf(printed, sizeof printed,
             "{\"test_accuracy\": %g, \"best_test_accuracy\": %g, \"best_epoch\": 1,"
             "\"train_accuracy\": 1.0, \"train_loss\": 0.5}",
             last, last + .1);
    const struct bench_figures f = {printed, 60, false};
    toy_good(bench_result_write(b, &b->cell[cell], &f, &e), &e);
}

static void assert_table(const struct train_bench *b, enum train_bench_format format,
                         enum train_bench_figure figure, const char *want)
{
    AUTO(buf_done) struct buf out = BUF_INIT(1 << 16);
    struct errmsg e = {""};
    toy_good(train_bench_table(b, format, figure, &out, &e), &e);
    assert_string_equal(out.data, want);
}

/* clang-format off */
static const char want_last[] =
    "resnet8: accuracy on the test images after the last epoch, percent\n\n"
    "| | none | own |\n| --- | ---: | ---: |\n"
    "| clean | 60.0 ± 14.1 | 30.0 (1 seed) |\n| lsp | - | - |\n| ops | - | - |\n";
static const char want_lsp[] =
    "resnet8: best accuracy on the test images of all epochs tested, percent\n\n"
    "| | own |\n| --- | ---: |\n| clean | 40.0 |\n";
/* clang-format on */

static void tables_show_what_is_measured(void **state)
{
    (void)state;
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "table", plain);
    assert_true(isnan(train_bench_time_left(b)));
    toy_mkdir("table/results");
    measure(b, 0, .5);
    measure(b, 1, .7);
    measure(b, 2, .3);
    measure(b, 2, .9); /* is not overwritten */
    assert_table(b, TRAIN_BENCH_MARKDOWN, TRAIN_BENCH_LAST, want_last);
    assert_true(train_bench_time_left(b) == 60 * (FIXTURE_CELLS - 3));
    AUTO(train_bench_free)
    struct train_bench *part =
        fixture_open("m.ini", "table", (struct train_bench_options){.cells = "clean own * 0"});
    assert_int_equal(train_bench_cells(part), 1);
    AUTO(train_bench_free)
    struct train_bench *either = fixture_open(
        "m.ini", "table", (struct train_bench_options){.cells = "clean @(own|none) * 0"});
    assert_int_equal(train_bench_cells(either), 2);
    assert_table(part, TRAIN_BENCH_MARKDOWN, TRAIN_BENCH_BEST, want_lsp);
    assert_table(part, TRAIN_BENCH_CSV, TRAIN_BENCH_LAST,
                 "victim,protection,countermeasure,cells,done,last,last_deviation,best,"
                 "best_deviation,train,train_deviation,psnr,psnr_deviation,"
                 "coherent,coherent_deviation\n"
                 "resnet8,clean,own,1,1,0.3,,0.4,,1,,,,,\n");
    AUTO(buf_done) struct buf out = BUF_INIT(1 << 16);
    assert_int_equal(train_bench_table(b, TRAIN_BENCH_JSON, TRAIN_BENCH_LAST, &out, NULL),
                     STATUS_OK);
    json_t *j = json_loads(out.data, 0, NULL);
    const json_t *mean = json_array_get(json_object_get(j, "means"), 0);
    const json_t *own = json_array_get(json_object_get(j, "means"), 1);
    assert_true(json_is_null(json_object_get(mean, "profile")));
    assert_int_equal(json_string_length(json_object_get(own, "profile")), DIGEST_HEX_LEN);
    assert_true(fabs(json_number_value(json_object_get(mean, "last")) - .6) < 1e-9);
    assert_int_equal(json_array_size(json_object_get(j, "cells")), FIXTURE_CELLS);
    json_decref(j);
}

static void a_damaged_result_is_named(void **state)
{
    (void)state;
    AUTO(train_bench_free) struct train_bench *b = fixture_open("m.ini", "damaged", plain);
    struct train_bench_cell c;
    struct errmsg e = {""};
    char name[128];
    toy_mkdir("damaged/results");
    snprintf(name, sizeof name, "damaged/results/%s.json", b->cell[0].id);
    toy_write(name, "{", 1);
    assert_int_equal(toy_bad(train_bench_cell(b, 0, &c, &e), &e, b->cell[0].id), STATUS_CORRUPT);
}

static void without_memory_nothing_is_opened(void **state)
{
    (void)state;
    struct train_bench_options o = {.matrix = toy_path("m.ini"),
                                    .out_dir = toy_path("none"),
                                    .program = "relearn",
                                    .threads = 1};
    for (unsigned long n = 1;; n += 1 + n / 16) {
        struct train_bench *b = NULL;
        struct errmsg e = {""};
        fault_set(FAULT_MEM, n, 0, 0);
        status st = train_bench_open(&o, &b, &e);
        fault_clear();
        train_bench_free(b);
        if (!st)
            return;
        assert_int_equal(st, STATUS_NOMEM);
        assert_null(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decides_a_cell_is_in_its_name),
        cmocka_unit_test(mistakes_are_refused_before_anything_is_made),
        cmocka_unit_test(given_images_are_in_the_name),
        cmocka_unit_test(tables_show_what_is_measured),
        cmocka_unit_test(without_memory_nothing_is_opened),
        cmocka_unit_test(a_damaged_result_is_named),
    };
    return cmocka_run_group_tests_name("bench", tests, fixture_setup, toy_teardown);
}
