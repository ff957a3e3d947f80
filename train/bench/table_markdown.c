/* A table for people, for each victim. */
#include "bench/table.h"

#include <math.h>

static const char *const captions[TRAIN_BENCH_FIGURE_COUNT] = {
    [TRAIN_BENCH_LAST] = "accuracy on the test images after the last epoch, percent",
    [TRAIN_BENCH_BEST] = "best accuracy on the test images of all epochs tested, percent",
    [TRAIN_BENCH_TRAIN] = "accuracy on the training images, percent",
    [TRAIN_BENCH_PSNR] = "PSNR of the training images to the clean ones, dB",
    [TRAIN_BENCH_COHERENT] = "what training images of a class have in common of their difference "
                             "to the clean ones, grey levels",
};

static void put_value(struct table *t, const struct group *g, enum train_bench_figure f)
{
    double scale = f == TRAIN_BENCH_PSNR || f == TRAIN_BENCH_COHERENT ? 1 : 100;
    if (g->done == 0 || isnan(g->mean[f]))
        table_put(t, " - |");
    else if (isinf(g->mean[f]))
        table_put(t, " ∞ |");
    else if (g->done == 1)
        table_put(t, " %.1f%s |", scale * g->mean[f], g->n > 1 ? " (1 seed)" : "");
    else if (g->done < g->n)
        table_put(t, " %.1f ± %.1f (%d seeds) |", scale * g->mean[f], scale * g->deviation[f],
                  g->done);
    else
        table_put(t, " %.1f ± %.1f |", scale * g->mean[f], scale * g->deviation[f]);
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
    table_put(t, "%s: %s\n\n| |", m->victim[v].name, captions[f]);
    for (int c = 0; c < m->n_countermeasures; c++)
        if (wanted(t, -1, c, v))
            table_put(t, " %s |", m->countermeasure[c].name);
    table_put(t, "\n| --- |");
    for (int c = 0; c < m->n_countermeasures; c++)
        if (wanted(t, -1, c, v))
            table_put(t, " ---: |");
    table_put(t, "\n");
    for (int p = 0; p < m->n_protections; p++) {
        if (!wanted(t, p, -1, v))
            continue;
        table_put(t, "| %s |", m->protection[p].name);
        for (int c = 0; c < m->n_countermeasures; c++)
            if (wanted(t, -1, c, v))
                put_value(t, table_group(t, p, c, v), f);
        table_put(t, "\n");
    }
}

void table_markdown(struct table *t, enum train_bench_figure f)
{
    bool any = false;
    for (int v = 0; v < t->b->matrix.n_victims; v++) {
        if (!wanted(t, -1, -1, v))
            continue;
        table_put(t, "%s", any ? "\n" : "");
        markdown_victim(t, v, f);
        any = true;
    }
}
