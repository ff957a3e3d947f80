/* How runs went: accuracy, loss, learning rate, and what staged training watched and did. */
#include "report/report.h"

#include <math.h>
#include <string.h>

static const struct {
    int first, n; /* series */
    enum chart_scale scale;
    const char *title; /* %d: the stage */
} charts[] = {
    {REPORT_TEST_ACCURACY, 1, CHART_PERCENT, "Accuracy on the test images"},
    {REPORT_TRAIN_ACCURACY, 1, CHART_PERCENT, "Accuracy on the training images"},
    {REPORT_TEST_LOSS, 1, CHART_LINEAR, "Loss on the test images"},
    {REPORT_TRAIN_LOSS, 1, CHART_LINEAR, "Loss on the training images"},
    {REPORT_LR, 1, CHART_LINEAR, "Learning rate"},
    {REPORT_AGREEMENT, 1, CHART_LINEAR,
     "How far faint structure alone tells the class (agreement, as in an audit)"},
    {REPORT_SAL, 1, CHART_LINEAR, "Sharpness-aware learnability, mean over layers"},
    {REPORT_ACM, TRAIN_STAGES_MAX, CHART_LINEAR,
     "Activation cluster measurement (ours, ST-style), stage %d"},
    {REPORT_SCALE, TRAIN_STAGES_MAX, CHART_LOG,
     "Part of the learning rate that stage %d got (ours, ST-style)"},
};

/* Whether it would show something: stages that no run slowed (all 1) are left out. */
static bool is_worth(const struct report *r, int series)
{
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < r->run[i].n; k++) {
            double v = r->run[i].series[series][k];
            if (isfinite(v) && (series < REPORT_SCALE || v < 1))
                return true;
        }
    return false;
}

static void put_legend(struct html *h, const struct report *r)
{
    train_html_raw(h, "<ul class=\"key\">");
    for (int g = 0; g < r->n_groups; g++) {
        const struct report_group *me = &r->group[g];
        bool any = false;
        for (int i = 0; i < r->n; i++)
            any = any || (r->run[i].group == g && r->run[i].n);
        if (!any)
            continue;
        train_html_raw(h,
                       "<li><button type=\"button\" data-k=\"%d\" aria-pressed=\"false\"><svg "
                       "width=\"26\" height=\"8\" class=\"",
                       g);
        train_chart_key(h, g);
        train_html_raw(h, "\"><polyline points=\"0,4 26,4\"/></svg>");
        train_html_text(h, me->n == 1 ? me->first->name : me->label);
        train_html_raw(h, " <small>");
        if (me->n == 1)
            train_html_text(h, me->label);
        else
            train_html_raw(h, "%d runs", me->n);
        train_html_raw(h, "</small></button></li>\n");
    }
    train_html_raw(h, "</ul>\n");
}

static void put_chart(struct html *h, const struct report *r, int series, enum chart_scale scale,
                      const char *format, struct chart_line *line)
{
    char title[96];
    int stage = report_series_stage(series);
    const char *mark = strstr(format, "%d");
    if (mark)
        snprintf(title, sizeof title, "%.*s%d%s", (int)(mark - format), format, stage + 1,
                 mark + 2);
    for (int i = 0; i < r->n; i++)
        line[i] = (struct chart_line){r->run[i].name, r->run[i].series[REPORT_EPOCH],
                                      r->run[i].series[series], r->run[i].n, r->run[i].group};
    train_chart(h, &(struct chart){mark ? title : format, "epoch", scale, line, r->n});
}

status report_curves(struct html *h, const struct report *r)
{
    bool any = false;
    for (int i = 0; i < r->n; i++)
        any = any || r->run[i].n;
    if (!any)
        return STATUS_OK;
    AUTO(mem_free) struct chart_line *line = mem_zalloc((size_t)r->n, sizeof *line);
    if (!line)
        return STATUS_NOMEM;
    train_html_raw(h, "<section id=\"curves\"><h2>How it went</h2>\n");
    put_legend(h, r);
    train_html_raw(h, "<div class=\"charts\">\n");
    for (size_t c = 0; c < ARRAY_LEN(charts); c++)
        for (int s = charts[c].first; s < charts[c].first + charts[c].n; s++)
            if (is_worth(r, s))
                put_chart(h, r, s, charts[c].scale, charts[c].title, line);
    train_html_raw(h, "</div></section>\n");
    return STATUS_OK;
}
