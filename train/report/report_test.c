#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/chart.h"
#include "report/sheet.h"
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
    static const struct {
        const char *text, *html;
    } want[] = {
        {"<a href=\"x\">&'", "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"a\xff\n\x1b[1m", "a\\xff\\x0a\\x1b[1m"}, /* no UTF-8, and controls */
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct html h = {.text = BUF_INIT(1000)};
        train_html_raw(&h, "%s", "");
        train_html_text(&h, want[i].text);
        assert_int_equal(h.st, STATUS_OK);
        assert_string_equal(h.text.data, want[i].html);
        buf_done(&h.text);
    }
}

static void charts_survive_odd_data(void **state)
{
    (void)state;
    static const double x[] = {1, 2, 3}, y[] = {NAN, INFINITY, NAN}, flat[] = {.5, .5, .5};
    struct html h = {.text = BUF_INIT(1 << 16)};
    const struct chart_line odd = {"odd", x, y, 3, 0}, level = {"flat", x, flat, 3, 1},
                            none = {"none", x, flat, 0, 2};
    for (int scale = CHART_LINEAR; scale <= CHART_LOG; scale++) {
        train_chart(&h, &(struct chart){"t", "x", (enum chart_scale)scale, &odd, 1});
        train_chart(&h, &(struct chart){"t", "x", (enum chart_scale)scale, &level, 1});
        train_chart(&h, &(struct chart){"t", "x", (enum chart_scale)scale, &none, 1});
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
    const struct chart_line once = {"once", x, y, 7, 0};
    struct html h = {.text = BUF_INIT(1 << 16)};
    train_chart(&h, &(struct chart){"t", "epoch", CHART_PERCENT, &once, 1});
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
    /* The one test is a dot, at 6 of 7 across and three quarters up: 52 + 354 * 6/7, 220 - 208 *
     * .75 */
    assert_int_equal(count(h.text.data, "<circle cx=\"355.4\" cy=\"64.0\""), 1);
    assert_int_equal(count(h.text.data, "data-v=\"6,0.75 \""), 1);
    assert_int_equal(count(h.text.data, "<circle"), 1);
    assert_int_equal(count(h.text.data, "<polyline"), 0);
    buf_done(&h.text);

    /* Long runs have few marks, all of them whole. */
    static double many[1000], flat[1000];
    for (int i = 0; i < 1000; i++) {
        many[i] = i + 1;
        flat[i] = 3.1;
    }
    const struct chart_line line = {"long", many, flat, 1000, 0};
    h = (struct html){.text = BUF_INIT(1 << 20)};
    train_chart(&h, &(struct chart){"t", "epoch", CHART_LINEAR, &line, 1});
    assert_int_equal(count(h.text.data, ">200</text>"), 1);
    assert_int_equal(count(h.text.data, ">1000</text>"), 1);
    assert_int_equal(count(h.text.data, ">4</text>"), 1); /* up to the next mark */
    assert_int_equal(count(h.text.data, "<circle"), 0);
    buf_done(&h.text);
}

static void decades_are_marked(void **state)
{
    (void)state;
    static const double x[] = {1, 2, 3, 4}, y[] = {1, .1, 0, .001};
    const struct chart_line line = {"slowed", x, y, 4, 9};
    struct html h = {.text = BUF_INIT(1 << 16)};
    train_chart(&h, &(struct chart){"t", "epoch", CHART_LOG, &line, 1});
    static const char *const mark[] = {">1</text>", ">0.1</text>", ">0.01</text>", ">0.001</text>"};
    for (size_t i = 1; i < ARRAY_LEN(mark); i++)
        assert_int_equal(count(h.text.data, mark[i]), 1);
    assert_int_equal(count(h.text.data, "<circle"), 3); /* what is not positive has no place */
    assert_int_equal(count(h.text.data, "class=\"l c1 d1\""), 1); /* the tenth key */
    buf_done(&h.text);
}

/* ---- pages ---- */

/* Every tag is closed in its turn, and what stands in quotes ends. */
static void assert_well_formed(const char *page)
{
    enum { DEPTH_MAX = 32, NAME_MAX_LEN = 16 };
    char open[DEPTH_MAX][NAME_MAX_LEN];
    int depth = 0;
    for (const char *at = strchr(page, '<'); at; at = strchr(at, '<')) {
        bool closes = at[1] == '/';
        size_t n = strcspn(at + 1 + closes, " />\n");
        char name[NAME_MAX_LEN];
        assert_in_range(n, 1, NAME_MAX_LEN - 1);
        snprintf(name, sizeof name, "%.*s", (int)n, at + 1 + closes);
        const char *end = at + 1;
        for (char quote = 0; *end && (quote || *end != '>'); end++) {
            if (!quote && *end == '<')
                fail_msg("a < in a tag: %.60s", at);
            if (*end == '"')
                quote = quote ? 0 : '"';
        }
        if (!*end)
            fail_msg("no end: %.60s", at);
        if (closes) {
            if (!depth || strcmp(open[depth - 1], name) != 0)
                fail_msg("</%s> closes <%s>: %.200s", name, depth ? open[depth - 1] : "", at - 150);
            depth--;
        } else if (end[-1] != '/' && name[0] != '!') {
            assert_in_range(depth, 0, DEPTH_MAX - 1);
            memcpy(open[depth++], name, sizeof name);
        }
        bool is_code = !closes && (strcmp(name, "script") == 0 || strcmp(name, "style") == 0);
        at = is_code ? strstr(end, strcmp(name, "script") == 0 ? "</script" : "</style") : end;
        assert_non_null(at);
    }
    assert_int_equal(depth, 0);
}

struct toy_run {
    const char *name;
    const char *config; /* the keys after options */
    int seed;
    double test;        /* accuracy; NAN: never tested */
    const char *matrix; /* NULL: none */
};

static void write_run(const struct toy_run *r)
{
    char path[160], text[2000];
    toy_mkdir(r->name);
    snprintf(path, sizeof path, "%s/config.json", r->name);
    int n = snprintf(text, sizeof text,
                     "{\"data\": \"/d\", \"version\": \"1.2\", \"machine\": \"a <CPU>\", "
                     "\"class_names\": [\"ant\", \"b<ee\"], \"options\": {\"arch\": \"resnet8\", "
                     "\"recipe\": \"standard\", \"samples\": 60, \"classes\": 2, \"seed\": %d}%s}",
                     r->seed, r->config);
    toy_write(path, text, (size_t)n);
    snprintf(path, sizeof path, "%s/log.jsonl", r->name);
    n = 0;
    for (int epoch = 1; epoch <= 3 && isfinite(r->test); epoch++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "{\"epoch\":%d,\"lr\":0.%d,\"train_loss\":2.5,\"train_accuracy\":0.5,"
                      "\"test_accuracy\":%.4f,\"test_loss\":1.75,\"seconds\":2,\"images_per_s\":30,"
                      "\"ended\":\"2025-03-0%dT12:00:00Z\",\"agreement\":0.875,\"acm\":[0.5,%d],"
                      "\"scale\":[%g,1]}\n",
                      epoch, epoch, epoch == 2 ? .99 : r->test, epoch, epoch, epoch == 3 ? .01 : 1);
    toy_write(path, text, (size_t)n);
    snprintf(path, sizeof path, "%s/test.json", r->name);
    if (r->matrix)
        toy_write(path, r->matrix, strlen(r->matrix));
}

#define LSP(seed) "\"protected_by\": {\"method\": \"l<sp\", \"eps\": 8.0, \"seed\": " seed "}"
#define MOUNT                                                                                      \
    "\"purified_by\": {\"profile\": \"my<own\", \"profile_id\": \"0123456789abcdef\", "            \
    "\"version\": "                                                                                \
    "\"9.8\", \"chain\": \"grey, jcdp\", \"profile_text\": \"[purify]\\nsteps = 7\\n\", "          \
    "\"weights\": "                                                                                \
    "[{\"key\": \"model\", \"file\": \"m<1\", \"sha256\": \"feed\"}]}"

static const struct toy_run seeds[] = {
    {"p0", ", " LSP("0"), 0, .2, NULL},
    {"p1", ", " LSP("1"), 1, .3, NULL},
    {"u0", ", " LSP("0") ", " MOUNT, 0, .7, "{\"confusion\":[[3,1],[0,4]]}"},
    {"u1", ", " LSP("1") ", " MOUNT, 1, .8, "{\"confusion\":[[3,1],[0,4]]}"},
    {"c<0\"\xff", "", 0, .9, "{\"confusion\":[[1,2],[3]]}"}, /* no square: as if there were none */
    {"quiet", ", \"data\": \"/elsewhere\"", 0, NAN, NULL},
};

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

/* For mem_free. */
static char *page_of(struct train_report_options o)
{
    size_t len;
    report(o, NULL);
    char *page = toy_read(toy_path("report.html"), &len);
    assert_well_formed(page);
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    return page;
}

static void assert_has(const char *page, const char *const *has, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strstr(page, has[i]))
            fail_msg("the page lacks %s", has[i]);
}

/* What the link to a file holds, as text; for mem_free. */
static char *linked(const char *page, const char *file)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char start[100];
    snprintf(start, sizeof start, "<a download=\"%s\" href=\"data:text/csv;charset=utf-8;base64,",
             file);
    const char *at = strstr(page, start);
    assert_non_null(at);
    at += strlen(start);
    char *out = mem_zalloc(strcspn(at, "\"") + 1, 1);
    uint32_t bits = 0;
    int n = 0;
    for (size_t to = 0; *at != '"' && *at != '='; at++) {
        bits = bits << 6 | (uint32_t)(strchr(digit, *at) - digit);
        if ((n += 6) >= 8)
            out[to++] = (char)(bits >> (n -= 8));
    }
    return out;
}

/* A run of two layers and two epochs. */
static void write_sharp_run(const char *name, const char *config, const char *first,
                            const char *second)
{
    char path[128], text[400];
    write_run(&(struct toy_run){name, config, 0, .5, NULL});
    snprintf(path, sizeof path, "%s/log.jsonl", name);
    int n = snprintf(text, sizeof text,
                     "{\"epoch\":1,\"test_accuracy\":0.5,\"sal\":{\"conv\":%s,\"fc\":1}}\n"
                     "{\"epoch\":2,\"test_accuracy\":0.5,\"sal\":{\"conv\":%s,\"fc\":1}}\n",
                     first, second);
    toy_write(path, text, (size_t)n);
}

static void runs_have_a_distance_from_a_clean_one(void **state)
{
    (void)state;
    write_sharp_run("sharp-clean", "", "3", "5"); /* thresholds 2 and 3 */
    write_sharp_run("sharp-prot", ", " LSP("0"), "2.75", "2");
    const char *const runs[] = {toy_path("sharp-clean"), toy_path("sharp-prot")};
    char *page = page_of((struct train_report_options){.run_dirs = runs, .n_runs = 2});
    static const char *const has[] = {
        "Sharpness-aware learnability, mean over layers",
        "data-v=\"1,2 2,3 \"",
        "data-v=\"1,1.875 2,1.5 \"",
        "<h2>How far from unlearnable</h2>",
        "<td class=\"left\">sharp-prot</td><td class=\"left\">protected</td><td class=\"left\">"
        "sharp-clean</td><td>1.00 of 2</td><td>0.50</td><td>0.500</td>",
    };
    assert_has(page, has, ARRAY_LEN(has));
    mem_free(page);
    page = page_of((struct train_report_options){.run_dirs = runs + 1, .n_runs = 1});
    assert_null(strstr(page, "How far from unlearnable"));
    mem_free(page);
}

static void seeds_become_one_figure(void **state)
{
    (void)state;
    static const char *runs[ARRAY_LEN(seeds)];
    static const char *const facts[] = {"images/s cold=123", "a<b=1&2"};
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
        write_run(&seeds[i]);
        runs[i] = toy_path(seeds[i].name);
    }
    char *page = page_of((struct train_report_options){.title = "A & B",
                                                       .run_dirs = runs,
                                                       .n_runs = ARRAY_LEN(seeds),
                                                       .facts = facts,
                                                       .n_facts = 2});
    /* (.75 - .25) / (.9 - .25) = .7692 */
    static const char *const has[] = {
        "<title>A &amp; B</title>",
        "<td>images/s cold</td><td>123</td>",
        "<td>a&lt;b</td><td>1&amp;2</td>",
        "25.00 %</b> \xc2\xb1 7.07</span>",
        "75.00 %</b> \xc2\xb1 7.07, <b>76.9 %</b> recovered",
        "90.00 %</b></span>",
        "<strong>77 %</strong> of what the protection took away is recovered",
        "protected by l&lt;sp <small>2 runs",
        "purified by my&lt;own (l&lt;sp) <small>2 runs",
        "style=\"width:75.00%\"",
        "style=\"left:70.00%\"",
        "c&lt;0&quot;\\xff",
        "Loss on the test images",
        "Learning rate",
        "faint structure alone tells the class",
        "data-v=\"1,0.875 2,0.875 3,0.875 \"",
        "(ours, ST-style), stage 2",
        "Part of the learning rate that stage 1 got",
        "data-v=\"1,1 2,1 3,0.01 \"",
        "<th>b&lt;ee</th>",
        "75.0 %</td>",
        ">6</td>",
        "100.0 %</td>",
        "<code>0123456789abcdef</code>",
        "m&lt;1<br/>SHA-256 <code>feed</code>",
        "grey, jcdp",
        "[purify]\nsteps = 7\n",
        "relearnfs 9.8",
        "a &lt;CPU&gt;",
        "2025-03-03T12:00:00Z",
        "99.00 %</td>", /* the best */
    };
    assert_has(page, has, ARRAY_LEN(has));
    assert_null(strstr(page, "<ee"));
    assert_null(strstr(page, "stage 3"));
    assert_null(strstr(page, "rate that stage 2")); /* it was never slowed */
    /* What was never trained has no line, and no row in the legend. */
    assert_int_equal(count(page, "data-n=\"quiet\""), 0);
    assert_int_equal(count(page, "aria-pressed=\"false\""), 3);
    assert_int_equal(count(page, "Confusion matrix: "), 1);

    AUTO(mem_free) char *csv = linked(page, "runs.csv");
    AUTO(mem_free) char *epochs = linked(page, "epochs.csv");
    static const char *const rows[] = {"\"u1\",\"purified\",\"l<sp\",\"my<own\",\"resnet8\",",
                                       "\"c<0\"\"\\xff\",\"clean\",\"\",", ",0.8,0.99,2,30,6,"};
    assert_has(csv, rows, ARRAY_LEN(rows));
    assert_int_equal(count(csv, "\r\n"), 1 + ARRAY_LEN(seeds));
    assert_int_equal(count(epochs, "\r\n"), 1 + 3 * (ARRAY_LEN(seeds) - 1));
    assert_non_null(strstr(epochs, "\"p1\",3,0.3,0.5,1.75,2.5,0.3,30,2,0.875,,0.5,3,0.01,1\r\n"));
    mem_free(page);
}

