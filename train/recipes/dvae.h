#ifndef TRAIN_RECIPES_DVAE_H
#define TRAIN_RECIPES_DVAE_H
/*
 * dvae: two autoencoders that part images from what the images of a class have in common with their
 * label (Yu et al. 2024, "Purify Unlearnable Examples via Rate-Constrained Variational
 * Autoencoders", arXiv 2405.01460; recipes/disentangle.c says what is as published). Private to train.
 *
 *     f = the first half of a ResNet-18 of x         (N,H/2,W/2,2w), w the width
 *     mu, v = 1x1 convolutions of f                  (N,H/2,W/2,4w)
 *     rec = decoder(mu + exp(v/2) n), n normal       (N,H,W,C), in [0,1]
 *     p = decoder'(f + e(y)), e(y) learned           (N,H,W,C)
 *     kl = mean over pixels of the sum over channels of (mu^2 + exp(v) - v - 1) / 2
 *
 *     loss = mse(rec, x) + mse(clip(rec + p), x) + .01 max(kl, rate) [+ max(mean p^2, .002)]
 *
 * The bound on kl leaves rec no room for what is small; p can make up for it where the label says how.
 * The last term is there after epoch 10.
 *
 * The first one has rate 1, and leaves clip(x - p) of an image. The second is trained on these, with
 * the rate that is asked for; of an image x that the first left, rec of clip(x - p) remains.
 *
 *     uint8_t *pixels = ...;                        // (samples,H,W,C)
 *     st = dvae_disentangle(set, &options, &how, pixels, e);
 */
#include "train.h"

struct dvae_options {
    int epochs, batch, width;
    float lr, rate;
};
struct dvae_how {
    uint64_t seed;
    int threads;
    enum nn_precision precision;
    bool quiet;
};
/* A pure function of the set, the options, seed and precision, and of the threads' number. INVALID: a
   side of the images is odd. CANCELLED when asked to stop. */
status dvae_disentangle(struct train_set *set, const struct dvae_options *opt,
                        const struct dvae_how *how, uint8_t *out, struct errmsg *e) MUST_USE;

/* ---- dvae_net.c ---- */
struct dvae_shape {
    int batch, width, height, channels, classes;
    int filters; /* w */
};
struct dvae_net {
    struct nn_val x, label, noise; /* inputs: images; (batch,classes), one weight of 1; as mu */
    struct nn_val mu, log_var, rec, p;
};
struct dvae_net dvae_build(struct nn_graph *g, const struct dvae_shape *s, bool training);
/* (1). late (1), an input that is made: 0 or 1, whether the last term is there. */
struct nn_val dvae_loss(struct nn_graph *g, const struct dvae_net *n, float rate,
                        struct nn_val *late);
/* The learned e(y), which begins as normal numbers. */
#define DVAE_CLASSES "classes.weight"

#endif
