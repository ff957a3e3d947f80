/* The verdict: for each protection what networks learned from the protected images, from the
   purified ones and from clean ones, in a sentence and in bars. */
#include "report/report.h"

#include <math.h>

/* Groups of one protection and one network stand together. */
static int leader_of(const struct report *r, int g)
{
    for (int i = 0; i < g; i++)
        if (r->group[i].role != REPORT_CLEAN && report_same_protection(&r->group[i], &r->group[g]))
            return i;
    return g;
}

static void put_runs(struct html *h, const struct report *r, int g)
{
    for (int i = 0; i < r->n; i++)
        if (r->run[i].group == g && isfinite(r->run[i].last) && r->group[g].n > 1)
            train_html_raw(h, "<i style=\"left:%.2f%%\"></i>", 100 * r->run[i].last);
}

static void put_value(struct html *h, const struct report *r, int g)
{
    const struct report_group *me = &r->group[g];
    double recovered = me->role == REPORT_PURIFIED ? report_recovered(r, g) : NAN;
    train_html_raw(h, "<span class=\"value\"><b>");
    train_html_percent(h, me->mean, 2);
    train_html_raw(h, "</b>");
    if (isfinite(me->deviation))
        train_html_raw(h, " \xc2\xb1 %.2f", 100 * me->deviation);
    if (isfinite(recovered)) {
        train_html_raw(h, ", <b>");
        train_html_percent(h, recovered, 1);
        train_html_raw(h, "</b> recovered");
    }
    train_html_raw(h, "</span>");
}

static void put_bar(struct html *h, const struct report *r, int g)
{
    const struct report_group *me = &r->group[g];
    train_html_raw(h, "<div class=\"bar %s\"><span class=\"what\">", report_role_names[me->role]);
    train_html_text(h, me->label);
    train_html_raw(h, " <small>");
    if (me->n == 1)
        train_html_text(h, me->first->name);
    else
        train_html_raw(h, "%d runs", me->n);
    if (me->tested < me->n)
        train_html_raw(h, ", %d tested", me->tested);
    train_html_raw(h, "</small></span><span class=\"track\">");
    if (isfinite(me->mean))
        train_html_raw(h, "<span class=\"fill\" style=\"width:%.2f%%\"></span>", 100 * me->mean);
    if (isfinite(me->deviation)) {
        double lo = fmax(0, me->mean - me->deviation), hi = fmin(1, me->mean + me->deviation);
        train_html_raw(h, "<span class=\"pm\" style=\"left:%.2f%%;width:%.2f%%\"></span>", 100 * lo,
                       100 * (hi - lo));
    }
    put_runs(h, r, g);
    train_html_raw(h, "</span>");
    put_value(h, r, g);
    train_html_raw(h, "</div>\n");
}

/* The purified group of a protection that reached most; -1: there is none with a figure. */
static int best_purified(const struct report *r, int leader)
{
    int best = -1;
    for (int g = leader; g < r->n_groups; g++)
        if (r->group[g].role == REPORT_PURIFIED && r->group[g].tested &&
            leader_of(r, g) == leader && (best < 0 || r->group[g].mean > r->group[best].mean))
            best = g;
    return best;
}

static void say(struct html *h, const struct report *r, int leader)
{
    int best = best_purified(r, leader), of = best < 0 ? leader : best;
    int p = report_reference(r, of, REPORT_PROTECTED), c = report_reference(r, of, REPORT_CLEAN);
    if (p < 0 || c < 0)
        return;
    train_html_raw(h, "<p class=\"say\">A network that was trained on the protected images gets ");
    train_html_percent(h, r->group[p].mean, 1);
    train_html_raw(h, " of the test images right; trained on clean images it is ");
    train_html_percent(h, r->group[c].mean, 1);
    train_html_raw(h, ".");
    if (!(r->group[c].mean > r->group[p].mean)) {
        train_html_raw(h, " So the protection took nothing away");
    } else if (best >= 0) {
        train_html_raw(h, " Purified, the protected images give ");
        train_html_percent(h, r->group[best].mean, 1);
        train_html_raw(h, ": <strong>");
        train_html_percent(h, report_recovered(r, best), 0);
        train_html_raw(h, "</strong> of what the protection took away is recovered");
    } else {
        train_html_raw(h, " No run here was trained on what is purified of them");
    }
    train_html_raw(h, ".</p>\n");
}

static void put_family(struct html *h, const struct report *r, int leader)
{
    static const enum report_role order[] = {REPORT_PROTECTED, REPORT_PURIFIED};
    const char *arch = report_option(r->group[leader].first, "arch");
    const char *method =
        json_string_value(json_object_get(r->group[leader].first->facts, "protection method"));
    train_html_raw(h, "<h3>");
    train_html_text(h, method ? method : "The protection");
    train_html_raw(h, *arch ? ", " : "");
    train_html_text(h, arch);
    train_html_raw(h, "</h3>\n");
    say(h, r, leader);
    train_html_raw(h, "<div class=\"bars\">\n");
    for (size_t k = 0; k < ARRAY_LEN(order); k++)
        for (int g = leader; g < r->n_groups; g++)
            if (r->group[g].role == order[k] && leader_of(r, g) == leader)
                put_bar(h, r, g);
    for (int c = 0; c < r->n_groups; c++) {
        bool used = false;
        for (int g = leader; g < r->n_groups && r->group[c].role == REPORT_CLEAN; g++)
            used = used || (r->group[g].role != REPORT_CLEAN && leader_of(r, g) == leader &&
                            report_reference(r, g, REPORT_CLEAN) == c);
        if (used)
            put_bar(h, r, c);
    }
    train_html_raw(h, "</div>\n");
}

/* Clean groups that nothing is compared with. */
static void put_others(struct html *h, const struct report *r)
{
    bool any = false;
    for (int c = 0; c < r->n_groups; c++) {
        bool used = r->group[c].role != REPORT_CLEAN;
        for (int g = 0; g < r->n_groups && !used; g++)
            used = r->group[g].role != REPORT_CLEAN && report_reference(r, g, REPORT_CLEAN) == c;
        if (used)
            continue;
        train_html_raw(h, "%s", any ? "" : "<h3>Clean images</h3>\n<div class=\"bars\">\n");
        any = true;
        put_bar(h, r, c);
    }
    train_html_raw(h, "%s", any ? "</div>\n" : "");
}

void report_verdict(struct html *h, const struct report *r)
{
    bool any = false;
    for (int g = 0; g < r->n_groups; g++)
        any = any || r->group[g].tested;
    if (!any)
        return;
    train_html_raw(h, "<section id=\"verdict\"><h2>What networks learned</h2>\n");
    for (int g = 0; g < r->n_groups; g++)
        if (r->group[g].role != REPORT_CLEAN && leader_of(r, g) == g)
            put_family(h, r, g);
    put_others(h, r);
    train_html_raw(
        h,
        "<p class=\"note\">Accuracy on the test images after the last epoch; of runs that differ "
        "in the seed alone the mean \xc2\xb1 the standard deviation of a sample (n\xe2\x88\x92"
        "1), and a mark for each run. Recovered: (purified \xe2\x88\x92 protected) / (clean "
        "\xe2\x88\x92 protected). Images of which no record says that they were protected or "
        "purified, and no other run's, count as clean.</p></section>\n");
}
