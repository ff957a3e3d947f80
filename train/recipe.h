#ifndef TRAIN_RECIPE_H
#define TRAIN_RECIPE_H
/*
 * recipe: what one way of training does differently, as a set of hooks. A run (run.c) knows no
 * recipe by name: it calls the hooks that a row has, and does the default for the others. A new
 * recipe is its file in recipes/, its line in recipe.c, and its test.
 *
 * The order in a run:
 *
 *     parameters are read; the loss is built; augment; open
 *     measured (with `measures`: after the ACM of the random network is known)
 *     load (only when resuming); begin
 *     for each epoch
 *         for each step: its images are loaded (image); the batch is copied in; the loss's load; batch; gradients; the optimiser
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

/* What is made small. Those that several recipes have are in recipes/losses.h. */
struct recipe_loss {
    /* Appends the loss of each image, (batch), to the graph that ends in the logits, (batch,K), and
       the inputs that it needs besides. What the step minimises is the mean. */
    struct nn_val (*build)(struct run *r, struct nn_graph *g, struct nn_val logits);
    /* Fills those inputs for the batch whose labels are r->label; its plan is r->plan. */
    void (*load)(struct run *r);
};

struct recipe_ops {
    struct train_recipe is;         /* name, summary, parameters */
    bool measures;                  /* the ACM is measured before training and after each epoch */
    const struct recipe_loss *loss; /* (optional; recipe_label_loss) */
    /* (optional) Checks what ranges cannot express. */
    status (*check)(const void *params, struct errmsg *e);
    /* (optional) Appends augmentations to what the user asked for: NAME[:KEY=VALUE...], each after
       a ',' unless it is the first. */
    status (*augment)(const void *params, struct buf *out);
    size_t state_size;
    status (*open)(struct run *r, struct errmsg *e); /* (optional) the network and sets are there */
    void (*close)(struct run *r); /* (optional) state may be half-built, or `open` never called */
    /* (optional) Changes a whole training image before it is cropped and augmented, as `image` of
       train_loader_options. From several threads at a time; `open` came before. */
    void (*image)(const struct run *r, int sample, float *x);
    void (*measured)(struct run *r, const double *acm); /* (optional) */
    /* (optional) Called last before training begins, or continues, at r->at. */
    status (*begin)(struct run *r, struct errmsg *e);
    /* (optional) A step's images are in r->in, and what its loss needs is loaded: both may be
       changed. CANCELLED when asked to stop; the step is then not done. */
    status (*batch)(struct run *r);
    /* (optional) An epoch has been trained and, with `measures`, measured: rep->acm. May restore
       other weights; rep->rolled_back then says so. */
    status (*after_epoch)(struct run *r, struct epoch_report *rep, struct errmsg *e);
    void (*log)(const struct run *r, json_t *line); /* (optional) adds to a trained epoch's line */
    /* (optional) The state that a checkpoint keeps; keys are literals. */
    void (*save)(const struct run *r, struct kv_list *out);
    void (*load)(struct run *r, const struct nn_file *f);
};

const struct recipe_loss *recipe_loss_of(const struct recipe_ops *ops);
/* NULL when there is none. */
const struct recipe_ops *recipe_find(const char *name);
/* INVALID, with the recipes that there are. */
status recipe_unknown(const char *name, struct errmsg *e) MUST_USE;
/* The parameters as args say, for mem_free; NULL for a recipe without. e names the recipe. */
status recipe_params_new(const struct recipe_ops *ops, const struct param_arg *arg, int n,
                         void **out, struct errmsg *e) MUST_USE;

#endif
