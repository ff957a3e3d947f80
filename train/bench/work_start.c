/* What can begin. */
#include "bench/work.h"

/* The first of the trees that a cell needs which is not there; -1: all are. */
static int missing_tree(const struct train_bench *b, int tree)
{
    int missing = -1;
    for (; tree >= 0 && !tree_ready(b, tree); tree = b->tree[tree].source)
        missing = tree;
    return missing > 0 && !tree_ready(b, 0) ? 0 : missing;
}

/* Claims a tree or a cell and starts it. BUSY: somebody is at it, or its source has just gone. */
static status begin(struct work *w, int tree, int cell)
{
    const struct train_bench *b = w->b;
    struct job *j = w->job;
    while (j->used)
        j++;
    struct errmsg e = {""};
    int reads = cell >= 0 ? b->cell[cell].tree : b->tree[tree].source;
    const char *const needs[CLAIM_NEEDS_MAX] = {reads >= 0 ? b->tree[reads].id : NULL,
                                                cell < 0 && reads >= 0 ? b->tree[0].id : NULL};
    *j = (struct job){.tree = tree, .cell = cell};
    status st = claim_take(w->claims, job_id(w, j), needs, CLAIM_STALE_S, &j->claim, &e);
    if (st == STATUS_BUSY)
        return st;
    j->used = true;
    bool gone = !st && reads >= 0 && (!tree_ready(b, reads) || (needs[1] && !tree_ready(b, 0)));
    bool made = !st && (cell >= 0 ? bench_there(b, "results", b->cell[cell].id, ".json")
                                  : tree_ready(b, tree));
    if (gone || made) {
        work_close(j);
        work_look(w);
        return STATUS_BUSY;
    }
    if (!st)
        st = job_start(w, j, &e);
    if (!st && !j->pid) /* done within this process */
        st = job_end(w, j, 0, &e);
    else if (!st)
        return STATUS_OK;
    work_settle(w, j, st, &e);
    return st == STATUS_CANCELLED ? STATUS_CANCELLED : STATUS_OK;
}

bool work_start(struct work *w)
{
    bool any = false;
    for (int i = 0; i < w->b->n_cells && work_running(w) < w->b->jobs && !stop_requested(); i++) {
        const struct bench_cell *c = &w->b->cell[i];
        if (!c->chosen || w->done[i] || w->cell_why[i])
            continue;
        int tree = missing_tree(w->b, c->tree);
        any |= begin(w, tree, tree < 0 ? i : -1) == STATUS_OK;
    }
    return any;
}
