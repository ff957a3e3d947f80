#ifndef TRAIN_PROTECT_SEM_H
#define TRAIN_PROTECT_SEM_H
/* sem: what its training (sem.c) and the making of its noise (sem_noise.c) share. */
#include "protect/samplewise.h"

struct sem_param {
    struct surrogate_param surrogate; /* first */
    int steps, draws;
    double radius;
};

struct sem {
    struct samplewise of;   /* first; its deltas are those kept at the end */
    float *x, *delta, *sum; /* (batch,H,W,C): images in [0,1]; theirs; its gradient */
    float *spare;           /* (H,W,C) */
    struct shift *shift;    /* (batch), of a draw */
};

/* ---- sem_noise.c ---- */
/* Noise (m->delta) for the images in m->x with the labels in the surrogate's; `number` names what is
   random. CANCELLED when asked to stop. */
status sem_make_noise(const struct protect_job *j, struct sem *m, uint64_t number) MUST_USE;
/* One more draw of what the images with their noise may go through, but for the noise on top: into
   out (batch,H,W,C), in [0,1]. */
void sem_move(const struct protect_job *j, struct sem *m, uint64_t number, uint64_t draw,
              float *out);

#endif
