/* What a group is called: what its images were, and in what it differs from the others. */
#include "report/report.h"

#include <string.h>

enum { LABEL_BYTES_MAX = 1 << 12 };

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Facts that are said in other words, or of every group alike. */
static bool is_said(const char *key)
{
    static const char *const said[] = {"is",    "profile id", "protection method",
                                       "data",  "samples",    "acm",
                                       "probe", "sal",        "sal_images"};
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        if (strcmp(key, said[i]) == 0)
            return true;
    return false;
}

static bool has_label(const struct report *r, int g)
{
    for (int i = 0; i < g; i++)
        if (strcmp(r->group[i].label, r->group[g].label) == 0)
            return true;
    return false;
}

/* " by PROFILE", and whose protection it was. */
static status add_images(const struct report_group *g, struct buf *b)
{
    const json_t *by = report_purified_by(g->first);
    const char *profile = json_string_value(json_object_get(by, "profile"));
    const char *method = report_fact(g, "protection method");
    status st = buf_addf(b, "%s", report_role_names[g->role]);
    if (!st && g->role == REPORT_PURIFIED && profile)
        st = buf_addf(b, " by %s", profile);
    if (!st && g->role != REPORT_CLEAN && *method)
        st = buf_addf(b, g->role == REPORT_PURIFIED ? " (%s)" : " by %s", method);
    return st;
}

/* Those facts in which it differs from a group that would be called the same without them. */
static status add_differences(const struct report *r, int g, struct buf *b)
{
    const struct report_group *me = &r->group[g];
    const char *key;
    json_t *value;
    status st = STATUS_OK;
    json_object_foreach(me->first->facts, key, value)
    {
        bool differs = false;
        for (int i = 0; i < r->n_groups && !is_said(key); i++)
            differs = differs || (r->group[i].role == me->role &&
                                  report_same_fact(&r->group[i], me, "protection method") &&
                                  report_same_fact(&r->group[i], me, "profile id") &&
                                  json_object_get(r->group[i].first->facts, key) &&
                                  !report_same_fact(&r->group[i], me, key));
        if (differs && !st)
            st = buf_addf(b, ", %s %s", key, json_string_value(value));
    }
    return st;
}

status report_label_group(struct report *r, int g)
{
    AUTO(buf_done) struct buf b = BUF_INIT(LABEL_BYTES_MAX);
    struct report_group *me = &r->group[g];
    status st = add_images(me, &b);
    if (!st)
        st = add_differences(r, g, &b);
    if (st && st != STATUS_LIMIT) /* a label that long is cut */
        return st;
    me->label = mem_strdup(b.data ? b.data : "");
    if (!me->label)
        return STATUS_NOMEM;
    if (!has_label(r, g))
        return STATUS_OK;
    char *more = mem_printf("%s, %s", me->label, file_name(report_fact(me, "data")));
    if (!more)
        return STATUS_NOMEM;
    mem_free(me->label);
    me->label = more;
    return STATUS_OK;
}
