/* The runs and their epochs as CSV (RFC 4180), in links that hold the files. */
#include "report/columns.h"

#include <math.h>
#include <string.h>

/* Spreadsheets compute what begins like a formula: an apostrophe in front makes it text. */
static status csv_text(struct buf *b, const char *text)
{
    AUTO(mem_free) char *shown = text_shown_new(text);
    status st =
        shown ? buf_addf(b, "\"%s", *shown && strchr("=+-@", *shown) ? "'" : "") : STATUS_NOMEM;
    for (const char *at = shown; !st && *at; at++)
        st = buf_add(b, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    return st ? st : buf_add(b, "\"", 1);
}

static status csv_number(struct buf *b, double v)
{
    return isfinite(v) ? buf_addf(b, "%.8g", v) : STATUS_OK;
}

static status csv_runs(const struct report *r, struct buf *b)
{
    status st = STATUS_OK;
    for (int c = 0; c < report_n_columns && !st; c++)
        st = buf_addf(b, "%s%s", c ? "," : "", report_columns[c].csv);
    for (int i = 0; i < r->n && !st; i++)
        for (int c = 0; c < report_n_columns && !st; c++) {
            st = buf_addf(b, "%s", c ? "," : "\r\n");
            if (!st)
                st = report_columns[c].text ? csv_text(b, report_columns[c].text(&r->run[i]))
                                            : csv_number(b, report_columns[c].number(&r->run[i]));
        }
    return st ? st : buf_addf(b, "\r\n");
}

static status csv_epochs(const struct report *r, struct buf *b)
{
    int stages = 0, slowed = 0;
    for (int i = 0; i < r->n; i++) {
        stages = r->run[i].stages > stages ? r->run[i].stages : stages;
        slowed = r->run[i].slowed > slowed ? r->run[i].slowed : slowed;
    }
    status st = buf_addf(b, "run");
    for (int s = 0; s < REPORT_SERIES_COUNT && !st; s++) {
        int stage = report_series_stage(s);
        if (stage < 0)
            st = buf_addf(b, ",%s", report_series_key(s));
        else if (stage < (s < REPORT_SCALE ? stages : slowed))
            st = buf_addf(b, ",%s_%d", report_series_key(s), stage + 1);
    }
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < r->run[i].n && !st; k++) {
            st = buf_addf(b, "\r\n");
            if (!st)
                st = csv_text(b, r->run[i].name);
            for (int s = 0; s < REPORT_SERIES_COUNT && !st; s++) {
                if (report_series_stage(s) >= (s < REPORT_SCALE ? stages : slowed))
                    continue;
                st = buf_addf(b, ",");
                if (!st)
                    st = csv_number(b, r->run[i].series[s][k]);
            }
        }
    return st ? st : buf_addf(b, "\r\n");
}

static status put_link(struct html *h, const struct report *r, const char *file,
                       status (*fill)(const struct report *r, struct buf *b))
{
    AUTO(buf_done) struct buf b = BUF_INIT((size_t)1 << 28);
    status st = fill(r, &b);
    if (st)
        return st;
    train_html_raw(h, "<a download=\"%s\" href=\"data:text/csv;charset=utf-8;base64,", file);
    train_html_base64(h, b.data, b.len);
    train_html_raw(h, "\">%s</a>", file);
    return STATUS_OK;
}

status report_csv_links(struct html *h, const struct report *r)
{
    if (!r->n)
        return STATUS_OK;
    train_html_raw(h, "<p>For a spreadsheet: ");
    status st = put_link(h, r, "runs.csv", csv_runs);
    if (st)
        return st;
    train_html_raw(h, ", ");
    st = put_link(h, r, "epochs.csv", csv_epochs);
    train_html_raw(h, "</p></section>\n");
    return st;
}
