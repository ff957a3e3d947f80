#ifndef TRAIN_FIT_H
#define TRAIN_FIT_H
/*
 * fit: a training of so many steps that ends in one weights file: of noise predictors and of
 * restorers. Here is what they share (train_fit_options): the data, the rate, the average, the
 * checkpoint FILE.checkpoint, the log, the result. What a network is, and what its inputs are made
 * of, is the trainer's. Private to train.
 *
 * The step number names everything random in a step (through the epoch also the batch), so a
 * checkpoint needs no generator state.
 *
 *     struct fit f = {.opt = &opt->fit, .ops = &ops, .arg = &mine, .last_mean = NAN};
 *     st = train_fit_check(f.opt, e);
 *     st = train_fit_from(&f, e)          // f.from, to read the configuration from
 *     st = train_fit_data(&f, &images, e) // f.set, f.loader, f.batch
 *     st = train_fit_graph(&f)            // f.graph, to build the loss in
 *     st = train_fit_plan(&f, loss, e)    // f.plan, with the weights to start from
 *     st = train_fit_run(&f, &result, e)
 *     train_fit_done(&f);                 // also after a failure
 */
#include "kv.h"
#include "loop.h"
#include "model.h"

struct fit_ops {
    /* Adds the network and the options that only this trainer has: a checkpoint is of one set of
       them, and the result is said to be made with them. */
    void (*describe)(const void *arg, struct kv_list *m);
    /* Fills the plan's inputs for step `step` of the fit. */
    status (*load)(void *arg, const struct train_batch *b, struct errmsg *e);

    /* The rest is optional, for a trainer that sums up more than the loss over a window (the steps
       between two lines of the log). */
    void (*observe)(void *arg);                         /* a step was done */
    void (*close)(void *arg);                           /* the window ends */
    status (*log)(const void *arg, struct buf *line);   /* adds ,"key":value of that window */
    void (*save)(const void *arg, struct kv_list *m);   /* what was summed up */
    void (*resume)(void *arg, const struct nn_file *f); /* and back */
    /* (optional) Adds what is known only at the end to what the result says of itself. */
    status (*finish)(const void *arg, struct kv_list *m, struct errmsg *e);
};

struct fit {
    const struct train_fit_options *opt;
    const struct fit_ops *ops;
    void *arg; /* of the ops */
    int threads, batch;
    struct train_set *set;
    struct train_loader *loader;
    struct nn_file *from; /* NULL: training starts from scratch */
    struct digest from_digest;
    char *note; /* of the checkpoint; or NULL */
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_optim *optim;
    struct nn_ema *ema;
    const float *loss; /* of the plan */
    int step;          /* next */
    double window;     /* sum of losses since the last log line; its length is step % LOG_EVERY */
    double last_mean;  /* of the last finished window */
    uint64_t window_start_ns;
    int window_first;
    struct progress progress;
    double seconds;
    int64_t images;
};

/* The images of a fit: squares of `size` pixels. */
struct fit_images {
    int size, channels; /* channels 0: as the first image */
    int multiple;       /* a batch is a multiple of so many images; 0: 1 */
    float mean, std;    /* as of train_loader_options, all channels alike */
};

/* ---- fit_setup.c ---- */
/* Of options alone; nothing is opened. */
status train_fit_check(const struct train_fit_options *o, struct errmsg *e) MUST_USE;
/* Opens the weights that training starts from, if the options name any. */
status train_fit_from(struct fit *f, struct errmsg *e) MUST_USE;
status train_fit_data(struct fit *f, const struct fit_images *images, struct errmsg *e) MUST_USE;
status train_fit_graph(struct fit *f) MUST_USE;
/* loss (1) of f->graph. The weights are those of `from`, or by their rules of initialisation. */
status train_fit_plan(struct fit *f, struct nn_val loss, struct errmsg *e) MUST_USE;
void train_fit_done(struct fit *f);

/* ---- fit.c ---- */
/* All steps that are left, and the result's file. CANCELLED: there is a checkpoint instead. */
status train_fit_run(struct fit *f, struct train_fit_result *out, struct errmsg *e) MUST_USE;

/* ---- fit_files.c ---- */
/* FILE.checkpoint; INVALID names an option that is not the checkpoint's. */
status train_fit_save(struct fit *f, struct errmsg *e) MUST_USE;
status train_fit_resume(struct fit *f, struct errmsg *e) MUST_USE;
/* A line about the window that ends with this step. */
status train_fit_log(struct fit *f, struct errmsg *e) MUST_USE;
/* The averaged weights; the checkpoint goes. */
status train_fit_finish(struct fit *f, struct errmsg *e) MUST_USE;

#endif
