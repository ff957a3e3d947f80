#ifndef TRAIN_CLASS_STEP_H
#define TRAIN_CLASS_STEP_H
/*
 * class_step: what a classifier's plain training step computes: the mean cross entropy of a batch,
 * its batch norms in training, and the gradients of all parameters. Private to train; for networks
 * that are trained on the way to something else (those that perturbations are made with).
 *
 *     st = train_class_step_new(model, 128, &plan_options, &step, e);
 *     ... fill step.x and step.label, run step.plan: train_loop_run does it
 *     train_class_step_done(&step);       // also of zeros, and after a failure
 */
#include "model.h"

struct class_step {
    struct nn_graph *graph;
    struct nn_plan *plan;
    float *x;          /* (batch,H,W,C), as the network sees images */
    int32_t *label;    /* (batch); one outside 0..K-1 counts as a loss of 0 */
    const float *loss; /* (1) */
};
/* The parameters must have values by the first run. */
status train_class_step_new(const struct train_model *m, int batch,
                            const struct nn_plan_options *po, struct class_step *out,
                            struct errmsg *e) MUST_USE;
void train_class_step_done(struct class_step *s);

#endif
