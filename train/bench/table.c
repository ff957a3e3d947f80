/* What was measured, as a table: rows are protections, columns countermeasures, a value the mean
   over seeds. */
#include "bench/bench.h"

#include <math.h>
#include <string.h>

/* The cells of one protection, countermeasure and victim. */
struct group {
    int protection, countermeasure, victim;
    int n, done; /* cells, those with a result */
    double mean[TRAIN_BENCH_FIGURE_COUNT], deviation[TRAIN_BENCH_FIGURE_COUNT]; /* NAN: unknown */
};
struct table {
    const struct train_bench *b;
    struct group *group; /* [protection][countermeasure][victim] */
    struct buf *out;
    status st; /* the first failure; writing after it does nothing */
};

static struct group *group_of(const struct table *t, int p, int c, int v)
{
    const struct matrix *m = &t->b->matrix;
    return &t->group[((size_t)p * (size_t)m->n_countermeasures + (size_t)c) * (size_t)m->n_victims +
                     (size_t)v];
}

static void add_value(struct group *g, const double figure[TRAIN_BENCH_FIGURE_COUNT])
{
    g->done++;
    for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++) { /* Welford: deviation holds the squares */
        double from = figure[f] - g->mean[f];
        if (isfinite(figure[f]) && isfinite(g->mean[f])) {
            g->mean[f] += from / g->done;
            g->deviation[f] += from * (figure[f] - g->mean[f]);
        } else { /* no distance to the clean images: infinite in each seed */
            g->mean[f] = figure[f];
            g->deviation[f] = 0;
        }
    }
}

static void finish(struct group *g)
{
    for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++) {
        g->mean[f] = g->done ? g->mean[f] : NAN;
        g->deviation[f] = g->done > 1 ? sqrt(g->deviation[f] / (g->done - 1)) : NAN;
    }
}

static status collect(struct table *t, struct errmsg *e)
{
    const struct matrix *m = &t->b->matrix;
    struct train_bench_cell cell;
    int at = 0;
    for (int i = 0; i < t->b->n_cells; i++) {
        const struct bench_cell *c = &t->b->cell[i];
        struct group *g = group_of(t, c->protection, c->countermeasure, c->victim);
        g->protection = c->protection;
        g->countermeasure = c->countermeasure;
        g->victim = c->victim;
        if (!c->chosen)
            continue;
        g->n++;
        status st = train_bench_cell(t->b, at++, &cell, e);
        if (st)
            return st;
        if (cell.state == TRAIN_BENCH_DONE)
            add_value(g, cell.figure);
    }
    for (int i = 0; i < m->n_protections * m->n_countermeasures * m->n_victims; i++)
        finish(&t->group[i]);
    return STATUS_OK;
}

static void put(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct table *t, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!t->st)
        t->st = buf_add(t->out, text, strlen(text));
}

/* ---- Markdown ---- */

static const char *const captions[TRAIN_BENCH_FIGURE_COUNT] = {
    [TRAIN_BENCH_LAST] = "accuracy on the test images after the last epoch, percent",
    [TRAIN_BENCH_BEST] = "best accuracy on the test images of all epochs tested, percent",
    [TRAIN_BENCH_TRAIN] = "accuracy on the training images, percent",
    [TRAIN_BENCH_PSNR] = "PSNR of the training images to the clean ones, dB",
};

static void put_value(struct table *t, const struct group *g, enum train_bench_figure f)
{
    double scale = f == TRAIN_BENCH_PSNR ? 1 : 100;
    if (g->done == 0)
        put(t, " - |");
    else if (isinf(g->mean[f]))
        put(t, " ∞ |");
    else if (g->done == 1)
        put(t, " %.1f%s |", scale * g->mean[f], g->n > 1 ? " (1 seed)" : "");
    else if (g->done < g->n)
        put(t, " %.1f ± %.1f (%d seeds) |", scale * g->mean[f], scale * g->deviation[f], g->done);
    else
        put(t, " %.1f ± %.1f |", scale * g->mean[f], scale * g->deviation[f]);
}

/* Whether a cell of this row (or column, where p is -1) was asked for. */
static bool wanted(const struct table *t, int p, int c, int v)
{
    const struct matrix *m = &t->b->matrix;
    for (int i = 0; i < m->n_protections * m->n_countermeasures * m->n_victims; i++) {
        const struct group *g = &t->group[i];
        if (g->n && g->victim == v && (p < 0 || g->protection == p) &&
            (c < 0 || g->countermeasure == c))
            return true;
    }
    return false;
}

