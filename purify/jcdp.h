#ifndef PURIFY_JCDP_H
#define PURIFY_JCDP_H
/*
 * The JCDP sampler on a micro-batch of tiles (Jiang et al. 2023, eq. 16-20). It only computes:
 * noise and the networks' outputs come from callbacks, so that it can be tested against plain
 * formulas.
 *
 * All arrays are (batch, elements) floats, NHWC, in [-1,1] for images. With the respaced schedule
 * abar_i, i = 0..S-1, p = abar_{i-1} (1 for i = 0), v_i its variance and q_i the posterior
 * variance:
 *
 *     z <- the protected image P
 *     K times:
 *         x <- sqrt(abar_{S-1}) z + sqrt(1 - abar_{S-1}) n1
 *         for i = S-1 .. 0:
 *             x0   <- clamp((x - sqrt(1-abar_i) eps(x, t_i)) / sqrt(abar_i), -1, 1)
 *             eta  <- 0 for i < deterministic_steps, else the profile's
 *             mean <- a x + b x0,   a = sqrt((1 - p - eta^2 q_i) / (1 - abar_i)),
 *                                   b = sqrt(p) - a sqrt(abar_i)
 *             y    <- sqrt(abar_i) P + sqrt(1-abar_i) n2
 *             x    <- mean + v_i s_i (pixel_scale 2/D (y - x) - perceptual_scale dLPIPS(x,y)/dx)
 *                          + eta sqrt(v_i) n3 (i > 0)
 *         z <- x
 *
 * s_i = sqrt(1-abar_i)/sqrt(abar_i); D = elements. eta = 1 makes mean Ho et al.'s eq. 7 (ancestral
 * sampling), eta = 0 Song et al. 2021's DDIM, eq. 12. n1, n2, n3 are fresh each time.
 *
 * Steps that are to add no noise are steps of DDIM, not ancestral ones without their noise: these
 * would arrive with less noise than the network is then told. (Karras et al. 2022, algorithm 2,
 * also stop adding noise below a level, S_tmin.)
 */
#include "purify/purify.h"

enum jcdp_purpose { JCDP_JUMP, JCDP_REFERENCE, JCDP_STEP };

struct jcdp_env {
    void *ctx;
    /* Predicted noise of x at t; *out_eps is valid until the next call. */
    status (*eps)(void *ctx, const float *x, int t, const float **out_eps);
    /* Gradient of each sample's perceptual distance to y with respect to x. Never called (may be
       NULL) when no step of the sampler uses it. */
    status (*percept_gradient)(void *ctx, const float *x, const float *y, const float **out_grad);
    /* Standard normals for the whole micro-batch. step: 0..S-1. */
    void (*noise)(void *ctx, enum jcdp_purpose purpose, int round, int step, float *out);
    /* Asked before each evaluation; nonzero stops the sampler with STATUS_CANCELLED. */
    int (*stop)(void *ctx);
};

/* Which terms of the guidance act. */
bool jcdp_guides_pixel(const struct purify_jcdp *p);
bool jcdp_guides_percept(const struct purify_jcdp *p);

struct jcdp;
/* One step's coefficients come from p and cfg (beta, total); elements is that of one tile. */
status jcdp_new(const struct purify_jcdp *p, const struct purify_unet *cfg, int batch,
                size_t elements, struct jcdp **out) MUST_USE;
void jcdp_free(struct jcdp *j);
DEFINE_FREEP(struct jcdp *, jcdp_free)
/* Purifies z (batch,elements), which holds the protected tiles and then the result. Undefined
   contents after a failure. One call at a time per struct jcdp: it owns the scratch memory. */
status jcdp_run(struct jcdp *j, const struct jcdp_env *env, float *z) MUST_USE;

#endif
