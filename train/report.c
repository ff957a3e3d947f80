/* One self-contained page: facts, a table of runs, their curves, and a contact sheet. */
#include "report.h"
#include "html.h"
#include "model.h"

#include <math.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:80em;margin:2em auto;padding:0 "
    "1em;color:#222;background:#fff}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.3em .6em;border-bottom:1px solid #8884;text-align:right}td{white-space:nowrap}"
    "td.left{white-space:normal;min-width:9em}td:first-child,th:first-child,.left{text-align:left}"
    "img{max-width:100%;image-rendering:pixelated}";

static void put_cell(struct html *h, const char *text)
{
    train_html_raw(h, "<td>");
    train_html_text(h, text);
    train_html_raw(h, "</td>");
}

static void put_number(struct html *h, const char *fmt_percent, double v)
{
    char text[32] = "\xe2\x80\x93";
    if (isfinite(v) && fmt_percent)
        snprintf(text, sizeof text, "%.2f %%", 100 * v);
    else if (isfinite(v))
        snprintf(text, sizeof text, "%.0f", v);
    put_cell(h, text);
}

static void put_facts(struct html *h, const struct train_report_options *o)
{
    if (o->n_facts == 0)
        return;
    train_html_raw(h, "<div class=\"wide\"><table>\n");
    for (int i = 0; i < o->n_facts; i++) {
        const char *eq = strchr(o->facts[i], '=');
        AUTO(mem_free)
        char *key = mem_printf("%.*s", (int)(eq ? eq - o->facts[i] : (int)strlen(o->facts[i])),
                               o->facts[i]);
        train_html_raw(h, "<tr>");
        put_cell(h, key ? key : "");
        put_cell(h, eq ? eq + 1 : "");
        train_html_raw(h, "</tr>\n");
    }
    train_html_raw(h, "</table></div>\n");
}

/* Which profile of which version made the images that were trained on; "no" for other images. */
static void put_origin(struct html *h, const struct report_run *r)
{
    const json_t *by = json_object_get(r->config, "purified_by");
    const char *profile = json_string_value(json_object_get(by, "profile"));
    const char *id = json_string_value(json_object_get(by, "profile_id"));
    const char *version = json_string_value(json_object_get(by, "version"));
    train_html_raw(h, "<td class=\"left\">");
    if (by)
        train_html_text(h, profile ? profile : "by a mount");
    else
        train_html_raw(h, "no");
    if (id)
        train_html_raw(h, " <small>%.12s</small>", id);
    if (version) {
        train_html_raw(h, ", relearnfs ");
        train_html_text(h, version);
    }
    train_html_raw(h, "</td>");
}

static const char *option_text(const struct report_run *r, const char *key, const char *absent)
{
    const char *s = json_string_value(json_object_get(json_object_get(r->config, "options"), key));
    return s ? s : absent;
}

static void put_table(struct html *h, const struct report_run *run, int n)
{
    train_html_raw(h,
                   "<div class=\"wide\"><table>\n<tr><th>run</th><th class=\"left\">purified</th>"
                   "<th>network</th><th>recipe</th><th>precision</th><th>images</th>"
                   "<th>epochs</th><th>train</th><th>test, last</th><th>test, best</th>"
                   "<th>at epoch</th><th>images/s</th><th>seconds</th></tr>\n");
    for (int i = 0; i < n; i++) {
        const struct report_run *r = &run[i];
        train_html_raw(h, "<tr>");
        put_cell(h, r->name);
        put_origin(h, r);
        put_cell(h, option_text(r, "arch", ""));
        put_cell(h, option_text(r, "recipe", ""));
        put_cell(h, option_text(r, "precision", nn_precision_names[TRAIN_PRECISION_UNNAMED]));
        put_number(h, NULL, report_number(json_object_get(r->config, "options"), "samples"));
        put_number(h, NULL, r->n ? r->epoch[r->n - 1] : 0);
        put_number(h, "%", r->n ? r->train[r->n - 1] : NAN);
        put_number(h, "%", r->last);
        put_number(h, "%", r->best);
        put_number(h, NULL, r->best_epoch ? r->best_epoch : NAN);
        put_number(h, NULL, r->images_per_s);
        put_number(h, NULL, r->seconds);
        train_html_raw(h, "</tr>\n");
    }
    train_html_raw(h, "</table></div>\n");
}

