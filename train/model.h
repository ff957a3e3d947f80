#ifndef TRAIN_MODEL_H
#define TRAIN_MODEL_H
/* A classifier's description as the metadata of its weights file, and network plans for forward
   passes. Private to train. */
#include "kv.h"
#include "train.h"

/* An empty parameter store with everything around it; class names are copied from the set. */
status train_model_new(const struct train_net *net, struct train_net_shape shape,
                       const struct train_set *set, struct train_model **out) MUST_USE;
/* What train_model_new is made of: no parameters and no class names yet; then all parameters, from a
   graph that is built once. */
status model_alloc(const struct train_net *net, struct train_net_shape shape,
                   struct train_model **out) MUST_USE;
status model_create_params(struct train_model *m, struct errmsg *e) MUST_USE;
/* architecture, in_channels, classes, image_size, mean, std, class_names (JSON). */
void train_model_to_kv(const struct train_model *m, struct kv_list *out);

/* INVALID, with the networks that there are. */
status train_net_unknown(const char *name, struct errmsg *e) MUST_USE;

/* ---- precision ---- */
/* To be asked before anything is written. */
status train_precision_check(enum nn_precision p, struct errmsg *e) MUST_USE;
/* Of a run or a checkpoint that names none: it is older than the choice. */
enum { TRAIN_PRECISION_UNNAMED = NN_PREC_F32 };

/* ---- forward passes ---- */
struct forward {
    struct nn_graph *graph;
    struct nn_plan *plan;
    int batch, stages, classes;
    struct nn_val x, logits, stage[TRAIN_STAGES_MAX];
    int width[TRAIN_STAGES_MAX];           /* channels of the pooled stages */
    float *in;                             /* (batch,H,W,C) */
    const float *out;                      /* (batch,K) */
    const float *pooled[TRAIN_STAGES_MAX]; /* (batch,width[s]) */
};
/* with_stages: also average-pooled stage outputs. The parameters must have values by the first run.
 */
status train_forward_new(const struct train_model *m, int batch, const struct nn_plan_options *plan,
                         bool with_stages, struct forward **out, struct errmsg *e) MUST_USE;
void train_forward_free(struct forward *f);
DEFINE_FREEP(struct forward *, train_forward_free)
/* Everything a loader gives in epoch 0. With p NULL it shows nothing. CANCELLED when asked to stop.
 */
status train_forward_evaluate(struct forward *f, struct train_loader *l, struct progress *p,
                              struct train_eval *ev, struct errmsg *e) MUST_USE;
struct train_loader_options train_forward_loader(const struct train_model *m, int batch,
                                                 int threads);

/* ---- evaluation ---- */
/* A directory's images as batches for a network, and its plan: both are made once, and
   train_forward_evaluate(forward, loader, ...) may be called again and again. */
struct evaluator {
    struct train_set *set;
    struct train_loader *loader;
    struct forward *forward;
    int samples;
};
/* INVALID where the directory is not one for this network. Decoded images are kept as
   opt->data.memory_bytes says. The caller closes it, also after a failure. */
status train_evaluator_open(struct evaluator *v, const struct train_model *m,
                            const struct train_eval_options *opt, struct errmsg *e) MUST_USE;
void train_evaluator_close(struct evaluator *v);

#endif
