#include "bench/table.h"

#include <math.h>
#include <string.h>

struct group *table_group(const struct table *t, int p, int c, int v)
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
        struct group *g = table_group(t, c->protection, c->countermeasure, c->victim);
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

void table_put(struct table *t, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!t->st)
        t->st = buf_add(t->out, text, strlen(text));
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
        table_markdown(&t, figure);
    else if (format == TRAIN_BENCH_CSV)
        table_csv(&t);
    else
        st = table_json(&t, e);
    return st ? st : t.st;
}
