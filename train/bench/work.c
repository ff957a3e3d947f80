#include "bench/work.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum {
    TURN_MS = 20,      /* between looks at the children */
    OTHERS_MS = 1000,  /* between looks at what others do, while there is nothing to start */
    STOPPING_MS = 800, /* for children to save what they have */
};

static void sleep_ms(int ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL); /* a signal ends it early: so it should */
}

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
            work_cell_name(w->b, &w->b->cell[j->cell], name);
        else if (j->used)
            snprintf(name, sizeof name, "%s %s", bench_tree_verbs[w->b->tree[j->tree].kind],
                     w->b->tree[j->tree].by ? w->b->tree[j->tree].by->name : "images");
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
            kill(-j->pid, SIGTERM); /* each leads a group of its own */
    for (int ms = 0; ms < STOPPING_MS && work_running(w); ms += TURN_MS) {
        work_collect(w);
        sleep_ms(TURN_MS);
    }
    for (struct job *j = w->job; j < w->job + WORK_JOBS_MAX; j++)
        if (j->used) {
            child_kill(j->pid);
            work_close(j);
        }
}

static status course(struct work *w)
{
    uint64_t look_ns = 0;
    while (is_open(w) && !stop_requested()) {
        int before = work_running(w);
        bool any = false;
        if (before < w->b->jobs && time_mono_ns() >= look_ns) {
            work_look(w);
            any = work_start(w);
        }
        if (!any && work_running(w) == before && time_mono_ns() >= look_ns)
            look_ns = time_mono_ns() + (uint64_t)OTHERS_MS * 1000000;
        show(w);
        sleep_ms(TURN_MS);
        work_collect(w);
        if (work_running(w) < before)
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
        work_look(w);
        work_tidy(w);
        summarise(w, &now);
        progress_init(&w->bar, "bench", (uint64_t)now.done, (uint64_t)now.cells, b->quiet);
        st = course(w);
        work_tidy(w);
        summarise(w, out);
        if (!st)
            progress_done(&w->bar, (uint64_t)out->done, NULL);
    }
    work_free(w);
    return st;
}
