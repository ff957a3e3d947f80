#ifndef TRAIN_DIFFUSION_H
#define TRAIN_DIFFUSION_H
/* A training of a noise predictor: its state, shared by diffusion.c (steps) and diffusion_setup.c.
 */
#include "fit.h"

struct diffusion {
    struct fit fit;
    const struct train_diffusion_options *opt;
    struct purify_unet cfg;
    float *x, *t, *eps, *weight; /* inputs: (batch,size,size,C), (batch), as x, (batch) */
    size_t row;                  /* floats of one image */
    float *signal, *noise;       /* (t_max): sqrt(abar), sqrt(1-abar) */
    float *weight_of;            /* (t_max) */
};

/* How much an image counts in the loss whose alpha_bar is abar, 0 < abar < 1 (train.h). */
float train_diffusion_weight(const struct train_diffusion_options *o, double abar);

/* ---- diffusion_setup.c ---- */
/* Call train_diffusion_done also on failure. */
status train_diffusion_setup(struct diffusion *d, struct errmsg *e) MUST_USE;
void train_diffusion_done(struct diffusion *d);

#endif