/* Of runs whose images have no record of a protection. */
static void the_source_of_a_mount_was_protected(void **state)
{
    (void)state;
    static const struct toy_run run[] = {
        {"raw", ", \"data\": \"/pub/x/train\"", 0, .25, NULL},
        {"mounted", ", \"data\": \"/m/train\", \"purified_by\": {\"source\": \"/pub/x\"}", 0, .5,
         NULL},
        {"other", ", \"data\": \"/pub/xy\"", 0, .75, NULL},
    };
    const char *runs[3];
    for (int i = 0; i < 3; i++) {
        write_run(&run[i]);
        runs[i] = toy_path(run[i].name);
    }
    struct train_report_options o = {.run_dirs = runs, .n_runs = 3};
    char *page = page_of(o);
    static const char *const has[] = {"protected <small>raw", "purified <small>mounted",
                                      "clean <small>other", "<b>50.0 %</b> recovered"};
    assert_has(page, has, ARRAY_LEN(has));
    mem_free(page);
    /* It may be said, too. */
    o.roles = (struct train_report_roles){
        .clean_dirs = &runs[0], .n_clean = 1, .protected_dirs = &runs[2], .n_protected = 1};
    page = page_of(o);
    static const char *const other[] = {"clean <small>raw", "protected <small>other"};
    assert_has(page, other, ARRAY_LEN(other));
    mem_free(page);
    const char *absent = "nowhere";
    o.roles.clean_dirs = &absent;
    assert_int_equal(report(o, "nowhere"), STATUS_INVALID);
}

