#ifndef TRAIN_DIFFUSION_H
#define TRAIN_DIFFUSION_H
/* A training of a noise predictor: its state, shared by diffusion.c (steps) and diffusion_setup.c.
 */
#include "fit.h"

struct diffusion {
    struct fit fit;
    struct purify_unet cfg;
    float *x, *t, *eps;    /* inputs: (batch,size,size,C), (batch), as x */
    size_t row;            /* floats of one image */
    float *signal, *noise; /* (t_max): sqrt(abar), sqrt(1-abar) */
};

/* ---- diffusion_setup.c ---- */
/* Call train_diffusion_done also on failure. */
status train_diffusion_setup(struct diffusion *d, struct errmsg *e) MUST_USE;
void train_diffusion_done(struct diffusion *d);

#endif
