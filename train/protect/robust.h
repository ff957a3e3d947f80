#ifndef TRAIN_PROTECT_ROBUST_H
#define TRAIN_PROTECT_ROBUST_H
/*
 * robust: error-minimising noise that withstands what happens to images, as REMN (Fu et al., "Robust
 * Unlearnable Examples", ICLR 2022) and its like craft it. A method says what disturbs an
 * image besides crops; the rest is the same.
 *
 * The surrogate is trained for 5000 steps. In each, every image of the batch gets a perturbation of
 * its own: from U(-eps,eps), 10 signed descent steps of eps/5 on the loss, whose gradient is summed
 * over 5 draws of what the image may go through: cropped with a border of an eighth of its side,
 * mirrored half of the time, and disturbed. Then the surrogate takes a step on one such crop of the
 * perturbed images, made adversarial within the radius: 10 ascent steps of a fifth of it from a random
 * start. Learning rate .1, a tenth of it after 2/5 and 4/5 of the steps.
 *
 * At the end all images get the perturbation that they keep, crafted once more. (The authors' code
 * leaves out the last images of an epoch then, and rounds to whole grey levels.)
 *
 * Belongs to one thread.
 */
#include "protect/samplewise.h"

struct robust_param {
    struct surrogate_param surrogate; /* first */
    int steps, draws, ascent;
    double radius;
};
#define ROBUST_INT(name, of, most, usual, what)                                                    \
    {                                                                                              \
        name, PARAM_INT, offsetof(struct robust_param, of), .lo = 1, .hi = most,                   \
                                                            .standard = usual, .about = what       \
    }
/* A method's table: `draws_about` and `ascent_about` say what these are in it. */
#define ROBUST_ROWS(draws_about, ascent_about)                                                     \
    {"surrogate", PARAM_TEXT, offsetof(struct robust_param, surrogate.surrogate),                  \
     .standard = SURROGATE_NETWORK, .about = "network"},                                           \
        ROBUST_INT("batch", surrogate.batch, 1 << 16, "128", "images a step"),                     \
        ROBUST_INT("rounds", surrogate.rounds, 1000000, "5000",                                    \
                   "steps of training, each on noise made for it"),                                \
        {"precision",                                                                              \
         PARAM_ENUM,                                                                               \
         offsetof(struct robust_param, surrogate.precision),                                       \
         .names = surrogate_precisions,                                                            \
         .standard = "f32",                                                                        \
         .about = "as of relearn train"},                                                          \
        ROBUST_INT("steps", steps, 1000, "10", "of descent on an image, each time"),               \
        ROBUST_INT("draws", draws, 1000, "5", draws_about),                                        \
        ROBUST_INT("ascent", ascent, 1000, "10", ascent_about),                                    \
    {                                                                                              \
        "radius", PARAM_DOUBLE, offsetof(struct robust_param, radius),                             \
            .lo = 0, .hi = 255, .standard = "4", .unit = "grey levels",                            \
            .about = "of what it is to withstand"                                                  \
    }

struct robust;
/* The surrogate's x: images in [0,1] with their noise, cropped -> what the network sees of them when
   they are disturbed. (number, draw) names what is random. */
typedef status robust_disturb_fn(const struct protect_job *j, struct robust *m, uint64_t number,
                                 uint64_t draw);

struct robust {
    struct samplewise of;   /* first; its deltas are those kept at the end */
    float *x, *delta, *sum; /* (batch,H,W,C): images in [0,1]; theirs; its gradient */
    float *spare;           /* (H,W,C) */
    struct shift *shift;    /* (batch), of a draw */
    robust_disturb_fn *disturb;
};
/* Moves x, as the network sees it, up the loss of the surrogate's labels, within the radius; r: of the
   random start. */
status robust_ascend(const struct protect_job *j, struct robust *m, struct nn_rng r,
                     float *x) MUST_USE;

/* ---- hooks ---- */
/* All of a method's prepare: j->state is a struct robust. */
status robust_prepare(struct protect_job *j, robust_disturb_fn *disturb, struct errmsg *e) MUST_USE;
void robust_done(struct protect_job *j);

/* ---- robust_noise.c, for robust.c ---- */
/* Noise (m->delta) for the images in m->x with the labels in the surrogate's; `number` names what is
   random. CANCELLED when asked to stop. */
status robust_make_noise(const struct protect_job *j, struct robust *m, uint64_t number) MUST_USE;
/* One more draw of what the images with their noise may go through, but for the disturbance: into
   out (batch,H,W,C), in [0,1]. */
void robust_move(const struct protect_job *j, struct robust *m, uint64_t number, uint64_t draw,
                 float *out);

#endif