static void large_matrices_are_pictures(void **state)
{
    (void)state;
    enum { K = 31 };
    AUTO(buf_done) struct buf b = BUF_INIT(1 << 16);
    assert_int_equal(buf_addf(&b, "{\"confusion\":["), STATUS_OK);
    for (int k = 0; k < K; k++) {
        assert_int_equal(buf_addf(&b, "%s[", k ? "," : ""), STATUS_OK);
        for (int j = 0; j < K; j++)
            assert_int_equal(buf_addf(&b, "%s%d", j ? "," : "", j == k), STATUS_OK);
        assert_int_equal(buf_addf(&b, "]"), STATUS_OK);
    }
    assert_int_equal(buf_addf(&b, "]}"), STATUS_OK);
    write_run(&(struct toy_run){"large", "", 0, .5, b.data});
    const char *runs[] = {toy_path("large")};
    char *page = page_of((struct train_report_options){.run_dirs = runs, .n_runs = 1});
    static const char *const has[] = {"<img class=\"matrix\"", "class 30"};
    assert_has(page, has, ARRAY_LEN(has));
    mem_free(page);
}

static void damaged_runs_are_named(void **state)
{
    (void)state;
    write_run(&(struct toy_run){"bad", "", 0, .5, NULL});
    static const char cut[] = "{\"epoch\":1}\n{\"epoch\":";
    toy_write("bad/log.jsonl", cut, sizeof cut - 1);
    const char *runs[] = {toy_path("bad")};
    struct train_report_options o = {.run_dirs = runs, .n_runs = 1};
    assert_int_equal(report(o, "line 2"), STATUS_CORRUPT);
    toy_write("bad/config.json", "[", 1);
    assert_int_equal(report(o, "config.json"), STATUS_CORRUPT);
    runs[0] = toy_path("absent");
    assert_int_equal(report(o, "absent"), STATUS_NOT_FOUND);
}

