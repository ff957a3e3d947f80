#include "bench/matrix.h"

#include <string.h>

status matrix_fail(const struct matrix *m, int line, status st, struct errmsg *e)
{
    return errmsg_prefix(e, st, "%s:%d", m->path, line);
}

status matrix_set_text(char **to, const char *text)
{
    mem_free(*to);
    *to = mem_strdup(text);
    return *to ? STATUS_OK : STATUS_NOMEM;
}

char *matrix_path(const struct matrix *m, const char *value)
{
    const char *slash = strrchr(m->path, '/');
    if (value[0] == '/')
        return mem_strdup(value);
    return slash ? mem_printf("%.*s/%s", (int)(slash - m->path), m->path, value)
                 : mem_printf("./%s", value);
}

/* [bench] or [preset NAME], or [train], as section says. */
static status apply(struct matrix *m, const char *section, bool preset, struct errmsg *e)
{
    for (int i = 0; i < m->n_lines; i++) {
        const struct matrix_line *l = &m->lines[i];
        if (strcmp(l->section, section) != 0)
            continue;
        enum matrix_key key = matrix_key(l->key);
        bool own = key < MATRIX_KEY_COUNT && (preset || strcmp(section, "bench") == 0);
        if (own) {
            m->set[key] = l;
            continue;
        }
        status st = given_train(&m->train, l->key, l->value, l->line, e);
        if (st)
            return matrix_fail(m, l->line, st, e);
    }
    return STATUS_OK;
}

/* Presets that were not chosen are checked as well. */
static status apply_all(struct matrix *m, const char *preset, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < m->n_lines && !st; i++)
        if (matrix_section(&m->lines[i], "preset") && matrix_begins(m, i))
            st = apply(m, m->lines[i].section, true, e);
    memset(m->set, 0, sizeof m->set);
    m->train = (struct given){.n = 0};
    if (!st)
        st = apply(m, "bench", false, e);
    if (!st)
        st = apply(m, "train", false, e);
    if (st || !preset)
        return st;
    AUTO(mem_free) char *section = mem_printf("preset %s", preset);
    return section ? apply(m, section, true, e) : STATUS_NOMEM;
}

static status resolve(struct matrix *m, const char *preset, struct errmsg *e)
{
    status st = apply_all(m, preset, e);
    if (st)
        return st;
    if (!m->set[MATRIX_PROTECTIONS] || !m->set[MATRIX_COUNTERMEASURES])
        return errmsg_set(e, STATUS_INVALID,
                          "%s: [bench] must list protections and countermeasures", m->path);
    m->data = m->set[MATRIX_DATA] ? m->set[MATRIX_DATA]->value : NULL;
    m->test = m->set[MATRIX_TEST] ? m->set[MATRIX_TEST]->value : NULL;
    st = matrix_take_numbers(m, e);
    if (!st)
        st = matrix_take_victims(m, e);
    if (!st)
        st = matrix_take_seeds(m, e);
    if (!st)
        st = matrix_members(m, e);
    return st ? st : matrix_check_victims(m, e);
}

status matrix_read(const char *path, const char *preset, struct matrix *out, struct errmsg *e)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    n -= n > 4 && strcmp(base + n - 4, ".ini") == 0 ? 4 : 0;
    *out = (struct matrix){.path = mem_strdup(path)};
    snprintf(out->name, sizeof out->name, "%.*s", (int)n, base);
    status st = out->path ? matrix_load(out, preset, e) : STATUS_NOMEM;
    return st ? st : resolve(out, preset, e);
}

static void members_free(struct matrix_member *w, int n)
{
    for (int i = 0; w && i < n; i++) {
        mem_free(w[i].method);
        mem_free(w[i].tree);
        mem_free(w[i].profile);
    }
    mem_free(w);
}

void matrix_done(struct matrix *m)
{
    for (int i = 0; m->lines && i < m->n_lines; i++) {
        mem_free(m->lines[i].section);
        mem_free(m->lines[i].key);
        mem_free(m->lines[i].value);
    }
    mem_free(m->lines);
    matrix_victims_done(m);
    members_free(m->protection, m->n_protections + m->n_more_protections);
    members_free(m->countermeasure, m->n_countermeasures);
    mem_free(m->path);
    *m = (struct matrix){.path = NULL};
}
