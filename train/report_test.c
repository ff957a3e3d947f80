#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "html.h"
#include "toy.h"

#include <math.h>

static void base64_has_known_answers(void **state)
{
    (void)state;
    /* RFC 4648, section 10 */
    static const char *const want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                       "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t n = 0; n < ARRAY_LEN(want); n++) {
        struct html h = {.text = BUF_INIT(1000)};
        train_html_raw(&h, "%s", "");
        train_html_base64(&h, "foobar", n);
        assert_int_equal(h.st, STATUS_OK);
        assert_string_equal(h.text.data, want[n]);
        buf_done(&h.text);
    }
}

static void text_is_escaped(void **state)
{
    (void)state;
    struct html h = {.text = BUF_INIT(1000)};
    train_html_text(&h, "<a href=\"x\">&");
    assert_string_equal(h.text.data, "&lt;a href=&quot;x&quot;&gt;&amp;");
    buf_done(&h.text);
}

static void charts_survive_odd_data(void **state)
{
    (void)state;
    static const double x[] = {1, 2, 3}, y[] = {NAN, INFINITY, NAN}, flat[] = {.5, .5, .5};
    struct html h = {.text = BUF_INIT(1 << 16)};
    const struct chart_line odd = {"odd", x, y, 3}, level = {"flat", x, flat, 3},
                            none = {"none", x, flat, 0};
    for (int percent = 0; percent < 2; percent++) {
        train_html_chart(&h, &(struct chart){"t", "x", percent, &odd, 1});
        train_html_chart(&h, &(struct chart){"t", "x", percent, &level, 1});
        train_html_chart(&h, &(struct chart){"t", "x", percent, &none, 1});
    }
    assert_int_equal(h.st, STATUS_OK);
    assert_null(strstr(h.text.data, "nan"));
    assert_null(strstr(h.text.data, "inf"));
    buf_done(&h.text);
}

/* How often part is in text. */
static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void axes_run_over_whole_epochs_and_percent(void **state)
{
    (void)state;
    static const double x[] = {1, 2, 3, 4, 5, 6, 7}, y[] = {NAN, NAN, NAN, NAN, NAN, .75, NAN};
    const struct chart_line once = {"once", x, y, 7};
    struct html h = {.text = BUF_INIT(1 << 16)};
    train_html_chart(&h, &(struct chart){"t", "epoch", true, &once, 1});
    assert_int_equal(h.st, STATUS_OK);
    for (int percent = 0; percent <= 100; percent += 20) {
        char mark[32];
        snprintf(mark, sizeof mark, ">%d %%</text>", percent);
        assert_int_equal(count(h.text.data, mark), 1);
    }
    for (int epoch = 0; epoch <= 7; epoch++) {
        char mark[32];
        snprintf(mark, sizeof mark, ">%d</text>", epoch);
        assert_int_equal(count(h.text.data, mark), 1);
    }
    assert_int_equal(count(h.text.data, "<text"), 6 + 8 + 1);
    /* The one test is a dot, at 6 of 7 across and three quarters up: 52 + 572 * 6/7, 280 - 268 *
     * .75 */
    assert_int_equal(count(h.text.data, "<circle cx=\"542.3\" cy=\"79.0\""), 1);
    assert_int_equal(count(h.text.data, "<circle"), 1);
    assert_int_equal(count(h.text.data, "<polyline"), 0);
    buf_done(&h.text);

    /* Long runs have few marks, all of them whole. */
    static double many[1000], flat[1000];
    for (int i = 0; i < 1000; i++) {
        many[i] = i + 1;
        flat[i] = 3.1;
    }
    const struct chart_line line = {"long", many, flat, 1000};
    h = (struct html){.text = BUF_INIT(1 << 20)};
    train_html_chart(&h, &(struct chart){"t", "epoch", false, &line, 1});
    assert_int_equal(count(h.text.data, ">100</text>"), 1);
    assert_int_equal(count(h.text.data, ">1000</text>"), 1);
    assert_int_equal(count(h.text.data, ">4</text>"), 1); /* up to the next mark */
    assert_int_equal(count(h.text.data, "<circle"), 0);
    buf_done(&h.text);
}

/* precision: `, "precision": ...` or "" */
static void write_run(const char *name, const char *precision, const char *log)
{
    char path[128];
    toy_mkdir(name);
    snprintf(path, sizeof path, "%s/config.json", name);
    char config[300];
    snprintf(config, sizeof config,
             "{\"options\": {\"arch\": \"resnet8\", \"recipe\": \"staged\", \"samples\": 60%s}%s}",
             precision,
             *precision ? ", \"purified_by\": {\"profile\": \"my<own\", \"profile_id\": "
                          "\"0123456789abcdef\", \"version\": \"9.8\"}"
                        : "");
    toy_write(path, config, strlen(config));
    snprintf(path, sizeof path, "%s/log.jsonl", name);
    toy_write(path, log, strlen(log));
}

