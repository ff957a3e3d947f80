#ifndef TRAIN_DIFFUSION_H
#define TRAIN_DIFFUSION_H
/* A training of a noise predictor: its state, shared by diffusion.c (steps), diffusion_setup.c and
   diffusion_files.c. */
#include "loop.h"
#include "model.h"

struct diffusion {
    const struct train_diffusion_options *opt;
    struct purify_unet cfg;
    int threads, batch;
    struct train_set *set;
    struct train_loader *loader;
    struct nn_params *params;
    struct nn_graph *graph;
    struct nn_plan *plan;
    struct nn_optim *optim;
    struct nn_ema *ema;
    float *x, *t, *eps; /* inputs: (batch,size,size,C), (batch), as x */
    const float *loss;
    size_t row;            /* floats of one image */
    float *signal, *noise; /* (t_max): sqrt(abar), sqrt(1-abar) */
    struct digest from;    /* of the weights started from */
    int step;              /* next */
    double window;    /* sum of losses since the last log line; its length is step % LOG_EVERY */
    double last_mean; /* of the last finished window */
    uint64_t window_start_ns;
    int window_first;
    struct progress progress;
    double seconds;
    int64_t images;
};

/* ---- diffusion_setup.c ---- */
/* Of options alone; nothing is opened. */
status train_diffusion_check(const struct train_diffusion_options *o, struct errmsg *e) MUST_USE;
/* Call train_diffusion_done also on failure. */
status train_diffusion_setup(struct diffusion *d, struct errmsg *e) MUST_USE;
void train_diffusion_done(struct diffusion *d);

/* ---- diffusion_files.c ---- */
/* FILE.checkpoint; INVALID names an option that is not the checkpoint's. */
status train_diffusion_save(struct diffusion *d, struct errmsg *e) MUST_USE;
status train_diffusion_resume(struct diffusion *d, struct errmsg *e) MUST_USE;
/* A line about the window that ends with this step. */
status train_diffusion_log(struct diffusion *d, struct errmsg *e) MUST_USE;
/* The averaged weights; the checkpoint goes. */
status train_diffusion_finish(struct diffusion *d, struct errmsg *e) MUST_USE;

#endif