static status put_curves(struct html *h, const struct report_run *run, int n)
{
    AUTO(mem_free) struct chart_line *line = mem_zalloc((size_t)n, sizeof *line);
    if (!line)
        return STATUS_NOMEM;
    for (int i = 0; i < n; i++)
        line[i] = (struct chart_line){run[i].name, run[i].epoch, run[i].test, run[i].n};
    train_html_chart(h, &(struct chart){"Accuracy on the test images", "epoch", true, line, n});
    for (int i = 0; i < n; i++)
        line[i].y = run[i].train;
    train_html_chart(h, &(struct chart){"Accuracy on the training images", "epoch", true, line, n});
    for (int s = 0; s < TRAIN_STAGES_MAX; s++) {
        int with = 0;
        for (int i = 0; i < n; i++) {
            bool has = run[i].stages > s;
            line[i] =
                (struct chart_line){run[i].name, run[i].epoch, run[i].acm[s], has ? run[i].n : 0};
            with += has;
        }
        char title[96];
        snprintf(title, sizeof title, "Activation cluster measurement (ours, ST-style), stage %d",
                 s + 1);
        if (with)
            train_html_chart(h, &(struct chart){title, "epoch", false, line, n});
    }
    return STATUS_OK;
}

static status put_sheet(struct html *h, const struct train_report_options *o, struct errmsg *e)
{
    if (!o->clean_dir)
        return STATUS_OK;
    AUTO(buf_done) struct buf png = BUF_INIT((size_t)1 << 28);
    status st = train_contact_sheet(o->clean_dir, o->protected_dir, o->purified_dir,
                                    o->sheet_columns, &png, e);
    if (st)
        return st;
    train_html_raw(h,
                   "<figure><figcaption>Clean, protected, purified; then what protection added and "
                   "what is left of it after purification, eight times enlarged around "
                   "grey</figcaption><img alt=\"contact sheet\" src=\"data:image/png;base64,");
    train_html_base64(h, png.data, png.len);
    train_html_raw(h, "\"></figure>\n");
    return STATUS_OK;
}

static status write_page(const struct train_report_options *o, const struct report_run *run,
                         struct errmsg *e)
{
    struct html h = {.text = BUF_INIT((size_t)1 << 29)};
    const char *title = o->title ? o->title : "relearn report";
    train_html_raw(&h, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>");
    train_html_text(&h, title);
    train_html_raw(
        &h,
        "</title><meta name=\"viewport\" content=\"width=device-width\"><style>%s%s</style>"
        "\n<h1>",
        style, train_html_chart_style);
    train_html_text(&h, title);
    train_html_raw(&h, "</h1>\n");
    put_facts(&h, o);
    status st = STATUS_OK;
    if (o->n_runs > 0) {
        put_table(&h, run, o->n_runs);
        st = put_curves(&h, run, o->n_runs);
    }
    if (!st)
        st = put_sheet(&h, o, e);
    train_html_raw(&h, "</html>\n");
    st = st ? st : h.st;
    if (!st)
        st = io_write_file(o->out_file, h.text.data, h.text.len, e);
    buf_done(&h.text);
    return st;
}

status train_report(const struct train_report_options *opt, struct errmsg *e)
{
    if (!opt->out_file)
        return errmsg_set(e, STATUS_INVALID, "no output file given");
    if (opt->clean_dir && (!opt->protected_dir || !opt->purified_dir))
        return errmsg_set(e, STATUS_INVALID, "a contact sheet needs three directories");
    struct report_run *run = mem_zalloc((size_t)opt->n_runs, sizeof *run);
    status st = run ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < opt->n_runs && !st; i++)
        st = report_read_run(opt->run_dirs[i], &run[i], e);
    if (!st)
        st = write_page(opt, run, e);
    for (int i = 0; i < opt->n_runs && run; i++)
        report_run_done(&run[i]);
    mem_free(run);
    return st;
}
