/*
 * What the images of a run were: protected, purified or clean. The call says it, or the run's own
 * records do: a mount purified them; `relearn protect` made them; they are the source of a mount
 * that another run's images were purified by. What nothing speaks of is taken to be clean, and the
 * page says so.
 */
#include "report/report.h"

#include <string.h>

const char *const report_role_names[REPORT_ROLE_COUNT] = {"protected", "purified", "clean"};

static bool named(const struct train_report_roles *as, const char *dir, enum report_role *out)
{
    const struct {
        const char *const *dir;
        int n;
    } list[REPORT_ROLE_COUNT] = {[REPORT_PROTECTED] = {as->protected_dirs, as->n_protected},
                                 [REPORT_PURIFIED] = {as->purified_dirs, as->n_purified},
                                 [REPORT_CLEAN] = {as->clean_dirs, as->n_clean}};
    for (int role = 0; role < REPORT_ROLE_COUNT; role++)
        for (int i = 0; i < list[role].n; i++)
            if (strcmp(list[role].dir[i], dir) == 0) {
                *out = (enum report_role)role;
                return true;
            }
    return false;
}

/* Whether another run's images were purified from this one's. */
static bool is_source(const struct report *r, const struct report_run *run)
{
    const char *data = report_text(run->config, "data");
    size_t n = strlen(data);
    for (int i = 0; i < r->n && n; i++) {
        const char *source = report_text(report_purified_by(&r->run[i]), "source");
        size_t m = strlen(source);
        /* Runs are often trained on a folder of what is mounted, such as its train/. */
        if (m && m <= n && strncmp(source, data, m) == 0 && (!data[m] || data[m] == '/'))
            return true;
    }
    return false;
}

static enum report_role role_of(const struct report *r, const struct report_run *run)
{
    enum report_role role;
    if (named(&r->opt->roles, run->dir, &role))
        return role;
    return report_purified_by(run)                         ? REPORT_PURIFIED
           : report_protected_by(run) || is_source(r, run) ? REPORT_PROTECTED
                                                           : REPORT_CLEAN;
}

/* ---- facts ---- */

/* What differs from seed to seed, or is known from elsewhere. */
static bool is_no_fact(const char *key)
{
    static const char *const none[] = {"seed",    "threads", "images",          "mean_l2",
                                       "max_abs", "psnr_db", "surrogate_error", "rounds_run"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        if (strcmp(key, none[i]) == 0)
            return true;
    return false;
}

/* prefix + key -> the value as text; of an object in it, each of its values. */
static status add_facts(json_t *facts, const char *prefix, const json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)from, key, value)
    {
        if (is_no_fact(key) || json_is_array(value))
            continue;
        AUTO(mem_free) char *name = mem_printf("%s%s", prefix, key);
        if (json_is_object(value)) {
            AUTO(mem_free) char *inner = mem_printf("%s%s ", prefix, key);
            status st = inner ? add_facts(facts, inner, value) : STATUS_NOMEM;
            if (st)
                return st;
            continue;
        }
        char *text = json_is_string(value)
                         ? NULL
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        int bad = !name || json_object_set_new(facts, name,
                                               json_string(text ? text : json_string_value(value)));
        free(text);
        if (bad)
            return STATUS_NOMEM;
    }
    return STATUS_OK;
}

static status find_facts(struct report_run *r)
{
    const json_t *by = report_purified_by(r), *protection = report_protected_by(r);
    if (!(r->facts = json_object()))
        return STATUS_NOMEM;
    status st = add_facts(r->facts, "", json_object_get(r->config, "options"));
    if (!st && protection)
        st = add_facts(r->facts, "protection ", protection);
    if (st)
        return st;
    int bad = json_object_set_new(r->facts, "is", json_string(report_role_names[r->role]));
    if (by)
        bad |=
            json_object_set_new(r->facts, "profile id", json_string(report_text(by, "profile_id")));
    /* Images of which no record tells may differ from folder to folder. */
    if (!protection)
        bad |= json_object_set_new(
            r->facts, "data",
            json_string(report_text(by ? by : r->config, by ? "source" : "data")));
    return bad ? STATUS_NOMEM : STATUS_OK;
}

/* Runs of one name are called by their whole path. */
static status tell_apart(struct report *r)
{
    AUTO(mem_free) bool *twin = mem_zalloc((size_t)r->n, sizeof *twin);
    if (!twin)
        return STATUS_NOMEM;
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < r->n; k++)
            twin[i] = twin[i] || (k != i && strcmp(r->run[k].name, r->run[i].name) == 0);
    for (int i = 0; i < r->n; i++) {
        char *path = twin[i] ? mem_strdup(r->run[i].dir) : NULL;
        if (twin[i] && !path)
            return STATUS_NOMEM;
        if (twin[i])
            mem_free(r->run[i].name);
        r->run[i].name = twin[i] ? path : r->run[i].name;
    }
    return STATUS_OK;
}

status report_find_roles(struct report *r, struct errmsg *e)
{
    status st = tell_apart(r);
    for (int i = 0; i < r->n && !st; i++)
        r->run[i].role = role_of(r, &r->run[i]);
    for (int i = 0; i < r->n && !st; i++)
        st = find_facts(&r->run[i]);
    return st ? errmsg_set(e, st, "cannot compare the runs: %s", status_text(st)) : STATUS_OK;
}
