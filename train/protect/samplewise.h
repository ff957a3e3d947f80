#ifndef TRAIN_PROTECT_SAMPLEWISE_H
#define TRAIN_PROTECT_SAMPLEWISE_H
/*
 * samplewise: what methods share that craft a perturbation for each image, and train their surrogate
 * meanwhile (surrogate.h). Belongs to one thread.
 */
#include "protect/floats.h"
#include "protect/shift.h"
#include "protect/surrogate.h"

#include "loop.h"

struct samplewise {
    struct surrogate *surrogate; /* first */
    struct floats delta;         /* (N,H,W,C), zero at first; what the surrogate is given */
    int *sample;                 /* (N) 0, 1, ... */
    struct shift_frame frame;
    struct train_loop loop;
    struct progress progress;
};
/* decay: of weights. *m may be half-built on failure: samplewise_done frees it. */
status samplewise_init(const struct protect_job *j, const struct surrogate_param *p, float decay,
                       struct samplewise *m, struct errmsg *e) MUST_USE;
void samplewise_done(struct samplewise *m);

/* The perturbation of an image. */
float *samplewise_delta(const struct samplewise *m, int sample);

/* What a step of training sees, and its rate, as of loop.h; their arg is m, with which the method's
   state begins. what: of the progress that is shown, over `steps` in all. */
void samplewise_teach(struct samplewise *m, const char *what, int64_t steps,
                      status (*load)(void *arg, const struct train_batch *b, struct errmsg *e),
                      float (*rate)(const void *arg, int64_t step));
/* Steps up to `end`; the surrogate's gradients are those of the new weights then. */
status samplewise_learn(struct samplewise *m, int64_t end, struct errmsg *e) MUST_USE;
/* The error on all images with their perturbations, and the rest of j->result. */
status samplewise_measure(struct protect_job *j, struct samplewise *m, struct errmsg *e) MUST_USE;

#endif
