/* Protections and countermeasures: those that have a section, and those that are only named. */
#include "bench/matrix.h"

#include <stddef.h>
#include <string.h>

#define TREE "tree" /* of a protection: where its images are */

/* A path in the file is seen from the file. */
static status set_path(const struct matrix *m, char **to, const char *value)
{
    mem_free(*to);
    *to = matrix_path(m, value);
    return *to ? STATUS_OK : STATUS_NOMEM;
}

static status set_profile(const struct matrix *m, struct matrix_member *w, const char *value)
{
    size_t n = strlen(value);
    bool is_path = strchr(value, '/') || (n > 4 && strcmp(value + n - 4, ".ini") == 0);
    return is_path ? set_path(m, &w->profile, value) : matrix_set_text(&w->profile, value);
}

static status check_method(const char *method, int line, struct errmsg *e)
{
    struct given nothing = {.n = 0};
    return given_protect(&nothing, method, "seed", "0", line, e);
}

static const struct param dilute_row = {
    "dilute",  PARAM_INT,       offsetof(struct matrix_member, dilute), .lo = 1,
    .hi = 1e8, .standard = "1", .about = "clean images that are added"};

static status take_option(const struct matrix *m, struct matrix_member *w, bool protects,
                          const struct matrix_line *l, struct errmsg *e)
{
    if (w->tree)
        return strcmp(l->key, TREE) == 0
                   ? STATUS_OK
                   : errmsg_set(e, STATUS_INVALID,
                                "images that are there (" TREE ") take no '%.48s'", l->key);
    if (protects && strcmp(l->key, "on") == 0) {
        w->on_line = l->line;
        return matrix_name(l->value, strlen(l->value), w->on, e);
    }
    if (protects)
        return strcmp(l->key, "method") == 0
                   ? check_method(w->method, l->line, e)
                   : given_protect(&w->given, w->method, l->key, l->value, l->line, e);
    if (strcmp(l->key, "profile") == 0) {
        w->line = l->line;
        return set_profile(m, w, l->value);
    }
    if (strcmp(l->key, dilute_row.key) == 0) {
        w->dilute_line = l->line;
        return param_set_row(&dilute_row, w, l->value, e);
    }
    status st = given_tune(&w->tune, l->key, l->value, l->line, e);
    return st == STATUS_NOT_FOUND ? given_train(&w->given, l->key, l->value, l->line, e) : st;
}

/* Tuning is of a profile's restorer, on so many pairs. */
static status check_tune(const struct matrix_member *w, struct errmsg *e)
{
    if (w->tune.n && !given_value(&w->tune, "pair-limit"))
        return errmsg_set(e, STATUS_INVALID, "tune-%s without pairs = N: on what?",
                          w->tune.item[0].key);
    if (w->tune.n && !w->profile)
        return errmsg_set(e, STATUS_INVALID,
                          "pairs without a profile: they tune the restorer of one");
    return STATUS_OK;
}

/* What makes the images of a protection's section, or where they are. */
static status read_method(const struct matrix *m, int section, struct matrix_member *w)
{
    status st = matrix_set_text(&w->method, w->name);
    for (int i = section; i < m->n_lines && !st; i++) {
        const struct matrix_line *l = &m->lines[i];
        if (strcmp(l->section, m->lines[section].section) != 0)
            continue;
        if (strcmp(l->key, "method") == 0)
            st = matrix_set_text(&w->method, l->value);
        if (strcmp(l->key, TREE) == 0) {
            w->line = l->line;
            st = set_path(m, &w->tree, l->value);
        }
    }
    if (w->tree) {
        mem_free(w->method);
        w->method = NULL;
    }
    return st;
}

/* The member that a section describes: section is its first line. */
static status read_section(const struct matrix *m, int section, bool protects,
                           struct matrix_member *w, struct errmsg *e)
{
    status st = protects ? read_method(m, section, w) : STATUS_OK;
    for (int i = section; i < m->n_lines && !st; i++) {
        const struct matrix_line *l = &m->lines[i];
        if (strcmp(l->section, m->lines[section].section) != 0)
            continue;
        st = take_option(m, w, protects, l, e);
        if (st)
            return matrix_fail(m, l->line, st, e);
    }
    if (!st && (st = check_tune(w, e)))
        return matrix_fail(m, w->tune.item[0].line, st, e);
    return st;
}

