/* Who is trained: networks, and commands of sections [victim NAME]. */
#include "bench/matrix.h"

#include "model.h"

#include <string.h>

static status take_line(struct matrix_victim *v, const struct matrix_line *l, struct errmsg *e)
{
    bool command = strcmp(l->key, "command") == 0;
    if (!command && strcmp(l->key, "files") != 0)
        return errmsg_set(e, STATUS_INVALID, "a victim has no '%.48s'; it has command, files",
                          l->key);
    if (!l->value[strspn(l->value, " \t")])
        return errmsg_set(e, STATUS_INVALID, "%s: it is empty", l->key);
    return matrix_set_text(command ? &v->command : &v->files, l->value);
}

/* The section that begins at this line. */
static status read_section(const struct matrix *m, int section, struct matrix_victim *v,
                           struct errmsg *e)
{
    const struct matrix_line *first = &m->lines[section];
    const char *name = matrix_section(first, "victim");
    v->line = first->line;
    status st = matrix_name(name, strlen(name), v->name, e);
    if (!st && train_net_find(v->name))
        st = errmsg_set(e, STATUS_INVALID, "%s is a network of relearn train: call it otherwise",
                        v->name);
    if (st)
        return matrix_fail(m, first->line, st, e);
    for (int i = section; i < m->n_lines; i++)
        if (strcmp(m->lines[i].section, first->section) == 0 &&
            (st = take_line(v, &m->lines[i], e)))
            return matrix_fail(m, m->lines[i].line, st, e);
    if (!v->command)
        st = errmsg_set(e, STATUS_INVALID, "victim %s has no command", v->name);
    return st ? matrix_fail(m, first->line, st, e) : STATUS_OK;
}

static void done(struct matrix_victim *v)
{
    mem_free(v->command);
    mem_free(v->files);
    json_decref(v->digests);
    *v = (struct matrix_victim){.line = 0};
}

/* All sections are checked; v becomes that of its name, if there is one. */
static status find_section(const struct matrix *m, struct matrix_victim *v, struct errmsg *e)
{
    status st = STATUS_OK;
    for (int i = 0; i < m->n_lines && !st; i++) {
        const char *name = matrix_section(&m->lines[i], "victim");
        struct matrix_victim read = {.line = 0};
        if (!name || !matrix_begins(m, i))
            continue;
        st = read_section(m, i, &read, e);
        if (!st && strcmp(read.name, v->name) == 0)
            *v = read;
        else
            done(&read);
    }
    return st;
}

static status unknown(const struct matrix *m, const char *name, struct errmsg *e)
{
    status st = train_net_unknown(name, e);
    return matrix_fail(m, m->set[MATRIX_VICTIMS]->line, st, e);
}

status matrix_take_victims(struct matrix *m, struct errmsg *e)
{
    char names[MATRIX_LIST_MAX][MATRIX_NAME_MAX];
    if (!m->set[MATRIX_VICTIMS]) {
        snprintf(names[0], sizeof names[0], "%s", train_options_default().arch);
        m->n_victims = 1;
    }
    status st = m->n_victims ? STATUS_OK : matrix_names(m, MATRIX_VICTIMS, names, &m->n_victims, e);
    for (int i = 0; i < m->n_victims && !st; i++) {
        struct matrix_victim *v = &m->victim[i];
        snprintf(v->name, sizeof v->name, "%s", names[i]);
        st = find_section(m, v, e);
        if (!st && !v->command && !train_net_find(v->name))
            st = unknown(m, v->name, e);
    }
    return st;
}

status matrix_check_victims(const struct matrix *m, struct errmsg *e)
{
    for (int i = 0; i < m->n_victims; i++) {
        const struct matrix_victim *v = &m->victim[i];
        if (!v->command)
            continue;
        if (m->size || m->channels)
            return matrix_fail(m, v->line,
                               errmsg_set(e, STATUS_INVALID,
                                          "victim %s is a command, which gets the images as they "
                                          "are: size and channels are for networks",
                                          v->name),
                               e);
        for (int k = 0; k < m->n_countermeasures; k++) {
            const struct matrix_member *w = &m->countermeasure[k];
            if (w->given.n)
                return matrix_fail(
                    m, w->given.item[0].line,
                    errmsg_set(e, STATUS_INVALID,
                               "%s is an option of relearn train, and victim %s is a "
                               "command: they go into two matrices",
                               w->given.item[0].key, v->name),
                    e);
        }
    }
    return STATUS_OK;
}

void matrix_victims_done(struct matrix *m)
{
    for (int i = 0; i < MATRIX_LIST_MAX; i++)
        done(&m->victim[i]);
}
