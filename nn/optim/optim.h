#ifndef NN_OPTIM_H
#define NN_OPTIM_H
/* optim: the state of an optimiser and of an average, as checkpoints read and write it. */
#include "params.h"

enum { NN_OPTIM_SLOTS = 2 };

struct nn_optim {
    struct nn_params *params;
    struct nn_optim_options opt;
    int64_t step; /* steps done */
    int count; /* entries there were when the optimiser was made; later ones are not trained by it
                */
    struct nn_optim_state {
        float *slot[NN_OPTIM_SLOTS]; /* SGD: velocity. Adam, AdamW: both moments. NULL: unused */
    } * state;
};

/* How many slots of a trainable entry are in use. */
int nn_optim_slots(const struct nn_optim *o);

/* How many of `threads` (0: cpu_count()) a pass over n elements is worth. */
int nn_optim_threads(int threads, int64_t n);

struct nn_ema {
    struct nn_params *params;
    float decay;
    int threads;
    int64_t step; /* updates done */
    int count;
    float **value; /* one per entry, of its shape */
};

#endif
