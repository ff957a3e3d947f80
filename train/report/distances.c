/* The unlearnable distance of runs that logged the SAL of their layers, each from a clean one. */
#include "report/report.h"

#include <math.h>

/* False: it has none, or there is no clean run that it can be compared with. */
static bool find_distance(const struct report *r, const struct report_run *run,
                          const struct report_run **out_clean, struct train_ud *out)
{
    if (run->role == REPORT_CLEAN || !isfinite(report_last(run, REPORT_SAL)))
        return false;
    int c = report_reference(r, run->group, REPORT_CLEAN);
    if (c < 0 || !isfinite(report_last(r->group[c].first, REPORT_SAL)))
        return false;
    *out_clean = r->group[c].first;
    return train_ud((*out_clean)->dir, run->dir, out, NULL) == STATUS_OK;
}

static void put_row(struct html *h, const struct report_run *run, const struct report_run *clean,
                    const struct train_ud *u)
{
    train_html_raw(h, "<tr><td class=\"left\">");
    train_html_text(h, run->name);
    train_html_raw(h, "</td><td class=\"left\">%s</td><td class=\"left\">",
                   report_role_names[run->role]);
    train_html_text(h, clean->name);
    train_html_raw(h, "</td><td>%.2f of %d</td><td>%.2f</td><td>", u->clean_count, u->layers,
                   u->count);
    if (isfinite(u->distance))
        train_html_raw(h, "%.3f", u->distance);
    train_html_raw(h, "</td></tr>\n");
}

void report_distances(struct html *h, const struct report *r)
{
    bool any = false;
    for (int i = 0; i < r->n; i++) {
        struct train_ud u;
        const struct report_run *clean;
        if (!find_distance(r, &r->run[i], &clean, &u))
            continue;
        if (!any)
            train_html_raw(h, "<section id=\"distances\"><h2>How far from unlearnable</h2>\n"
                              "<div class=\"wide\"><table><thead><tr><th class=\"left\">run</th>"
                              "<th class=\"left\">images are</th><th class=\"left\">from</th>"
                              "<th>layers that answer sharply there</th><th>here</th>"
                              "<th>unlearnable distance</th></tr></thead><tbody>\n");
        any = true;
        put_row(h, &r->run[i], clean, &u);
    }
    if (any)
        train_html_raw(
            h, "</tbody></table></div>\n<p class=\"note\">Layers whose sharpness-aware "
               "learnability is above a threshold that divides those of the clean run, mean over "
               "epochs; the distance is their number over that of the clean run (Ye et al., ICLR "
               "2025, but measured on fewer images, without augmentation). 1: as learnable as "
               "clean images, less: less.</p></section>\n");
}
