/* Runs that differ in nothing but the seed, and what they reached on average. */
#include "report/report.h"

#include <math.h>
#include <string.h>

const char *report_fact(const struct report_group *g, const char *key)
{
    const char *s = json_string_value(json_object_get(g->first->facts, key));
    return s ? s : "";
}

bool report_same_fact(const struct report_group *a, const struct report_group *b, const char *key)
{
    return strcmp(report_fact(a, key), report_fact(b, key)) == 0;
}

static void measure(const struct report *r, int g)
{
    struct report_group *me = &r->group[g];
    double sum = 0, squares = 0;
    for (int i = 0; i < r->n; i++)
        if (r->run[i].group == g && isfinite(r->run[i].last)) {
            sum += r->run[i].last;
            me->tested++;
        }
    me->mean = me->tested ? sum / me->tested : NAN;
    for (int i = 0; i < r->n; i++)
        if (r->run[i].group == g && isfinite(r->run[i].last))
            squares += (r->run[i].last - me->mean) * (r->run[i].last - me->mean);
    me->deviation = me->tested > 1 ? sqrt(squares / (me->tested - 1)) : NAN;
}

status report_find_groups(struct report *r, struct errmsg *e)
{
    status st = STATUS_OK;
    r->group = mem_zalloc((size_t)r->n, sizeof *r->group);
    if (!r->group)
        return STATUS_NOMEM;
    for (int i = 0; i < r->n; i++) {
        struct report_run *run = &r->run[i];
        int g = 0;
        while (g < r->n_groups && !json_equal(r->group[g].first->facts, run->facts))
            g++;
        if (g == r->n_groups)
            r->group[r->n_groups++] = (struct report_group){.role = run->role, .first = run};
        r->group[g].n++;
        run->group = g;
    }
    for (int g = 0; g < r->n_groups && !st; g++) {
        measure(r, g);
        st = report_label_group(r, g);
    }
    return st ? errmsg_set(e, st, "cannot compare the runs: %s", status_text(st)) : STATUS_OK;
}

void report_groups_done(struct report *r)
{
    for (int g = 0; g < r->n_groups; g++)
        mem_free(r->group[g].label);
    mem_free(r->group);
}
