#ifndef TRAIN_PROTECT_SURROGATE_H
#define TRAIN_PROTECT_SURROGATE_H
/*
 * surrogate: the network that error-minimising noise is crafted with, and the rounds in which most
 * methods train both:
 *   1. 10 SGD steps of the surrogate on x + delta, not clipped (lr .1, momentum .9, norm 5), over
 *      batches that go on from round to round;
 *   2. the method changes its deltas, the surrogate in evaluation mode;
 *   3. the error on x + delta of the images that the method names; done when it is low enough.
 *
 * Belongs to one thread.
 */
#include "protect/protect.h"

#include "attack.h"
#include "class_step.h"

/* The first member of such a method's parameters, and the first rows of its table. */
struct surrogate_param {
    char surrogate[PARAM_TEXT_MAX];
    int batch, rounds;
    double stop_error;
    enum nn_precision precision;
};
extern const char *const surrogate_precisions[];
#define SURROGATE_NETWORK "resnet18"
#define SURROGATE_ROWS(stop)                                                                       \
    {"surrogate", PARAM_TEXT, offsetof(struct surrogate_param, surrogate),                         \
     .standard = SURROGATE_NETWORK, .about = "network"},                                           \
        {"batch",                                                                                  \
         PARAM_INT,                                                                                \
         offsetof(struct surrogate_param, batch),                                                  \
         .lo = 1,                                                                                  \
         .hi = 1 << 16,                                                                            \
         .standard = "128",                                                                        \
         .about = "images a step"},                                                                \
        {"stop_error", PARAM_DOUBLE,     offsetof(struct surrogate_param, stop_error),  .lo = 0,   \
         .hi = 1,      .standard = stop, .about = "done at this error of the surrogate"},          \
        {"rounds",                                                                                 \
         PARAM_INT,                                                                                \
         offsetof(struct surrogate_param, rounds),                                                 \
         .lo = 1,                                                                                  \
         .hi = 1000000,                                                                            \
         .standard = "100",                                                                        \
         .about = "rounds of training and crafting at most"},                                      \
    {                                                                                              \
        "precision", PARAM_ENUM, offsetof(struct surrogate_param, precision),                      \
            .names = surrogate_precisions, .standard = "f32", .about = "see relearn train --help"  \
    }

/* The perturbation of a sample, row floats for images in [0,1]; good until the next change. */
typedef const float *surrogate_delta_fn(const void *arg, int sample, int label);

struct surrogate {
    const struct protect_job *job;
    const struct surrogate_param *param;
    surrogate_delta_fn *delta;
    const void *arg;
    struct train_model *model;
    struct class_step learning;
    struct attack *attack;   /* gradients, in evaluation mode */
    struct forward *forward; /* measures the error */
    float *x;                /* (batch,H,W,C) and (batch): what the method asks gradients of */
    int32_t *label;
    struct train_loader *loader;
    struct nn_optim *optim;
    int batch;
    size_t row; /* floats of an image */
    int64_t step;
};
#define SURROGATE_DECAY 5e-4f
/* *out is set, possibly half-built, on failure as well: it is the method's to free. decay: of weights,
   a step. */
status surrogate_new(const struct protect_job *j, const struct surrogate_param *p, float decay,
                     surrogate_delta_fn *delta, const void *arg, struct surrogate **out,
                     struct errmsg *e) MUST_USE;
void surrogate_free(struct surrogate *s);
/* ---- surrogate_rounds.c ---- */
/* A batch: the first `batch` of n samples with their perturbation as the network's input, their
   labels in s->label; rows past n are zero with label -1. */
status surrogate_load(struct surrogate *s, const int *sample, int n, float *input,
                      struct errmsg *e) MUST_USE;
/* Images at .. at+n-1 as they are, in [0,1], into x (batch,H,W,C); labels as above, and rows past n
   are left alone. */
status surrogate_images(struct surrogate *s, int at, int n, float *x, struct errmsg *e) MUST_USE;
/* n values in [0,1] -> what the network sees */
void surrogate_scale(const struct surrogate *s, float *x, size_t n);
/* The error on n samples with their perturbations, not clipped, by weights as they are. */
status surrogate_measure(struct surrogate *s, const int *sample, int n, double *out_error,
                         struct errmsg *e) MUST_USE;
typedef status surrogate_noise_fn(struct protect_job *j, struct errmsg *e);
/* Rounds until the error of the n samples is low enough, or enough of them; fills j->result and
   shows progress. make_noise finds s->attack refreshed. */
status surrogate_rounds(struct surrogate *s, struct protect_job *j, surrogate_noise_fn *make_noise,
                        const int *sample, int n, struct errmsg *e) MUST_USE;

/* ---- hooks of a method whose state begins with a pointer to its surrogate ---- */
status surrogate_delta_row(const struct protect_job *j, int i, float *out, struct errmsg *e);
void surrogate_describe(const struct protect_job *j, json_t *out);

#endif
