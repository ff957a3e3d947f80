#ifndef TRAIN_RECIPE_H
#define TRAIN_RECIPE_H
/*
 * recipe: what one way of training does differently, as a set of hooks. A run (run.c) knows none of
 * them by name: it calls a hook where the row has one, and does the plain thing where it has not.
 * A new recipe is its file below recipes/, its line in recipe.c, and its test.
 *
 * The order in a run:
 *
 *     parameters are read; augment; open
 *     measured (with `measures`: after the ACM of the random network is known)
 *     load (only when resuming); begin
 *     for each epoch
 *         for each step: the batch is copied in; batch; gradients; the optimiser
 *         after_epoch; test; log; save
 *     close
 *
 * params is a struct as `table` describes it, set before any hook and constant. state is
 * state_size bytes, zeroed before `open`. It may hold pointers to what `open` made and `close`
 * frees; the rest is plain data, which the run copies before the end of an epoch and puts back when
 * it is stopped in there.
 *
 * All random numbers come from streams of (seed, purpose, step or epoch): see stream.h.
 */
#include "train.h"

#include <jansson.h>

struct run;
struct kv_list;
struct epoch_report;

struct recipe_ops {
    struct train_recipe is; /* name, summary, parameters */
    bool measures;          /* the ACM is measured before training and after each epoch */
    /* A step's labels are rows of class weights, r->target; 1 for the image's own class before
       `batch`. The loss is the mean cross entropy of these, else of the labels. */
    bool soft_labels;
    /* (optional) What a table of ranges cannot say of the parameters. */
    status (*check)(const void *params, struct errmsg *e);
    /* (optional) Appends augmentations to what the user asked for: NAME[:KEY=VALUE...], each after
       a ',' unless it is the first. */
    status (*augment)(const void *params, struct buf *out);
    size_t state_size;
    status (*open)(struct run *r, struct errmsg *e); /* (optional) the network and sets are there */
    void (*close)(struct run *r); /* (optional) state may be half-built, or `open` never called */
    void (*measured)(struct run *r, const double *acm); /* (optional) */
    /* (optional) The last thing before training goes on from where r->at says. */
    status (*begin)(struct run *r, struct errmsg *e);
    /* (optional) A step's images and labels are in r->in and r->label (r->target): they may be
       changed. CANCELLED when asked to stop; the step is then not done. */
    status (*batch)(struct run *r);
    /* (optional) An epoch has been trained and, with `measures`, measured: rep->acm. May restore
       other weights; rep->rolled_back then says so. */
    status (*after_epoch)(struct run *r, struct epoch_report *rep, struct errmsg *e);
    void (*log)(const struct run *r, json_t *line); /* (optional) adds to a trained epoch's line */
    /* (optional) What of the state a checkpoint keeps; keys are literals. */
    void (*save)(const struct run *r, struct kv_list *out);
    void (*load)(struct run *r, const struct nn_file *f);
};

/* NULL when there is none. */
const struct recipe_ops *recipe_find(const char *name);
/* INVALID, with the recipes that there are. */
status recipe_unknown(const char *name, struct errmsg *e) MUST_USE;
/* The parameters as args say, for mem_free; NULL for a recipe without. e names the recipe. */
status recipe_params_new(const struct recipe_ops *ops, const struct param_arg *arg, int n,
                         void **out, struct errmsg *e) MUST_USE;

#endif
