#include "bench/work.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum {
    TURN_MS = 50,      /* between looks at the children */
    OTHERS_MS = 1000,  /* between looks at what others do, while there is nothing to start */
    STOPPING_MS = 800, /* for children to save what they have */
};

static void sleep_ms(int ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL); /* a signal ends it early: so it should */
}

/* ---- failures ---- */

static void cell_name(const struct train_bench *b, const struct bench_cell *c, char out[256])
{
    snprintf(out, 256, "%s %s %s %llu", b->matrix.protection[c->protection].name,
             b->matrix.countermeasure[c->countermeasure].name, b->matrix.victim[c->victim],
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
    cell_name(w->b, c, name);
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

static void fail_job(struct work *w, const struct job *j, const char *why)
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

/* ---- jobs ---- */

static void close_job(struct job *j)
{
    claim_release(&j->claim);
    *j = (struct job){.used = false};
}

static void look_for_results(struct work *w)
{
    for (int i = 0; i < w->b->n_cells; i++)
        w->done[i] = w->done[i] || bench_there(w->b, "results", w->b->cell[i].id, ".json");
}

/* What a job that has done its work, or not, leaves to do. */
static void settle(struct work *w, struct job *j, status st, const struct errmsg *e)
{
    if (st && st != STATUS_CANCELLED)
        fail_job(w, j, errmsg_text(e, st));
    close_job(j);
    look_for_results(w);
    if (!st)
        tree_remove_unneeded(w->b);
}

static void collect(struct work *w)
{
    for (struct job *j = w->job; j < w->job + WORK_JOBS_MAX; j++) {
        struct errmsg e = {""};
        int code;
        if (j->used && child_ended(j->pid, &code))
            settle(w, j, stop_requested() && code ? STATUS_CANCELLED : job_end(w, j, code, &e), &e);
    }
}

/* Touches claims; work whose claim somebody else has is given up. */
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
            close_job(j);
        }
}

static int running(const struct work *w)
{
    int n = 0;
    for (int i = 0; i < WORK_JOBS_MAX; i++)
        n += w->job[i].used;
    return n;
}

/* ---- what can begin ---- */

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
        close_job(j);
        look_for_results(w);
        return STATUS_BUSY;
    }
    if (!st)
        st = job_start(w, j, &e);
    if (!st && !j->pid) /* done within this process */
        st = job_end(w, j, 0, &e);
    else if (!st)
        return STATUS_OK;
    settle(w, j, st, &e);
    return st == STATUS_CANCELLED ? STATUS_CANCELLED : STATUS_OK;
}

/* Starts what can be started while there are free places. Returns whether something was. */
static bool start_some(struct work *w)
{
    bool any = false;
    for (int i = 0; i < w->b->n_cells && running(w) < w->b->jobs && !stop_requested(); i++) {
        const struct bench_cell *c = &w->b->cell[i];
        if (!c->chosen || w->done[i] || w->cell_why[i])
            continue;
        int tree = missing_tree(w->b, c->tree);
        any |= begin(w, tree, tree < 0 ? i : -1) == STATUS_OK;
    }
    return any;
}

/* ---- the course ---- */

static void show(struct work *w)
{
    char text[160] = "", name[256];
    int done = 0, n = 0;
    for (int i = 0; i < w->b->n_cells; i++) {
        n += w->b->cell[i].chosen;
        done += w->b->cell[i].chosen && w->done[i];
    }
    for (int i = 0; i < WORK_JOBS_MAX && strlen(text) < 100; i++) {
        const struct job *j = &w->job[i];
        size_t len = strlen(text);
        if (j->used && j->cell >= 0)
            cell_name(w->b, &w->b->cell[j->cell], name);
        else if (j->used)
            snprintf(name, sizeof name, "%s %s",
                     w->b->tree[j->tree].kind == BENCH_PROTECTED ? "protect" : "purify",
                     w->b->tree[j->tree].by ? w->b->tree[j->tree].by->name : "");
        if (j->used)
            snprintf(text + len, sizeof text - len, "%s%.60s", len ? "; " : "", name);
    }
    w->bar.total = (uint64_t)n;
    progress_update(&w->bar, (uint64_t)done, text);
}