static void markdown_victim(struct table *t, int v, enum train_bench_figure f)
{
    const struct matrix *m = &t->b->matrix;
    put(t, "%s: %s\n\n| |", m->victim[v], captions[f]);
    for (int c = 0; c < m->n_countermeasures; c++)
        if (wanted(t, -1, c, v))
            put(t, " %s |", m->countermeasure[c].name);
    put(t, "\n| --- |");
    for (int c = 0; c < m->n_countermeasures; c++)
        if (wanted(t, -1, c, v))
            put(t, " ---: |");
    put(t, "\n");
    for (int p = 0; p < m->n_protections; p++) {
        if (!wanted(t, p, -1, v))
            continue;
        put(t, "| %s |", m->protection[p].name);
        for (int c = 0; c < m->n_countermeasures; c++)
            if (wanted(t, -1, c, v))
                put_value(t, group_of(t, p, c, v), f);
        put(t, "\n");
    }
}

static void markdown(struct table *t, enum train_bench_figure f)
{
    bool any = false;
    for (int v = 0; v < t->b->matrix.n_victims; v++) {
        if (!wanted(t, -1, -1, v))
            continue;
        put(t, "%s", any ? "\n" : "");
        markdown_victim(t, v, f);
        any = true;
    }
}

/* ---- for programs ---- */

static void csv(struct table *t)
{
    const struct matrix *m = &t->b->matrix;
    put(t, "victim,protection,countermeasure,cells,done");
    for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++)
        put(t, ",%s,%s_deviation", train_bench_figures[f], train_bench_figures[f]);
    put(t, "\n");
    for (int i = 0; i < m->n_protections * m->n_countermeasures * m->n_victims; i++) {
        const struct group *g = &t->group[i];
        if (!g->n)
            continue;
        put(t, "%s,%s,%s,%d,%d", m->victim[g->victim], m->protection[g->protection].name,
            m->countermeasure[g->countermeasure].name, g->n, g->done);
        for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++) {
            put(t, isnan(g->mean[f]) ? "," : ",%.6g", g->mean[f]);
            put(t, isnan(g->deviation[f]) ? "," : ",%.6g", g->deviation[f]);
        }
        put(t, "\n");
    }
}

static json_t *real_or_null(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static void set_figures(json_t *to, const double value[TRAIN_BENCH_FIGURE_COUNT], const char *tail)
{
    for (int f = 0; f < TRAIN_BENCH_FIGURE_COUNT; f++) {
        char key[32];
        snprintf(key, sizeof key, "%s%s", train_bench_figures[f], tail);
        json_object_set_new(to, key, real_or_null(value[f]));
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

static status json(struct table *t, struct errmsg *e)
{
    const struct matrix *m = &t->b->matrix;
    json_t *means = json_array(), *cells = json_array();
    status st = cells_json(t, cells, e);
    for (int i = 0; i < m->n_protections * m->n_countermeasures * m->n_victims; i++) {
        const struct group *g = &t->group[i];
        if (!g->n)
            continue;
        json_t *j =
            json_pack("{s:s, s:s, s:s, s:i, s:i}", "victim", m->victim[g->victim], "protection",
                      m->protection[g->protection].name, "countermeasure",
                      m->countermeasure[g->countermeasure].name, "cells", g->n, "done", g->done);
        set_figures(j, g->mean, "");
        set_figures(j, g->deviation, "_deviation");
        json_array_append_new(means, j);
    }
    json_t *all = json_pack("{s:o, s:o}", "means", means, "cells", cells);
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
    if (!st)
        st = text ? buf_add(t->out, text, strlen(text)) : STATUS_NOMEM;
    put(t, "\n");
    free(text);
    json_decref(all);
    return st;
}

status train_bench_table(const struct train_bench *b, enum train_bench_format format,
                         enum train_bench_figure figure, struct buf *out, struct errmsg *e)
{
    const struct matrix *m = &b->matrix;
    AUTO(mem_free)
    struct group *group =
        mem_zalloc((size_t)(m->n_protections * m->n_countermeasures * m->n_victims), sizeof *group);
    struct table t = {.b = b, .group = group, .out = out};
    status st = group ? collect(&t, e) : STATUS_NOMEM;
    if (st)
        return st;
    if (format == TRAIN_BENCH_MARKDOWN)
        markdown(&t, figure);
    else if (format == TRAIN_BENCH_CSV)
        csv(&t);
    else
        st = json(&t, e);
    return st ? st : t.st;
}
