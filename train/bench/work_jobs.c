/* Jobs that run: what has ended, and whose they still are. */
#include "bench/work.h"

void work_close(struct job *j)
{
    claim_release(&j->claim);
    *j = (struct job){.used = false};
}

void work_look(struct work *w)
{
    for (int i = 0; i < w->b->n_cells; i++)
        w->done[i] = w->done[i] || bench_there(w->b, "results", w->b->cell[i].id, ".json");
}

void work_settle(struct work *w, struct job *j, status st, const struct errmsg *e)
{
    if (st && st != STATUS_CANCELLED)
        work_fail(w, j, errmsg_text(e, st));
    work_close(j);
    work_look(w);
    if (!st)
        tree_remove_unneeded(w->b);
}

void work_collect(struct work *w)
{
    for (struct job *j = w->job; j < w->job + WORK_JOBS_MAX; j++) {
        struct errmsg e = {""};
        int code;
        if (j->used && child_ended(j->pid, &code))
            work_settle(w, j, stop_requested() && code ? STATUS_CANCELLED : job_end(w, j, code, &e),
                        &e);
    }
}

void work_tick(void *work)
{
    struct work *w = work;
    uint64_t now = time_mono_ns();
    if (now < w->refresh_ns)
        return;
    w->refresh_ns = now + (uint64_t)CLAIM_REFRESH_S * 1000000000;
    for (struct job *j = w->job; j < w->job + WORK_JOBS_MAX; j++)
        if (j->used && claim_refresh(&j->claim) == STATUS_NOT_FOUND && j->pid) {
            child_kill(j->pid);
            work_close(j);
        }
}

int work_running(const struct work *w)
{
    int n = 0;
    for (int i = 0; i < WORK_JOBS_MAX; i++)
        n += w->job[i].used;
    return n;
}

/* ---- what an end in the midst of things left behind ---- */

void work_remove_run(const struct work *w, const struct bench_cell *c)
{
    AUTO(mem_free) char *run = bench_path(w->b, "runs", c->id, "");
    AUTO(mem_free) char *out = bench_path(w->b, "runs", c->id, ".out");
    if (run)
        tree_remove_folder(run);
    if (out)
        (void)unlink(out);
}

void work_tidy(struct work *w)
{
    static const char *const nothing[CLAIM_NEEDS_MAX];
    for (int i = 0; i < w->b->n_cells; i++) {
        const struct bench_cell *c = &w->b->cell[i];
        struct claim claim;
        if (!w->done[i] ||
            !(bench_there(w->b, "runs", c->id, "") || bench_there(w->b, "runs", c->id, ".out") ||
              bench_there(w->b, "claims", c->id, "")) ||
            claim_take(w->claims, c->id, nothing, CLAIM_STALE_S, &claim, NULL))
            continue;
        work_remove_run(w, c);
        bench_remove_aside(w->b, "results", c->id);
        claim_release(&claim);
    }
    tree_remove_unneeded(w->b);
}