/* A name without a section is the method, or the profile. */
static status read_name(const struct matrix *m, bool protects, struct matrix_member *w,
                        struct errmsg *e)
{
    if (strcmp(w->name, protects ? "clean" : "none") == 0)
        return STATUS_OK;
    if (!protects)
        return set_profile(m, w, w->name);
    status st = check_method(w->name, w->line, e);
    return st ? matrix_fail(m, w->line, st, e) : matrix_set_text(&w->method, w->name);
}

status matrix_member_read(const struct matrix *m, bool protects, struct matrix_member *w,
                          struct errmsg *e)
{
    for (int i = 0; i < m->n_lines; i++) {
        const char *name = matrix_section(&m->lines[i], protects ? "protection" : "countermeasure");
        if (name && strcmp(name, w->name) == 0)
            return read_section(m, i, protects, w, e);
    }
    return read_name(m, protects, w, e);
}

/* Whether there is what a protection is on. */
static status check_on(const struct matrix *m, const struct matrix_member *w, struct errmsg *e)
{
    AUTO(mem_free) struct matrix_member *source = w->on[0] ? mem_zalloc(1, sizeof *source) : NULL;
    if (!w->on[0])
        return STATUS_OK;
    if (!source)
        return STATUS_NOMEM;
    memcpy(source->name, w->on, sizeof source->name);
    source->line = w->on_line;
    status st = matrix_member_read(m, true, source, e);
    mem_free(source->method);
    mem_free(source->tree);
    return st;
}

/* Sections that no list names are checked as well. */
static status check_sections(const struct matrix *m, bool protects, struct errmsg *e)
{
    AUTO(mem_free) struct matrix_member *w = mem_alloc(sizeof *w);
    status st = w ? STATUS_OK : STATUS_NOMEM;
    for (int i = 0; i < m->n_lines && !st; i++) {
        const struct matrix_line *l = &m->lines[i];
        const char *name = matrix_section(l, protects ? "protection" : "countermeasure");
        if (!name || !matrix_begins(m, i))
            continue;
        *w = (struct matrix_member){.line = l->line};
        st = matrix_name(name, strlen(name), w->name, e);
        if (!st && strcmp(name, protects ? "clean" : "none") == 0)
            st = errmsg_set(e, STATUS_INVALID, "%s is what nothing is done to, and has no options",
                            name);
        st = st ? matrix_fail(m, l->line, st, e) : read_section(m, i, protects, w, e);
        if (!st)
            st = check_on(m, w, e);
        mem_free(w->method);
        mem_free(w->tree);
        mem_free(w->profile);
    }
    return st;
}

static status read_list(const struct matrix *m, bool protects, struct matrix_member *w, int n,
                        char names[MATRIX_LIST_MAX][MATRIX_NAME_MAX], struct errmsg *e)
{
    status st = check_sections(m, protects, e);
    for (int i = 0; i < n && !st; i++) {
        snprintf(w[i].name, sizeof w[i].name, "%s", names[i]);
        w[i].line = m->set[protects ? MATRIX_PROTECTIONS : MATRIX_COUNTERMEASURES]->line;
        st = matrix_member_read(m, protects, &w[i], e);
    }
    return st;
}

status matrix_members(struct matrix *m, struct errmsg *e)
{
    char names[MATRIX_LIST_MAX][MATRIX_NAME_MAX];
    status st = matrix_names(m, MATRIX_PROTECTIONS, names, &m->n_protections, e);
    if (st)
        return st;
    m->protection =
        mem_zalloc((size_t)(m->n_protections + matrix_count_on(m)), sizeof *m->protection);
    st = m->protection ? read_list(m, true, m->protection, m->n_protections, names, e)
                       : STATUS_NOMEM;
    if (!st)
        st = matrix_link_on(m, e);
    if (!st)
        st = matrix_names(m, MATRIX_COUNTERMEASURES, names, &m->n_countermeasures, e);
    if (st)
        return st;
    m->countermeasure = mem_zalloc((size_t)m->n_countermeasures, sizeof *m->countermeasure);
    return m->countermeasure
               ? read_list(m, false, m->countermeasure, m->n_countermeasures, names, e)
               : STATUS_NOMEM;
}
