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
    train_html_chart(&h, "t", "x", &(struct chart_line){"odd", x, y, 3}, 1);
    train_html_chart(&h, "t", "x", &(struct chart_line){"flat", x, flat, 3}, 1);
    train_html_chart(&h, "t", "x", &(struct chart_line){"none", x, flat, 0}, 1);
    assert_int_equal(h.st, STATUS_OK);
    assert_null(strstr(h.text.data, "nan"));
    assert_null(strstr(h.text.data, "inf"));
    buf_done(&h.text);
}

/* precision: `, "precision": ...` or "" */
static void write_run(const char *name, const char *precision, const char *log)
{
    char path[128];
    toy_mkdir(name);
    snprintf(path, sizeof path, "%s/config.json", name);
    char config[160];
    snprintf(config, sizeof config,
             "{\"options\": {\"arch\": \"resnet8\", \"recipe\": \"staged\", \"samples\": 60%s}}",
             precision);
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
        cmocka_unit_test(charts_survive_odd_data),
        cmocka_unit_test(a_page_holds_runs_facts_and_images),
        cmocka_unit_test(damaged_runs_are_named),
        cmocka_unit_test(sheets_match_images_by_name),
    };
    return cmocka_run_group_tests_name("report", tests, toy_setup, toy_teardown);
}