/* ---- contact sheets ---- */

static void sheets_match_images_by_name(void **state)
{
    (void)state;
    struct errmsg e = {""};
    struct image img = IMAGE_INIT;
    struct image_limits lim = image_limits_default();
    toy_tree("clean", 2, 3, 12, 1, 1);
    toy_tree("prot", 2, 3, 12, 1, 2);
    toy_tree("pure", 2, 3, 12, 1, 3);
    const struct train_report_sheet equal = {toy_path("clean"), toy_path("clean"),
                                             toy_path("pure")},
                                    trees = {toy_path("clean"), toy_path("prot"), toy_path("pure")};
    struct train_sheet s = {.columns = 0};
    assert_int_equal(train_sheet_make(&equal, 4, NULL, &s, &e), STATUS_OK);
    assert_int_equal(s.columns, 4);
    assert_true(isinf(s.near[TRAIN_SHEET_PROTECTED].psnr_db));
    assert_true(fabs(s.near[TRAIN_SHEET_PROTECTED].ssim - 1) < 1e-9);
    assert_true(s.near[TRAIN_SHEET_PURIFIED].psnr_db < 40);
    assert_true(s.near[TRAIN_SHEET_PURIFIED].ssim < .9);
    const struct buf *added = &s.png[TRAIN_SHEET_ADDED];
    assert_int_equal(image_decode(added->data, added->len, &lim, &img, NULL, &e), STATUS_OK);
    assert_int_equal(img.width, 4 * 64 - 4); /* 12 pixels, five times enlarged, and the gaps */
    assert_int_equal(img.height, 60);
    for (int y = 0; y < 60; y++) /* protected equals clean, so grey everywhere */
        assert_int_equal(img.pixels[y * img.width * img.channels], 128);
    for (int c = 0; c < 3; c++) /* between cells there is nothing */
        assert_int_equal(img.pixels[62 * img.channels + c % img.channels], 0);
    assert_int_equal(img.alpha[62], 0);
    assert_int_equal(img.alpha[64], 255);
    image_done(&img);
    train_sheet_done(&s);

    char *page = page_of((struct train_report_options){.sheets = &trees, .n_sheets = 1});
    static const char *const has[] = {"data:image/png;base64,iVBORw0KGgo", "PSNR ", "SSIM ",
                                      "what purification left of it"};
    assert_has(page, has, ARRAY_LEN(has));
    assert_int_equal(count(page, "<img alt="), TRAIN_SHEET_ROWS);
    mem_free(page);

    toy_write("pure/b/000.png", "junk", 4);
    s = (struct train_sheet){.columns = 0};
    toy_bad(train_sheet_make(&trees, 4, NULL, &s, &e), &e, "pure");
    train_sheet_done(&s);

    assert_int_equal(remove(toy_path("pure/b/000.png")), 0);
    s = (struct train_sheet){.columns = 0};
    assert_int_equal(train_sheet_make(&trees, 4, NULL, &s, &e), STATUS_NOT_FOUND);
    assert_non_null(strstr(e.text, "b/000"));
    train_sheet_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_has_known_answers),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(axes_run_over_whole_epochs_and_percent),
        cmocka_unit_test(charts_survive_odd_data),
        cmocka_unit_test(decades_are_marked),
        cmocka_unit_test(seeds_become_one_figure),
        cmocka_unit_test(runs_have_a_distance_from_a_clean_one),
        cmocka_unit_test(the_source_of_a_mount_was_protected),
        cmocka_unit_test(large_matrices_are_pictures),
        cmocka_unit_test(damaged_runs_are_named),
        cmocka_unit_test(sheets_match_images_by_name),
    };
    return cmocka_run_group_tests_name("report", tests, toy_setup, toy_teardown);
}
