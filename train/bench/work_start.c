/* What can begin. */
#include "bench/work.h"

#include <assert.h>

/* The tree to make first, so that this one will be there; -1: it is. */
static int missing_tree(const struct train_bench *b, int tree)
{
    if (tree_ready(b, tree))
        return -1;
    int needs[BENCH_NEEDS_MAX], n = bench_needs(b, tree, needs);
    for (int i = 0; i < n; i++) {
        int missing = missing_tree(b, needs[i]);
        if (missing >= 0)
            return missing;
    }
    return tree;
}

/* Claims a tree or a cell and starts it. BUSY: somebody is at it, or what it reads has just gone. */
static status begin(struct work *w, int tree, int cell)
{
    const struct train_bench *b = w->b;
    struct job *j = w->job;
    while (j->used)
        j++;
    struct errmsg e = {""};
    int reads[BENCH_NEEDS_MAX] = {cell >= 0 ? b->cell[cell].tree : -1};
    int n = cell >= 0 ? 1 : bench_needs(b, tree, reads);
    const char *needs[CLAIM_NEEDS_MAX] = {NULL};
    static_assert((int)BENCH_NEEDS_MAX <= (int)CLAIM_NEEDS_MAX, "a claim has room for all");
    for (int i = 0; i < n; i++)
        needs[i] = b->tree[reads[i]].id;
    *j = (struct job){.tree = tree, .cell = cell};
    status st = claim_take(w->claims, job_id(w, j), needs, CLAIM_STALE_S, &j->claim, &e);
    if (st == STATUS_BUSY)
        return st;
    j->used = true;
    bool gone = false;
    for (int i = 0; i < n && !st; i++)
        gone |= !tree_ready(b, reads[i]);
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
