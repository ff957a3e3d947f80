/* What a group is to be compared with. */
#include "report/report.h"

#include <math.h>
#include <string.h>

static int alike(const struct report_group *a, const struct report_group *b)
{
    const char *key;
    json_t *value;
    int n = 0;
    json_object_foreach(a->first->facts, key, value) n += report_same_fact(a, b, key);
    return n;
}

/* Whether one path is the other, or leads to it. */
static bool on_the_way(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;
    const char *more = n < m ? b : a;
    return strncmp(a, b, least) == 0 && (!more[least] || more[least] == '/');
}

bool report_same_protection(const struct report_group *a, const struct report_group *b)
{
    if (!report_same_fact(a, b, "arch"))
        return false;
    if (*report_fact(a, "protection method") || *report_fact(b, "protection method"))
        return report_same_fact(a, b, "protection method") &&
               report_same_fact(a, b, "protection eps");
    return on_the_way(report_fact(a, "data"), report_fact(b, "data"));
}

int report_reference(const struct report *r, int g, enum report_role role)
{
    const struct report_group *me = &r->group[g];
    int found = -1, best = -1;
    for (int i = 0; i < r->n_groups; i++) {
        const struct report_group *it = &r->group[i];
        if (it->role != role || !it->tested || !report_same_fact(it, me, "arch") ||
            !report_same_fact(it, me, "classes") ||
            (role == REPORT_PROTECTED && me->role != REPORT_CLEAN &&
             !report_same_protection(me, it)))
            continue;
        int n = alike(me, it);
        if (n > best) {
            best = n;
            found = i;
        }
    }
    return found;
}

double report_recovered(const struct report *r, int g)
{
    int p = report_reference(r, g, REPORT_PROTECTED), c = report_reference(r, g, REPORT_CLEAN);
    if (p < 0 || c < 0 || !(r->group[c].mean > r->group[p].mean))
        return NAN;
    return (r->group[g].mean - r->group[p].mean) / (r->group[c].mean - r->group[p].mean);
}