static status report(struct train_report_options o, const char *says)
{
    struct errmsg e = {""};
    o.out_file = toy_path("report.html");
    status st = train_report(&o, &e);
    if (st && !says)
        fail_msg("%s", e.text);
    if (says && !strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
    return st;
}

static void a_page_holds_runs_facts_and_images(void **state)
{
    (void)state;
    write_run("one", ", \"precision\": \"bf16\"",
              "{\"epoch\":0,\"acm\":[0.5,0.7]}\n"
              "{\"epoch\":1,\"train_accuracy\":0.5,\"test_accuracy\":0.75,\"seconds\":2,"
              "\"images_per_s\":30,\"acm\":[0.6,0.9]}\n"
              "{\"epoch\":2,\"train_accuracy\":0.9,\"test_accuracy\":0.625,\"seconds\":2,"
              "\"images_per_s\":30,\"acm\":[0.7,null]}\n");
    write_run("two", "", "");
    toy_tree("clean", 2, 3, 8, 1, 1);
    toy_tree("prot", 2, 3, 8, 1, 2);
    toy_tree("pure", 2, 3, 8, 1, 3);
    static char dirs[2][300];
    snprintf(dirs[0], sizeof dirs[0], "%s", toy_path("one"));
    snprintf(dirs[1], sizeof dirs[1], "%s", toy_path("two"));
    const char *runs[] = {dirs[0], dirs[1]}, *facts[] = {"images/s cold=123", "a<b=1&2"};
    report((struct train_report_options){.title = "A & B",
                                         .run_dirs = runs,
                                         .n_runs = 2,
                                         .facts = facts,
                                         .n_facts = 2,
                                         .clean_dir = toy_path("clean"),
                                         .protected_dir = toy_path("prot"),
                                         .purified_dir = toy_path("pure")},
           NULL);
    size_t len;
    char *page = toy_read(toy_path("report.html"), &len);
    static const char *const has[] = {
        "<title>A &amp; B</title>",
        "<td>images/s cold</td><td>123</td>",
        "<td>a&lt;b</td><td>1&amp;2</td>",
        "<th>precision</th>",
        "<td>bf16</td>",
        "<td>f32</td>", /* the run that names none */
        "<td class=\"left\">my&lt;own <small>0123456789ab</small>, relearnfs 9.8</td>",
        "<td class=\"left\">no</td>",
        "62.50 %",
        "75.00 %",
        "<svg",
        "stage 2",
        "data:image/png;base64,iVBORw0KGgo",
    };
    for (size_t i = 0; i < ARRAY_LEN(has); i++)
        if (!strstr(page, has[i]))
            fail_msg("the page lacks %s", has[i]);
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_null(strstr(page, "stage 3"));
    /* The second run measured nothing: it has no line, and is not named among those that have. */
    assert_int_equal(count(page, "two</li>"), 0);
    assert_int_equal(count(page, "<i class=\"c0\"></i>one</li>"), 4);
    mem_free(page);
}

static void damaged_runs_are_named(void **state)
{
    (void)state;
    write_run("bad", "", "{\"epoch\":1}\n{\"epoch\":");
    const char *runs[] = {toy_path("bad")};
    struct train_report_options o = {.run_dirs = runs, .n_runs = 1};
    assert_int_equal(report(o, "line 2"), STATUS_CORRUPT);
    toy_write("bad/config.json", "[", 1);
    assert_int_equal(report(o, "config.json"), STATUS_CORRUPT);
    runs[0] = toy_path("absent");
    assert_int_equal(report(o, "absent"), STATUS_NOT_FOUND);
}

static void sheets_match_images_by_name(void **state)
{
    (void)state;
    struct errmsg e = {""};
    AUTO(buf_done) struct buf png = BUF_INIT(1 << 22);
    struct image img = IMAGE_INIT;
    struct image_limits lim = image_limits_default();
    assert_int_equal(
        train_contact_sheet(toy_path("clean"), toy_path("clean"), toy_path("pure"), 4, &png, &e),
        STATUS_OK);
    assert_int_equal(image_decode(png.data, png.len, &lim, &img, NULL, &e), STATUS_OK);
    assert_int_equal(img.width, 4 + 4 * 68);
    assert_int_equal(img.height, 4 + 5 * 68);
    /* row 3: protected equals clean, so grey everywhere */
    for (int y = 4 + 3 * 68; y < 4 + 3 * 68 + 64; y++)
        assert_int_equal(img.pixels[(y * img.width + 4) * 3], 128);
    image_done(&img);
    assert_int_equal(remove(toy_path("pure/b/000.png")), 0);
    assert_int_equal(
        train_contact_sheet(toy_path("clean"), toy_path("prot"), toy_path("pure"), 4, &png, &e),
        STATUS_NOT_FOUND);
    assert_non_null(strstr(e.text, "b/000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_has_known_answers),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(axes_run_over_whole_epochs_and_percent),
        cmocka_unit_test(charts_survive_odd_data),
        cmocka_unit_test(a_page_holds_runs_facts_and_images),
        cmocka_unit_test(damaged_runs_are_named),
        cmocka_unit_test(sheets_match_images_by_name),
    };
    return cmocka_run_group_tests_name("report", tests, toy_setup, toy_teardown);
}
