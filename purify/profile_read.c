/*
 * The text of a profile: INI with a section [purify] and, where that names a chain, one for each
 * purifier. inih parses it, our line source counts lines for the messages and refuses what inih
 * would cut (long lines, NUL bytes).
 */
#include "profile.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

enum { ROWS_MAX = 32 }; /* of a purifier's table */

struct reader {
    const char *path, *text;
    size_t len, at;
    int line;                                /* the last one handed to inih */
    int chain_line;                          /* where the chain was given; 0: nowhere */
    int line_of[PURIFY_CHAIN_MAX][ROWS_MAX]; /* where each value was given; 0: nowhere */
    struct purify_profile *profile;
    status st;
    struct errmsg *e;
};

static status fail_at(struct reader *r, int line, status st, const char *what)
{
    if (!r->st)
        r->st = errmsg_set(r->e, st, "%s:%d: %s", r->path, line, what);
    return r->st;
}

/* inih's line source: like fgets. */
static char *next_line(char *str, int num, void *stream)
{
    struct reader *r = stream;
    if (r->at >= r->len || r->st)
        return NULL;
    const char *start = r->text + r->at, *nl = memchr(start, '\n', r->len - r->at);
    size_t n = nl ? (size_t)(nl - start) + 1 : r->len - r->at;
    r->line++;
    if (num < 1 || n > (size_t)num - 1) {
        fail_at(r, r->line, STATUS_INVALID, "the line is too long");
        return NULL;
    }
    memcpy(str, start, n);
    str[n] = 0;
    r->at += n;
    return str;
}

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

/* inih's handler: 0 is an error. */
static int take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reader *r = user;
    if (r->st)
        return 0;
    struct errmsg why = {""};
    status st = STATUS_INVALID;
    value = value ? value : "";
    if (strcmp(section, "purify") == 0 && strcmp(key, "chain") == 0) {
        st = take_chain(r, value, &why);
    } else {
        int link = link_of(r, section, key, &why);
        if (link >= 0)
            st = take_param(r, link, key, value, &why);
    }
    if (!st)
        return 1;
    fail_at(r, r->line, st, errmsg_text(&why, st));
    return 0;
}

static status parse(struct reader *r)
{
    size_t text_len = strlen(r->text); /* io_read_file ends it with a NUL */
    if (text_len < r->len) {
        int line = 1;
        for (size_t i = 0; i < text_len; i++)
            line += r->text[i] == '\n';
        return fail_at(r, line, STATUS_INVALID, "a NUL byte: this is no text file");
    }
    int bad_line = ini_parse_stream(next_line, r, take_value, r);
    if (r->st)
        return r->st;
    if (bad_line > 0)
        return fail_at(r, bad_line, STATUS_INVALID, "neither [section], key = value nor # comment");
    return bad_line < 0 ? STATUS_NOMEM : STATUS_OK;
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
    struct reader r = {.path = path, .text = text, .len = len, .profile = p, .e = e};
    status st = parse(&r);
    return st ? st : finish(&r);
}
