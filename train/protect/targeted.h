#ifndef TRAIN_PROTECT_TARGETED_H
#define TRAIN_PROTECT_TARGETED_H
/*
 * targeted: perturbations that a network takes for a label. The network is trained on the images as
 * they are (clean_surrogate.h) and stays as it is; then each image's perturbation takes signed steps
 * down the network's loss for that label, kept within eps and the image within [0,1]. Which label,
 * and how, is the method's recipe.
 *
 * An image's steps depend on the surrogate, the seed and its number, and on no other image.
 */
#include "protect/clean_surrogate.h"
#include "protect/floats.h"
#include "protect/shift.h"
#include "protect/strong.h"
#include "protect/surrogate.h"

struct targeted_recipe {
    int ahead;         /* the label is the image's class and so many more: 0 is its own */
    bool normal_start; /* N(0, eps^2), cut off at eps; otherwise zero */
    enum sight taught; /* the surrogate */
    enum sight sight;  /* of a step of descent */
    float decay;       /* of clean_recipe, as is rate */
    float (*rate)(double part);
};

/* A method's parameters, with these rows of its table. */
struct targeted_param {
    char surrogate[PARAM_TEXT_MAX];
    int batch, epochs, steps;
    double step;
    double strength; /* of strong.h, of methods that have that row */
    int restarts;    /* the best of so many; a method without that row has 0, which is 1 */
    enum nn_precision precision;
};
#define TARGETED_ROWS(lessons, descents, part)                                                     \
    {"surrogate", PARAM_TEXT, offsetof(struct targeted_param, surrogate),                          \
     .standard = SURROGATE_NETWORK, .about = "network"},                                           \
        {"batch",                                                                                  \
         PARAM_INT,                                                                                \
         offsetof(struct targeted_param, batch),                                                   \
         .lo = 1,                                                                                  \
         .hi = 1 << 16,                                                                            \
         .standard = "128",                                                                        \
         .about = "images a step"},                                                                \
        {"epochs",     PARAM_INT,           offsetof(struct targeted_param, epochs), .lo = 1,      \
         .hi = 100000, .standard = lessons, .about = "of training the surrogate"},                 \
        {"steps",                                                                                  \
         PARAM_INT,                                                                                \
         offsetof(struct targeted_param, steps),                                                   \
         .lo = 1,                                                                                  \
         .hi = 100000,                                                                             \
         .standard = descents,                                                                     \
         .about = "of descent on an image"},                                                       \
        {"step",                                                                                   \
         PARAM_DOUBLE,                                                                             \
         offsetof(struct targeted_param, step),                                                    \
         .lo = 0,                                                                                  \
         .hi = 1,                                                                                  \
         .standard = part,                                                                         \
         .about = "how far one goes, as a part of the strength"},                                  \
    {                                                                                              \
        "precision", PARAM_ENUM, offsetof(struct targeted_param, precision),                       \
            .names = surrogate_precisions, .standard = "f32", .about = "see relearn train --help"  \
    }

/* Of the surrogate with respect to the labels wanted, over all images. */
struct targeted_found {
    double loss, error;
};

/* How a step sees an image. */
struct targeted_view {
    struct shift shift;
    struct strong strong;
};

struct targeted {
    const struct targeted_recipe *recipe;
    struct train_model *model;
    struct attack *attack;
    struct forward *forward;
    struct floats made, kept;   /* (N,H,W,C): the restart under way; the best of those before */
    struct targeted_found best; /* of kept */
    float *x, *seen;            /* (batch,H,W,C): images in [0,1]; what the network sees */
    float *spare;               /* (2 + STRONG_WORK,H,W,C) */
    int32_t *label;             /* (batch) */
    struct targeted_view *view; /* (batch), of a step */
    struct shift_frame frame;
    size_t row;
    int batch;
    struct progress progress;
    uint64_t steps_done;
};

/* ---- targeted_view.c ---- */
/* x + delta (H,W,C) in [0,1] as the network sees it: as it is, or in a view. */
void targeted_show(const struct targeted *t, const float *x, const float *delta, float *out);
/* Draws a view from `at` on: the step's number. */
void targeted_draw_view(const struct targeted *t, double strength, struct nn_rng r, uint64_t step,
                        struct targeted_view *out);
void targeted_show_view(const struct targeted *t, const struct targeted_view *v, const float *x,
                        const float *delta, float *out);
/* The gradient with respect to what that gave -> one whose signs are those with respect to delta; it
   is `gradient` or t->spare. */
const float *targeted_view_gradient(const struct targeted *t, const struct targeted_view *v,
                                    const float *x, const float *delta, const float *gradient);

/* ---- targeted_descent.c ---- */
/* All restarts of all images; kept and best are what came of it. CANCELLED when asked to stop. */
status targeted_descend(struct protect_job *j, struct targeted *t, struct errmsg *e) MUST_USE;

/* ---- targeted.c ---- */
/* What a method's prepare does. The recipe must live as long as the job. */
status targeted_prepare(struct protect_job *j, const struct targeted_recipe *recipe,
                        struct errmsg *e) MUST_USE;

/* Hooks of such a method. */
status targeted_row(const struct protect_job *j, int i, float *out, struct errmsg *e);
void targeted_describe(const struct protect_job *j, json_t *out);
void targeted_done(struct protect_job *j);

#endif
