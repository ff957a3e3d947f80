#include "bench/matrix.h"

#include <string.h>

status matrix_fail(const struct matrix *m, int line, status st, struct errmsg *e)
{
    return errmsg_prefix(e, st, "%s:%d", m->path, line);
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

static status take_number(const struct matrix *m, enum matrix_key key, uint64_t most, uint64_t *out,
                          struct errmsg *e)
{
    const struct matrix_line *l = m->set[key];
    if (!l)
        return STATUS_OK;
    char *end;
    unsigned long long v = strtoull(l->value, &end, 10);
    bool digits = l->value[0] && l->value[strspn(l->value, "0123456789")] == 0;
    if (!digits || strlen(l->value) > 19 || v > most)
        return matrix_fail(m, l->line,
                           errmsg_set(e, STATUS_INVALID,
                                      "%s must be a whole number from 0 to %llu, not '%.40s'",
                                      l->key, (unsigned long long)most, l->value),
                           e);
    *out = v;
    return STATUS_OK;
}

static status take_numbers(struct matrix *m, struct errmsg *e)
{
    uint64_t images = 0, size = 0, channels = 0;
    status st = take_number(m, MATRIX_IMAGES, INT32_MAX, &images, e);
    if (!st)
        st = take_number(m, MATRIX_SIZE, 1 << 16, &size, e);
    if (!st)
        st = take_number(m, MATRIX_CHANNELS, 3, &channels, e);
    if (!st && channels == 2)
        st = matrix_fail(m, m->set[MATRIX_CHANNELS]->line,
                         errmsg_set(e, STATUS_INVALID, "channels must be 1 or 3"), e);
    m->images = (int)images;
    m->size = (int)size;
    m->channels = (int)channels;
    return st;
}

static status take_victims(struct matrix *m, struct errmsg *e)
{
    if (!m->set[MATRIX_VICTIMS]) {
        snprintf(m->victim[0], sizeof m->victim[0], "%s", train_options_default().arch);
        m->n_victims = 1;
        return STATUS_OK;
    }
    AUTO(buf_done) struct buf names = BUF_INIT(400);
    const struct train_net *net;
    status st = matrix_names(m, MATRIX_VICTIMS, m->victim, &m->n_victims, e);
    for (int i = 0; !st && (net = train_net_at(i)); i++)
        status_ignore(buf_addf(&names, "%s%s", names.len ? ", " : "", net->name), "cut there");
    for (int i = 0; i < m->n_victims && !st; i++)
        if (!train_net_find(m->victim[i]))
            st = matrix_fail(m, m->set[MATRIX_VICTIMS]->line,
                             errmsg_set(e, STATUS_INVALID, "there is no network '%s'; there are %s",
                                        m->victim[i], names.data),
                             e);
    return st;
}

static status take_seeds(struct matrix *m, struct errmsg *e)
{
    if (!m->set[MATRIX_SEEDS]) {
        m->n_seeds = 1; /* 0 */
        return STATUS_OK;
    }
    char names[MATRIX_LIST_MAX][MATRIX_NAME_MAX];
    status st = matrix_names(m, MATRIX_SEEDS, names, &m->n_seeds, e);
    for (int i = 0; i < m->n_seeds && !st; i++) {
        if (names[i][strspn(names[i], "0123456789")] || strlen(names[i]) > 18)
            return matrix_fail(
                m, m->set[MATRIX_SEEDS]->line,
                errmsg_set(e, STATUS_INVALID, "'%s' is no seed (a whole number)", names[i]), e);
        m->seed[i] = strtoull(names[i], NULL, 10);
    }
    return st;
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
    st = take_numbers(m, e);
    if (!st)
        st = take_victims(m, e);
    if (!st)
        st = take_seeds(m, e);
    return st ? st : matrix_members(m, e);
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
    members_free(m->protection, m->n_protections);
    members_free(m->countermeasure, m->n_countermeasures);
    mem_free(m->path);
    *m = (struct matrix){.path = NULL};
}
