/* Which cells there are, and the trees that they need. */
#include "bench/plan.h"

#include <fnmatch.h>
#include <string.h>

static status put_text(struct given *g, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
static status put_text(struct given *g, const char *key, const char *fmt, ...)
{
    struct given_item item = {.flag = false};
    va_list args;
    va_start(args, fmt);
    vsnprintf(item.value, sizeof item.value, fmt, args);
    va_end(args);
    snprintf(item.key, sizeof item.key, "%s", key);
    return given_put(g, &item);
}

status bench_train_options(const struct matrix *m, const struct bench_cell *c, struct given *out,
                           struct errmsg *e)
{
    int line = 0;
    *out = m->train;
    status st = given_merge(out, &m->countermeasure[c->countermeasure].given);
    if (!st && (st = given_check_recipe(out, &line, e)))
        return matrix_fail(m, line, st, e);
    if (!st)
        st = put_text(out, "arch", "%s", m->victim[c->victim].name);
    if (!st)
        st = put_text(out, "seed", "%llu", (unsigned long long)c->seed);
    if (!st && m->size)
        st = put_text(out, "size", "%d", m->size);
    if (!st && m->channels)
        st = put_text(out, "channels", "%d", m->channels);
    return st;
}

static bool is_chosen(const struct matrix *m, const struct bench_cell *c, const char *pattern)
{
    char text[4 * MATRIX_NAME_MAX];
    snprintf(text, sizeof text, "%s %s %s %llu", m->protection[c->protection].name,
             m->countermeasure[c->countermeasure].name, m->victim[c->victim].name,
             (unsigned long long)c->seed);
    return !pattern || fnmatch(pattern, text, FNM_EXTMATCH) == 0;
}

/* A file of first weights counts by what is in it. */
static json_t *train_json(const struct given *options, const struct plan_by *by)
{
    json_t *j = given_json(options);
    for (int i = 0; j && i < options->n; i++)
        if (given_is_path(&options->item[i]))
            json_object_set_new(j, options->item[i].key, json_string(by->init));
    return j;
}

/* A command counts by its text and by what is in its files. */
static json_t *victim_json(const struct matrix *m, const struct bench_cell *c)
{
    const struct matrix_victim *v = &m->victim[c->victim];
    return json_pack("{s:s, s:O?, s:I}", "command", v->command, "files", v->digests, "seed",
                     (json_int_t)c->seed);
}

static status add_cell(struct train_bench *b, struct bench_cell c, const struct plan_by *by,
                       const char *pattern, struct errmsg *e)
{
    AUTO(mem_free) struct given *options = mem_alloc(sizeof *options);
    status st = options ? bench_train_options(&b->matrix, &c, options, e) : STATUS_NOMEM;
    if (st)
        return st;
    bool command = bench_command(b, &c);
    c.chosen = is_chosen(&b->matrix, &c, pattern);
    c.description =
        json_pack("{s:s, s:O, s:s, s:o}", "version", RELEARN_VERSION, "images",
                  b->tree[c.tree].description, "test", b->test_digest, command ? "victim" : "train",
                  command ? victim_json(&b->matrix, &c) : train_json(options, by));
    if ((st = plan_name(c.description, c.id))) {
        json_decref(c.description);
        return st;
    }
    b->cell[b->n_cells++] = c;
    return STATUS_OK;
}

static status add_cells_of(struct train_bench *b, struct bench_cell c, const struct plan_by *by,
                           const char *pattern, struct errmsg *e)
{
    const struct matrix *m = &b->matrix;
    status st = STATUS_OK;
    for (c.victim = 0; c.victim < m->n_victims; c.victim++)
        for (int s = 0; s < m->n_seeds && !st; s++) {
            c.seed = m->seed[s];
            st = add_cell(b, c, by, pattern, e);
        }
    return st;
}

static status add_all(struct train_bench *b, const struct plan_by *by, const char *pattern,
                      struct errmsg *e)
{
    const struct matrix *m = &b->matrix;
    struct bench_cell c = {.seed = 0};
    int clean = 0, from = 0;
    status st = plan_add_clean(b, &clean);
    for (c.protection = 0; c.protection < m->n_protections && !st; c.protection++) {
        from = clean;
        st = plan_add_protected(b, &m->protection[c.protection], &from);
        for (c.countermeasure = 0; c.countermeasure < m->n_countermeasures && !st;
             c.countermeasure++) {
            const struct matrix_member *w = &m->countermeasure[c.countermeasure];
            c.tree = from;
            st = plan_add_purified(b, w, by[c.countermeasure].profile, &c.tree);
            if (!st)
                st = plan_add_diluted(b, w, by[c.countermeasure].clean, &c.tree);
            if (!st)
                st = add_cells_of(b, c, &by[c.countermeasure], pattern, e);
        }
    }
    return st;
}

status bench_plan(struct train_bench *b, const char *pattern, struct errmsg *e)
{
    const struct matrix *m = &b->matrix;
    size_t rows = (size_t)(m->n_protections + m->n_more_protections);
    size_t columns = (size_t)m->n_countermeasures;
    AUTO(mem_free) struct plan_by *by = mem_zalloc(columns, sizeof *by);
    b->tree = mem_zalloc(1 + rows * (1 + 3 * columns), sizeof *b->tree);
    b->cell =
        mem_zalloc(rows * columns * (size_t)m->n_victims * (size_t)m->n_seeds, sizeof *b->cell);
    status st = by && b->tree && b->cell ? plan_countermeasures(b, by, e) : STATUS_NOMEM;
    if (!st)
        st = add_all(b, by, pattern, e);
    for (int i = 0; i < b->n_cells && !st; i++)
        if (b->cell[i].chosen)
            return STATUS_OK;
    return st ? st : errmsg_set(e, STATUS_INVALID, "no cell is called '%s'", pattern);
}