static bool is_open(const struct work *w)
{
    for (int i = 0; i < w->b->n_cells; i++)
        if (w->b->cell[i].chosen && !w->done[i] && !w->cell_why[i])
            return true;
    return false;
}

/* Children save what they can, for a moment. */
static void stop_children(struct work *w)
{
    for (struct job *j = w->job; j < w->job + WORK_JOBS_MAX; j++)
        if (j->used)
            kill(j->pid, SIGTERM);
    for (int ms = 0; ms < STOPPING_MS && running(w); ms += TURN_MS) {
        collect(w);
        sleep_ms(TURN_MS);
    }
    for (struct job *j = w->job; j < w->job + WORK_JOBS_MAX; j++)
        if (j->used) {
            child_kill(j->pid);
            close_job(j);
        }
}

static status course(struct work *w)
{
    uint64_t look_ns = 0;
    while (is_open(w) && !stop_requested()) {
        int before = running(w);
        bool any = false;
        if (before < w->b->jobs && time_mono_ns() >= look_ns) {
            look_for_results(w);
            any = start_some(w);
        }
        if (!any && running(w) == before && time_mono_ns() >= look_ns)
            look_ns = time_mono_ns() + (uint64_t)OTHERS_MS * 1000000;
        show(w);
        sleep_ms(TURN_MS);
        collect(w);
        if (running(w) < before)
            look_ns = 0;
        work_tick(w);
    }
    if (stop_requested())
        stop_children(w);
    return stop_requested() ? STATUS_CANCELLED : STATUS_OK;
}

static status make_folders(const struct train_bench *b, struct errmsg *e)
{
    static const char *const names[] = {"results", "failed", "trees", "runs", "logs", "claims"};
    status st = STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(names) && !st; i++) {
        AUTO(mem_free) char *path = mem_printf("%s/%s", b->out, names[i]);
        st = path ? io_mkdirs(path, 0, e) : STATUS_NOMEM;
    }
    return st;
}

static void summarise(const struct work *w, struct train_bench_result *out)
{
    *out = (struct train_bench_result){.failed = w->failed};
    for (int i = 0; i < w->b->n_cells; i++) {
        out->cells += w->b->cell[i].chosen;
        out->done += w->b->cell[i].chosen && w->done[i];
    }
    snprintf(out->first_why, sizeof out->first_why, "%s", w->first_why);
}

static void work_free(struct work *w)
{
    for (int i = 0; w->cell_why && i < w->b->n_cells; i++)
        mem_free(w->cell_why[i]);
    mem_free(w->cell_why);
    mem_free(w->done);
    mem_free(w->claims);
    mem_free(w);
}

status train_bench_run(struct train_bench *b, struct train_bench_result *out, struct errmsg *e)
{
    struct work *w = mem_zalloc(1, sizeof *w);
    if (!w)
        return STATUS_NOMEM;
    w->b = b;
    w->claims = mem_printf("%s/claims", b->out);
    w->cell_why = mem_zalloc((size_t)b->n_cells, sizeof *w->cell_why);
    w->done = mem_zalloc((size_t)b->n_cells, sizeof *w->done);
    status st = w->claims && w->cell_why && w->done ? make_folders(b, e) : STATUS_NOMEM;
    if (!st) {
        struct train_bench_result now;
        look_for_results(w);
        tree_remove_unneeded(b);
        summarise(w, &now);
        progress_init(&w->bar, "bench", (uint64_t)now.done, (uint64_t)now.cells, b->quiet);
        st = course(w);
        summarise(w, out);
        if (!st)
            progress_done(&w->bar, (uint64_t)out->done, NULL);
    }
    work_free(w);
    return st;
}
