#include "study.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/banned.h"

enum { STUDY_BYTES_MAX = 64 << 20 };

struct study {
    json_t *table; /* {"means": [{"protection", "countermeasure", "victim", "profile", ...}]} */
    const char *protection[STUDY_PROTECTIONS_MAX]; /* the table's */
    int n;
};

/* "" where it is no text. */
static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static double number_of(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static json_t *means(const struct study *s)
{
    return json_object_get(s->table, "means");
}

static bool knows(const struct study *s, const char *protection)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->protection[i], protection) == 0)
            return true;
    return false;
}

/* The protections that any profile was measured on. */
static void find_protections(struct study *s)
{
    size_t i;
    json_t *row;
    json_array_foreach(means(s), i, row)
    {
        const char *protection = text_of(row, "protection");
        if (*text_of(row, "profile") && *protection && s->n < STUDY_PROTECTIONS_MAX &&
            !knows(s, protection))
            s->protection[s->n++] = protection;
    }
}

static status read_table(struct study *s, const char *path, struct errmsg *e)
{
    AUTO(mem_free) void *text = NULL;
    size_t len = 0;
    json_error_t why;
    status st = io_read_file(path, STUDY_BYTES_MAX, &text, &len, e);
    if (st)
        return st;
    s->table = json_loadb(text, len, 0, &why);
    if (!s->table)
        return errmsg_set(e, STATUS_CORRUPT, "%s:%d: %s", path, why.line, why.text);
    if (!json_is_array(means(s)))
        return errmsg_set(e, STATUS_CORRUPT,
                          "%s is not what relearn bench --table --json prints: it has no means",
                          path);
    find_protections(s);
    return STATUS_OK;
}

status study_open(struct study **out, struct errmsg *e)
{
    AUTO(mem_free) char *dir = NULL;
    AUTO(mem_free) char *path = NULL;
    AUTO(study_free) struct study *s = mem_zalloc(1, sizeof *s);
    status st = s ? path_data_dir(&dir) : STATUS_NOMEM;
    if (!st && !(path = mem_printf("%s/profiles/study.json", dir)))
        st = STATUS_NOMEM;
    if (!st)
        st = read_table(s, path, e);
    if (!st)
        *out = TAKE(s);
    return st;
}

void study_free(struct study *s)
{
    if (s)
        json_decref(s->table);
    mem_free(s);
}

int study_protections(const struct study *s)
{
    return s->n;
}

const char *study_protection(const struct study *s, int i)
{
    return s->protection[i];
}

/* What the victim learns of clean images. */
static double clean_accuracy(const struct study *s, const char *victim)
{
    size_t i;
    json_t *row;
    json_array_foreach(means(s), i, row) if (strcmp(text_of(row, "protection"), "clean") == 0 &&
                                             strcmp(text_of(row, "countermeasure"), "none") == 0 &&
                                             strcmp(text_of(row, "victim"), victim) ==
                                                 0) return number_of(row, "last");
    return NAN;
}

struct mean {
    double sum;
    int n;
};
static void mean_add(struct mean *m, double v)
{
    if (!isfinite(v))
        return;
    m->sum += v;
    m->n++;
}
static double mean_of(struct mean m)
{
    return m.n ? m.sum / m.n : NAN;
}

struct study_figure study_figure(const struct study *s, const char *profile_id, int protection)
{
    struct mean of_clean = {0, 0}, psnr = {0, 0};
    size_t i;
    json_t *row;
    json_array_foreach(means(s), i, row)
    {
        if (strcmp(text_of(row, "profile"), profile_id) != 0 ||
            strcmp(text_of(row, "protection"), s->protection[protection]) != 0)
            continue;
        mean_add(&of_clean, number_of(row, "last") / clean_accuracy(s, text_of(row, "victim")));
        mean_add(&psnr, number_of(row, "psnr"));
    }
    return (struct study_figure){mean_of(of_clean), mean_of(psnr)};
}
