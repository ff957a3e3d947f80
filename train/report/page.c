/* One self-contained page about runs: it loads nothing, and runs no script but its own. */
#include "report/report.h"

#include <string.h>

enum { PAGE_BYTES_MAX = 1 << 29 };

void report_facts(struct html *h, const struct report *r)
{
    if (r->opt->n_facts == 0)
        return;
    train_html_raw(h, "<div class=\"wide\"><table>\n");
    for (int i = 0; i < r->opt->n_facts; i++) {
        const char *fact = r->opt->facts[i], *eq = strchr(fact, '=');
        AUTO(mem_free)
        char *key = mem_printf("%.*s", (int)(eq ? eq - fact : (int)strlen(fact)), fact);
        train_html_raw(h, "<tr><td>");
        train_html_text(h, key ? key : "");
        train_html_raw(h, "</td><td>");
        train_html_text(h, eq ? eq + 1 : "");
        train_html_raw(h, "</td></tr>\n");
    }
    train_html_raw(h, "</table></div>\n");
}

/* The script is named by its digest: text that somebody got into the page cannot be another. */
static status begin(struct html *h, const char *title)
{
    struct digest d;
    const struct digest_part script = {report_script, strlen(report_script)};
    status st = digest_sha256(&script, 1, &d);
    if (st)
        return st;
    train_html_raw(h, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "img-src data:; style-src 'unsafe-inline'; script-src 'sha256-");
    train_html_base64(h, &d, sizeof d);
    train_html_raw(h, "'\"/><meta name=\"viewport\" content=\"width=device-width\"/><title>");
    train_html_text(h, title);
    train_html_raw(h, "</title><style>%s%s</style></head>\n<body><h1>", report_style,
                   train_chart_style);
    train_html_text(h, title);
    train_html_raw(h, "</h1>\n");
    return STATUS_OK;
}

static status write_page(const struct report *r, struct errmsg *e)
{
    struct html h = {.text = BUF_INIT(PAGE_BYTES_MAX)};
    status st = begin(&h, r->opt->title ? r->opt->title : "relearn report");
    report_facts(&h, r);
    report_verdict(&h, r);
    if (!st)
        st = report_sheets(&h, r, e);
    if (!st)
        st = report_curves(&h, r);
    report_distances(&h, r);
    if (!st)
        st = report_classes(&h, r, e);
    report_table(&h, r);
    if (!st)
        st = report_csv_links(&h, r);
    report_provenance(&h, r);
    train_html_raw(&h, "<script>%s</script></body></html>\n", report_script);
    st = st ? st : h.st;
    if (!st)
        st = io_write_file(r->opt->out_file, h.text.data, h.text.len, e);
    buf_done(&h.text);
    return st;
}

/* Every run that a role is given to is a run of the report. */
static status check_roles(const struct train_report_options *o, struct errmsg *e)
{
    const struct {
        const char *const *dir;
        int n;
    } list[] = {{o->roles.protected_dirs, o->roles.n_protected},
                {o->roles.purified_dirs, o->roles.n_purified},
                {o->roles.clean_dirs, o->roles.n_clean}};
    for (size_t k = 0; k < ARRAY_LEN(list); k++)
        for (int i = 0; i < list[k].n; i++) {
            bool found = false;
            for (int run = 0; run < o->n_runs; run++)
                found = found || strcmp(o->run_dirs[run], list[k].dir[i]) == 0;
            if (!found)
                return errmsg_set(e, STATUS_INVALID, "%s is none of the runs", list[k].dir[i]);
        }
    return STATUS_OK;
}

status train_report(const struct train_report_options *opt, struct errmsg *e)
{
    struct report r = {.opt = opt, .n = opt->n_runs};
    if (!opt->out_file)
        return errmsg_set(e, STATUS_INVALID, "no output file given");
    status st = check_roles(opt, e);
    if (!st && !(r.run = mem_zalloc((size_t)opt->n_runs, sizeof *r.run)))
        st = STATUS_NOMEM;
    for (int i = 0; i < opt->n_runs && !st; i++)
        st = report_read_run(opt->run_dirs[i], &r.run[i], e);
    if (!st)
        st = report_find_roles(&r, e);
    if (!st)
        st = report_find_groups(&r, e);
    if (!st)
        st = write_page(&r, e);
    report_groups_done(&r);
    for (int i = 0; i < opt->n_runs && r.run; i++)
        report_run_done(&r.run[i]);
    mem_free(r.run);
    return st;
}
