/* The table of runs. */
#include "report/columns.h"

#include <math.h>

static void put_cell(struct html *h, const struct report_column *c, const struct report_run *r)
{
    train_html_raw(h, c->text ? "<td class=\"left\">" : "<td>");
    if (c->text)
        train_html_text(h, c->text(r));
    else if (c->part || !isfinite(c->number(r)))
        train_html_percent(h, c->number(r), 2);
    else
        train_html_raw(h, "%.0f", c->number(r));
    train_html_raw(h, "</td>");
}

void report_table(struct html *h, const struct report *r)
{
    if (!r->n)
        return;
    train_html_raw(h, "<section id=\"runs\"><h2>Runs</h2>\n<div class=\"wide\"><table "
                      "class=\"sort\"><thead><tr>");
    for (int c = 0; c < report_n_columns; c++)
        if (report_columns[c].head)
            train_html_raw(h, "<th%s>%s</th>", report_columns[c].text ? " class=\"left\"" : "",
                           report_columns[c].head);
    train_html_raw(h, "</tr></thead><tbody>\n");
    for (int i = 0; i < r->n; i++) {
        train_html_raw(h, "<tr>");
        for (int c = 0; c < report_n_columns; c++)
            if (report_columns[c].head)
                put_cell(h, &report_columns[c], &r->run[i]);
        train_html_raw(h, "</tr>\n");
    }
    train_html_raw(h, "</tbody></table></div>\n");
}
