/* The text of a profile: INI with a section [purify] and, where that names a chain, one for each
 * purifier. */
#include "profile.h"

#include <errno.h>
#include <string.h>

enum { ROWS_MAX = 32 }; /* of a purifier's table */

struct reader {
    const char *path;
    int line;                                /* that is being read */
    int chain_line;                          /* where the chain was given; 0: nowhere */
    int line_of[PURIFY_CHAIN_MAX][ROWS_MAX]; /* where each value was given; 0: nowhere */
    struct purify_profile *profile;
    struct errmsg *e;
};

/* The chain, which comes before anything else. */
static status take_chain(struct reader *r, const char *value, struct errmsg *why)
{
    if (r->chain_line)
        return errmsg_set(why, STATUS_INVALID, "the chain is given twice");
    for (int i = 0; i < ROWS_MAX; i++)
        if (r->line_of[0][i])
            return errmsg_set(why, STATUS_INVALID, "the chain is to be given before its keys");
    r->chain_line = r->line;
    return profile_set_chain(r->profile, value, why);
}

/* The link of a section; -1: none, and why says so. */
static int link_of(const struct reader *r, const char *section, const char *key, struct errmsg *why)
{
    bool plain = strcmp(section, "purify") == 0;
    if (!r->chain_line) {
        if (plain)
            return 0;
        errmsg_set(why, STATUS_INVALID,
                   "\"%.40s\" is not under [purify], and no chain is named there", key);
        return -1;
    }
    int i = plain ? -1 : profile_find(r->profile, section);
    if (plain)
        errmsg_set(why, STATUS_INVALID,
                   "\"%.40s\" is to stand in the section of its purifier, [%s] or another", key,
                   r->profile->link[0].ops->name);
    else if (i < 0)
        errmsg_set(why, STATUS_INVALID, "[%.40s] is not in the chain", section);
    return i;
}

static status take_param(struct reader *r, int link, const char *key, const char *value,
                         struct errmsg *why)
{
    struct purify_link *l = &r->profile->link[link];
    const struct param_table *t = &l->ops->params;
    const struct param *row = param_find(t, key);
    int *line = row ? &r->line_of[link][row - t->row] : NULL;
    CHECK(t->n <= ROWS_MAX);
    if (line && *line)
        return errmsg_set(why, STATUS_INVALID,
                          "%s is given twice (an indented line continues the last)", key);
    status st = param_set(t, l->values, key, value, why);
    if (!st)
        *line = r->line;
    return st;
}

static status take_value(void *arg, const struct ini_value *v, struct errmsg *why)
{
    struct reader *r = arg;
    r->line = v->line;
    if (strcmp(v->section, "purify") == 0 && strcmp(v->key, "chain") == 0)
        return take_chain(r, v->value, why);
    int link = link_of(r, v->section, v->key, why);
    return link < 0 ? STATUS_INVALID : take_param(r, link, v->key, v->value, why);
}

/* value as seen from dir, as an absolute path, when it is a relative path; else *out stays NULL. */
static status absolute(const char *dir, const char *value, char **out)
{
    if (!value[0] || value[0] == '/' || !profile_is_path(value))
        return STATUS_OK;
    char *real = realpath(dir, NULL);
    if (!real)
        return status_from_errno(errno);
    *out = mem_printf("%s/%s", real, value);
    free(real);
    return *out ? STATUS_OK : STATUS_NOMEM;
}

static status anchor_link(struct purify_link *l, const char *dir, const char **out_key,
                          struct errmsg *e)
{
    struct purify_weights w;
    for (int i = 0; l->ops->weights && l->ops->weights(l->values, i, &w); i++) {
        AUTO(mem_free) char *full = NULL;
        *out_key = w.key;
        status st = absolute(dir, w.file, &full);
        if (!st && full)
            st = param_set(&l->ops->params, l->values, w.key, full, e);
        if (st)
            return st;
    }
    return STATUS_OK;
}

status profile_anchor(struct purify_profile *p, const char *dir, struct profile_fault *out_fault,
                      struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < p->n && !st; i++) {
        out_fault->link = i;
        st = anchor_link(&p->link[i], dir, &out_fault->key, e);
    }
    return st;
}

static status anchor_at_file(struct purify_profile *p, const char *path,
                             struct profile_fault *out_fault, struct errmsg *e)
{
    AUTO(mem_free) char *dir = mem_strdup(path);
    if (!dir)
        return STATUS_NOMEM;
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0; /* the root keeps its slash */
    return profile_anchor(p, slash ? dir : ".", out_fault, e);
}

/* The line of the value at fault; 0: it is not in the file. */
static int line_of(const struct reader *r, const struct profile_fault *f)
{
    const struct param_table *t = &r->profile->link[f->link].ops->params;
    const struct param *row = f->key ? param_find(t, f->key) : NULL;
    return row ? r->line_of[f->link][row - t->row] : 0;
}

/* The message for a wrong value names its line, any other only the file. */
static status finish(struct reader *r)
{
    struct errmsg why = {""};
    struct profile_fault fault = {0, NULL};
    status st = anchor_at_file(r->profile, r->path, &fault, &why);
    if (!st)
        st = profile_finish(r->profile, &fault, &why);
    if (!st)
        return STATUS_OK;
    const char *text = errmsg_text(&why, st);
    int line = line_of(r, &fault);
    return line ? errmsg_set(r->e, st, "%s:%d: %s", r->path, line, text)
                : errmsg_set(r->e, st, "%s: %s", r->path, text);
}

status profile_read(const char *path, const char *text, size_t len, struct purify_profile *p,
                    struct errmsg *e)
{
    struct reader r = {.path = path, .profile = p, .e = e};
    status st = ini_text_read(path, text, len, take_value, &r, e);
    return st ? st : finish(&r);
}
