#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H
/* A training run's state, shared by run.c (epochs), run_steps.c, run_setup.c, run_init.c, those for
   what a run keeps on disk (run_config.c, run_dir.c, run_log.c, run_state.c), probe.c and the
   recipes. */
#include "model.h"
#include "out_tree.h"
#include "recipe.h"
#include "sal.h"

/* ---- probe: the images whose activations are measured ---- */
struct probe;
/* A label-balanced subset of at most `count` images, fixed by the seed. */
status train_probe_new(struct train_set *set, const struct train_model *m, int count, uint64_t seed,
                       struct probe **out, struct errmsg *e) MUST_USE;
void train_probe_free(struct probe *p);
struct sal_images train_probe_images(const struct probe *p); /* as long as the probe */
DEFINE_FREEP(struct probe *, train_probe_free)
/* The ACM of each stage of f (built with stages) under the present weights. */
status train_probe_measure(struct probe *p, struct forward *f, double *out_acm) MUST_USE;

/* ---- run ---- */

/* All that changes as a run goes on, apart from weights and momentum; what a checkpoint holds. */
struct position {
    int epoch, batch; /* next to do; epoch counts from 0. After the last batch: the epoch's end */
    int64_t step;
    double loss_sum; /* this epoch: over samples */
    int64_t correct, seen;
    double last_loss, last_accuracy, test_accuracy; /* of the last whole epoch; NAN: none */
    double best_test;
    int best_epoch;
    int64_t log_bytes; /* of log.jsonl, that belong to finished epochs */
};

struct run {
    const struct train_options *opt;
    const struct recipe_ops *recipe;
    void *params, *state; /* the recipe's */
    int threads, batch;   /* as used */
    float lr;
    struct train_set *set, *test;
    struct train_model *model;
    struct train_model *from;             /* whose weights it begins with; NULL: random ones */
    char init_digest[DIGEST_HEX_LEN + 1]; /* of their file; "" */
    struct train_loader *loader, *test_loader;
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *in;
    int32_t *label;           /* (batch), of the images as they were loaded */
    struct nn_val loss_input; /* what the loss made of its input, if it has one */
    float *target;            /* (batch,K), recipe_target_loss only: what is learned */
    const float *loss, *logits;
    struct nn_optim *optim;
    struct forward *forward; /* NULL when nothing is measured */
    struct probe *probe;     /* NULL when ACM is not measured */
    int probe_images;
    struct probe *sal_probe; /* NULL when SAL is not measured, as sal */
    int sal_images;
    struct sal *sal;
    struct position at;
    struct out_tree dirs; /* that were made for RUNDIR */
    bool prepared;        /* RUNDIR is ours: train_run_undo may be called */
    bool kept;            /* there is something to resume: what this call wrote stays */
    struct progress progress;
    double train_seconds; /* in steps, of this process */
    int64_t train_images;
    double epoch_seconds, epoch_rate; /* of this process's part of the epoch; rate in images/s */
};

/* What one finished epoch adds to the log. */
struct epoch_report {
    double lr;
    bool trained, tested, measured; /* not trained: the line about the network before training */
    bool sharp;                     /* the run's SAL is of this epoch */
    double test_loss;
    double acm[TRAIN_STAGES_MAX];
    bool rolled_back; /* the weights are those of another position now */
};

/* ---- run_setup.c ---- */
/* Of options alone; nothing is opened. */
status train_run_check(const struct train_options *o, struct errmsg *e) MUST_USE;
/* Everything that a run needs except what RUNDIR holds. Call train_run_done also on failure. */
status train_run_setup(struct run *r, struct errmsg *e) MUST_USE;
void train_run_done(struct run *r);

/* ---- run_init.c ---- */
/* Reads the weights that the run begins with, if the options name some, and how that network wants
   pixels scaled. INVALID: they are another network's. Logs what of the network begins anew. */
status train_run_open_init(struct run *r, struct errmsg *e) MUST_USE;
/* Gives the parameters their first values. */
status train_run_init_params(struct run *r) MUST_USE;

/* ---- run_steps.c ---- */
/* From r->at to the end of its epoch. */
status train_run_epoch(struct run *r, struct errmsg *e) MUST_USE;
float train_run_rate(const struct run *r, int64_t step); /* learning rate */
/* Fills the plan's inputs, before the recipe changes them. */
void train_run_load_batch(struct run *r, const struct train_batch *b);

/* ---- run_config.c ---- */
/* digest: of the data, NULL when it is not known yet. */
status train_run_write_config(const struct run *r, const char *digest, struct errmsg *e) MUST_USE;
/* RUNDIR/config.json, with what older ones do not say; the caller's to json_decref. */
status train_run_read_config(const char *dir, json_t **out, struct errmsg *e) MUST_USE;
/* Whether the options of the run in RUNDIR are those of r; INVALID names one that is not. */
status train_run_compare_config(const struct run *r, struct errmsg *e) MUST_USE;

/* ---- run_dir.c ---- */
/* RUNDIR/NAME, for mem_free. */
char *train_run_path(const struct run *r, const char *name);
bool train_run_file_exists(const char *path); /* path may be NULL */
/* Refuses an existing run or (force) sets it aside, writes config.json; when resuming compares it
   instead. Until train_run_drop_replaced, train_run_undo brings back what was there before. */
status train_run_prepare_dir(struct run *r, struct errmsg *e) MUST_USE;
void train_run_undo(struct run *r);
void train_run_drop_replaced(struct run *r);

/* ---- run_log.c ---- */
status train_run_append_log(struct run *r, const struct epoch_report *rep,
                            struct errmsg *e) MUST_USE;
/* What the network took the test images for: test.json. */
status train_run_write_test(const struct run *r, const struct train_eval *ev,
                            struct errmsg *e) MUST_USE;
/* Cuts the log back to what the position says. */
status train_run_cut_log(struct run *r, struct errmsg *e) MUST_USE;

/* ---- run_state.c ---- */
/* The checkpoint. With the first one the run is valid, and what it replaced is removed. */
status train_run_save(struct run *r, struct errmsg *e) MUST_USE;
/* Weights, momentum and position from RUNDIR/checkpoint; the log is cut back to it. */
status train_run_resume(struct run *r, struct errmsg *e) MUST_USE;
status train_run_save_good(struct run *r, struct errmsg *e) MUST_USE;
status train_run_load_good(struct run *r, struct errmsg *e) MUST_USE;
/* weights.safetensors, and config.json once more with the digest of the data. */
status train_run_finish(struct run *r, struct errmsg *e) MUST_USE;

/* Numbers that JSON has no word for become null. */
json_t *train_run_reals(const double *v, int n);

#endif
