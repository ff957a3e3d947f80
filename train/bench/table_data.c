/* Tables for programs. */
#include "bench/table.h"

#include <math.h>
#include <string.h>

void table_csv(struct table *t)
{
    const struct matrix *m = &t->b->matrix;
    table_put(t, "victim,protection,countermeasure,cells,done");
    for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++)
        table_put(t, ",%s,%s_deviation", train_bench_figures[f], train_bench_figures[f]);
    table_put(t, "\n");
    for (int i = 0; i < m->n_protections * m->n_countermeasures * m->n_victims; i++) {
        const struct group *g = &t->group[i];
        if (!g->n)
            continue;
        table_put(t, "%s,%s,%s,%d,%d", m->victim[g->victim].name, m->protection[g->protection].name,
                  m->countermeasure[g->countermeasure].name, g->n, g->done);
        for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++) {
            table_put(t, isnan(g->mean[f]) ? "," : ",%.6g", g->mean[f]);
            table_put(t, isnan(g->deviation[f]) ? "," : ",%.6g", g->deviation[f]);
        }
        table_put(t, "\n");
    }
}

static void set_figures(json_t *to, const double value[TRAIN_BENCH_FIGURE_COUNT], const char *tail)
{
    for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++) {
        char key[32];
        snprintf(key, sizeof key, "%s%s", train_bench_figures[f], tail);
        json_object_set_new(to, key, bench_real(value[f]));
    }
}

static status cells_json(const struct table *t, json_t *cells, struct errmsg *e)
{
    struct train_bench_cell c;
    for (int i = 0; i < train_bench_cells(t->b); i++) {
        status st = train_bench_cell(t->b, i, &c, e);
        if (st)
            return st;
        json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "protection", c.protection,
                              "countermeasure", c.countermeasure, "victim", c.victim, "seed",
                              (json_int_t)c.seed, "id", c.id, "state", train_bench_states[c.state]);
        if (j && c.state == TRAIN_BENCH_DONE)
            set_figures(j, c.figure, "");
        if (j && c.state == TRAIN_BENCH_FAILED)
            json_object_set_new(j, "why", json_string(c.why));
        if (json_array_append_new(cells, j))
            return STATUS_NOMEM;
    }
    return STATUS_OK;
}

/* The id of the profile that a countermeasure is; null: it is none, or is more than that. */
static json_t *profile_json(const struct table *t, int countermeasure)
{
    const struct train_bench *b = t->b;
    const struct matrix_member *m = &b->matrix.countermeasure[countermeasure];
    if (m->given.n || m->tune.n)
        return json_null();
    for (int i = 0; i < b->n_cells; i++) {
        const struct bench_tree *tree = &b->tree[b->cell[i].tree];
        if (b->cell[i].countermeasure == countermeasure && tree->kind == BENCH_PURIFIED)
            return json_incref(json_object_get(tree->description, "profile"));
    }
    return json_null();
}

status table_json(struct table *t, struct errmsg *e)
{
    const struct matrix *m = &t->b->matrix;
    json_t *means = json_array(), *cells = json_array();
    status st = cells_json(t, cells, e);
    for (int i = 0; i < m->n_protections * m->n_countermeasures * m->n_victims; i++) {
        const struct group *g = &t->group[i];
        if (!g->n)
            continue;
        json_t *j = json_pack("{s:s, s:s, s:s, s:o, s:i, s:i}", "victim", m->victim[g->victim].name,
                              "protection", m->protection[g->protection].name, "countermeasure",
                              m->countermeasure[g->countermeasure].name, "profile",
                              profile_json(t, g->countermeasure), "cells", g->n, "done", g->done);
        set_figures(j, g->mean, "");
        set_figures(j, g->deviation, "_deviation");
        json_array_append_new(means, j);
    }
    json_t *all = json_pack("{s:o, s:o}", "means", means, "cells", cells);
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
    if (!st)
        st = text ? buf_add(t->out, text, strlen(text)) : STATUS_NOMEM;
    table_put(t, "\n");
    free(text);
    json_decref(all);
    return st;
}
