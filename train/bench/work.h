#ifndef TRAIN_BENCH_WORK_H
#define TRAIN_BENCH_WORK_H
/*
 * work: a run of a bench. A job is one child process (or a copy of clean images, which this process
 * makes itself) at a tree or a cell that it has claimed.
 *
 *     for each turn: work_start (what can begin), work_collect (what has ended), work_tick
 */
#include "bench/claim.h"
#include "bench/tree.h"

enum { WORK_JOBS_MAX = 256, WORK_ARGS_MAX = 2 * GIVEN_MAX + 24 };

struct job {
    bool used;
    int tree, cell; /* one of them is -1 */
    pid_t pid;
    struct claim claim;
    uint64_t began_ns;
    off_t log_from; /* what the log held before */
    bool resumed;
};

struct work {
    struct train_bench *b;
    char *claims;
    struct job job[WORK_JOBS_MAX];
    char **cell_why; /* (n_cells); NULL: has not failed in this run */
    bool *done;      /* (n_cells): has a result */
    int failed;
    char first_why[256];
    struct progress bar;
    uint64_t refresh_ns; /* when claims are touched next */
};

/* ---- command.c: what a child is told ---- */
struct command {
    const char *program; /* a path */
    char *dir;           /* where it runs; NULL: here */
    const char *argv[WORK_ARGS_MAX + 1];
    int n;
    char *owned[WORK_ARGS_MAX];
    int n_owned;
    status st; /* the first failure; adding after it does nothing */
};
void command_done(struct command *c);
/* relearn protect, restore train or purify, into the tree's place aside. */
void command_tree(struct command *c, const struct train_bench *b, int tree);
/* relearn train; resume: goes on with the cell's run. Of a victim with a command: that, with --data,
   --test, --out, --seed and --threads behind it, where the matrix is. */
void command_cell(struct command *c, const struct train_bench *b, const struct bench_cell *cell,
                  const struct given *options, bool resume);

/* ---- job.c: one child from start to end ---- */
const char *job_id(const struct work *w, const struct job *j);
/* Starts what is claimed. */
status job_start(struct work *w, struct job *j, struct errmsg *e) MUST_USE;
/* The child has ended with this code: its tree is finished, or its result written. */
status job_end(struct work *w, struct job *j, int code, struct errmsg *e) MUST_USE;

/* ---- work_fail.c ---- */
/* "PROTECTION COUNTERMEASURE VICTIM SEED" */
void work_cell_name(const struct train_bench *b, const struct bench_cell *c, char out[256]);
/* The job's cell, or all cells of its tree, have failed: said, counted and remembered. */
void work_fail(struct work *w, const struct job *j, const char *why);

/* ---- work_jobs.c ---- */
/* Looks which cells have results. */
void work_look(struct work *w);
int work_running(const struct work *w);
void work_close(struct job *j);
/* What a job that ended with st leaves to do. */
void work_settle(struct work *w, struct job *j, status st, const struct errmsg *e);
void work_collect(struct work *w);
/* Touches claims; work whose claim somebody else has is given up. For any thread, one at a time. */
void work_tick(void *work);

void work_remove_run(const struct work *w, const struct bench_cell *c);
/* Removes what a killed process left of cells that are done, and trees that nobody needs. */
void work_tidy(struct work *w);

/* ---- work_start.c ---- */
/* Starts what can be started while there are free places. Returns whether something was. */
bool work_start(struct work *w);

#endif
