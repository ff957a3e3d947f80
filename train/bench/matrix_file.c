/* The lines of a matrix file, and which sections there may be. */
#include "bench/matrix.h"

#include <string.h>

enum { FILE_MAX = 256 << 10 }; /* bytes */

static const char *const keys[MATRIX_KEY_COUNT] = {
    [MATRIX_DATA] = "data",
    [MATRIX_TEST] = "test",
    [MATRIX_IMAGES] = "images",
    [MATRIX_SIZE] = "size",
    [MATRIX_CHANNELS] = "channels",
    [MATRIX_PROTECTIONS] = "protections",
    [MATRIX_COUNTERMEASURES] = "countermeasures",
    [MATRIX_VICTIMS] = "victims",
    [MATRIX_SEEDS] = "seeds",
};

enum matrix_key matrix_key(const char *key)
{
    int i = 0;
    while (i < MATRIX_KEY_COUNT && strcmp(keys[i], key) != 0)
        i++;
    return (enum matrix_key)i;
}

void matrix_keys(struct buf *out)
{
    for (int i = 0; i < MATRIX_KEY_COUNT; i++)
        status_ignore(buf_addf(out, "%s%s", i ? ", " : "", keys[i]), "the list is cut there");
}

const char *matrix_section(const struct matrix_line *l, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(l->section, kind, n) == 0 && l->section[n] == ' ' && l->section[n + 1]
               ? l->section + n + 1
               : NULL;
}

bool matrix_begins(const struct matrix *m, int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(m->lines[k].section, m->lines[i].section) == 0)
            return false;
    return true;
}

static bool is_section(const struct matrix_line *l)
{
    return strcmp(l->section, "bench") == 0 || strcmp(l->section, "train") == 0 ||
           matrix_section(l, "preset") || matrix_section(l, "protection") ||
           matrix_section(l, "countermeasure") || matrix_section(l, "victim");
}

/* A list may go on in indented lines, with or without a comma before. */
static status go_on(struct matrix *m, const struct ini_value *v, struct errmsg *why)
{
    struct matrix_line *last = &m->lines[m->n_lines - 1];
    if (matrix_key(v->key) < MATRIX_PROTECTIONS || matrix_key(v->key) == MATRIX_KEY_COUNT)
        return errmsg_set(why, STATUS_INVALID,
                          "%s is given twice (an indented line continues the last)", v->key);
    size_t n = strlen(last->value);
    bool comma = n && last->value[n - 1] == ',';
    char *joined = mem_printf("%s%s%s", last->value, comma ? "" : ",", v->value);
    if (!joined)
        return STATUS_NOMEM;
    mem_free(last->value);
    last->value = joined;
    return STATUS_OK;
}

static status take_line(void *arg, const struct ini_value *v, struct errmsg *why)
{
    struct matrix *m = arg;
    struct matrix_line *l = &m->lines[m->n_lines];
    if (v->more && m->n_lines)
        return go_on(m, v, why);
    for (int i = 0; i < m->n_lines; i++)
        if (strcmp(m->lines[i].section, v->section) == 0 && strcmp(m->lines[i].key, v->key) == 0)
            return errmsg_set(why, STATUS_INVALID, "%s is given twice (in line %d, too)", v->key,
                              m->lines[i].line);
    if (m->n_lines == MATRIX_LINES_MAX)
        return errmsg_set(why, STATUS_LIMIT, "more than %d lines", MATRIX_LINES_MAX);
    *l = (struct matrix_line){mem_strdup(v->section), mem_strdup(v->key), mem_strdup(v->value),
                              v->line};
    m->n_lines++;
    if (!l->section || !l->key || !l->value)
        return STATUS_NOMEM;
    if (!is_section(l))
        return errmsg_set(why, STATUS_INVALID,
                          "there is no section [%.48s]; there are [bench], [train], [preset NAME], "
                          "[protection NAME], [countermeasure NAME] and [victim NAME]",
                          v->section);
    if (strcmp(l->section, "bench") == 0 && matrix_key(l->key) == MATRIX_KEY_COUNT) {
        AUTO(buf_done) struct buf names = BUF_INIT(300);
        matrix_keys(&names);
        return errmsg_set(why, STATUS_INVALID, "[bench] has no '%.48s'; it has %s", l->key,
                          names.data);
    }
    return STATUS_OK;
}

static status check_preset(const struct matrix *m, const char *preset, struct errmsg *e)
{
    AUTO(buf_done) struct buf names = BUF_INIT(300);
    for (int i = 0; i < m->n_lines; i++) {
        const char *name = matrix_section(&m->lines[i], "preset");
        if (!preset || (name && strcmp(name, preset) == 0))
            return STATUS_OK;
        if (name && matrix_begins(m, i))
            status_ignore(buf_addf(&names, "%s%s", names.len ? ", " : "", name), "cut there");
    }
    return preset ? errmsg_set(e, STATUS_INVALID, "%s has no preset '%.48s'; it has %s", m->path,
                               preset, names.len ? names.data : "none")
                  : STATUS_OK;
}

status matrix_load(struct matrix *m, const char *preset, struct errmsg *e)
{
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    m->lines = mem_zalloc(MATRIX_LINES_MAX, sizeof *m->lines);
    status st = m->lines ? io_read_file(m->path, FILE_MAX, &text, &len, e) : STATUS_NOMEM;
    if (!st)
        st = ini_text_read(m->path, text, len, take_line, m, e);
    return st ? st : check_preset(m, preset, e);
}
