/* What has failed, and which cells with it. */
#include "bench/work.h"

#include <string.h>

void work_cell_name(const struct train_bench *b, const struct bench_cell *c, char out[256])
{
    snprintf(out, 256, "%s %s %s %llu", b->matrix.protection[c->protection].name,
             b->matrix.countermeasure[c->countermeasure].name, b->matrix.victim[c->victim].name,
             (unsigned long long)c->seed);
}

static void fail_cell(struct work *w, int i, const char *why)
{
    char name[256];
    struct errmsg e = {""};
    const struct bench_cell *c = &w->b->cell[i];
    if (w->cell_why[i] || !c->chosen)
        return;
    w->cell_why[i] = mem_strdup(why);
    work_cell_name(w->b, c, name);
    if (w->bar.drawn && w->bar.tty)
        fputc('\n', stderr);
    log_error("%s failed: %s", name, why);
    if (w->failed++ == 0)
        snprintf(w->first_why, sizeof w->first_why, "%s: %s", name, why);
    status st = bench_failure_write(w->b, c, why, &e);
    if (st)
        log_error("%s", errmsg_text(&e, st));
}

static bool is_made_of(const struct train_bench *b, int tree, int part)
{
    for (; tree >= 0; tree = b->tree[tree].source)
        if (tree == part)
            return true;
    return false;
}

void work_fail(struct work *w, const struct job *j, const char *why)
{
    if (j->cell >= 0) {
        for (int i = 0; i < w->b->n_cells; i++) /* cells of two names may be one */
            if (strcmp(w->b->cell[i].id, w->b->cell[j->cell].id) == 0)
                fail_cell(w, i, why);
        return;
    }
    for (int i = 0; i < w->b->n_cells; i++)
        if (is_made_of(w->b, w->b->cell[i].tree, j->tree) && !w->done[i])
            fail_cell(w, i, why);
}
